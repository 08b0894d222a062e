from pathlib import Path

import pytest

from bench import run
from bench.figure import Figure


@pytest.mark.parametrize(
    ("better", "value", "baseline", "ratio"),
    [("lower", 2.0, 8.0, 4.0), ("higher", 8.0, 2.0, 4.0), ("lower", 8.0, 2.0, 0.25)],
)
def test_a_ratio_above_one_means_better_than_the_baseline(
    better: str, value: float, baseline: float, ratio: float
) -> None:
    figure = Figure("work", "ms", value, baseline, better="higher" if better == "higher" else "lower")
    assert figure.ratio == ratio


def test_a_snapshot_keeps_what_the_machine_cannot_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SNAPSHOTS", tmp_path)
    gas = Figure("a voucher", "gas", 10_619, exact=True)
    run._write_snapshot("ledger", [gas, Figure("solve", "ms", 1.234, 300.0, "highs")])
    first = (tmp_path / "ledger.json").read_text()
    run._write_snapshot("ledger", [gas, Figure("solve", "ms", 1.437, 301.0, "highs")])
    assert (tmp_path / "ledger.json").read_text() == first
    run._write_snapshot("ledger", [gas, Figure("solve", "ms", 4.5, 300.0, "highs")])
    assert (tmp_path / "ledger.json").read_text() != first
    assert "10619" in first
    assert "1.23" not in first


def test_a_benchmark_that_fails_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bench_broken.py").touch()
    monkeypatch.setattr(run, "HERE", tmp_path)
    assert run.main(["broken", "--no-snapshot"]) == 1
    assert "failed: broken" in capsys.readouterr().err
