"""What a grid operator types, and how a site file lets one in."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evmesh.app.grid import app, parse_power, parse_time
from evmesh.app.grid_site import grids_of
from evmesh.domain.errors import InvalidInput

KEY = "0x" + "ab" * 32
TABLE = {
    "name": "Net AG",
    "mode": "restricted",
    "writer": KEY,
    "channel": "limits",
    "groups": ["a"],
    "grant": "g",
}


@pytest.mark.parametrize(
    ("text", "watts"), [("40kW", 40_000), ("4.2kW", 4_200), ("0W", 0), ("1.5MW", 1_500_000), ("7360W", 7_360)]
)
def test_powers_are_read_to_the_watt(text: str, watts: int) -> None:
    assert parse_power(text) == watts


@pytest.mark.parametrize("text", ["40", "-1kW", "4,2kW", "0.5W", "1e3W", "99999MW", "1.2345kW", ""])
def test_what_is_no_power_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"grid\.bad_power"):
        parse_power(text)


def test_times_are_read() -> None:
    assert parse_time("30min") == timedelta(minutes=30)
    assert [parse_time(one).total_seconds() for one in ("90s", "2h", "1d")] == [90, 7_200, 86_400]
    for text in ("0min", "30", "1.5h", "-2h", "1w"):
        with pytest.raises(InvalidInput, match=r"grid\.bad_time"):
            parse_time(text)


def test_the_key_stays_the_same_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    runner, home = CliRunner(), tmp_path / "grid"
    first = runner.invoke(app, ["show", "--home", str(home)])
    second = runner.invoke(app, ["show", "--home", str(home), "--json"])
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout.splitlines()[3].split('"')[1] in second.stdout
    for name in ("grid.key", "channels.db"):
        assert not (home / name).stat().st_mode & 0o077


@pytest.mark.parametrize(
    "arguments",
    [
        ["allow", "0x12"],
        ["limit", "a", "--power", "much", "--for", "30min"],
        ["limit", "a" * 65, "--power", "1kW", "--for", "30min"],
        ["limit", "a", "--power", "1kW", "--for", "30min", "--mqtt", "http://x"],
    ],
)
def test_bad_input_is_refused_in_words(tmp_path: Path, arguments: list[str]) -> None:
    ran = CliRunner().invoke(app, [*arguments, "--home", str(tmp_path / "grid")])
    assert ran.exit_code == 2
    assert "error " in ran.output


def test_a_broker_that_is_away_is_said_and_the_word_goes_out_later(tmp_path: Path) -> None:
    home = ["--home", str(tmp_path / "grid")]
    runner = CliRunner()
    assert runner.invoke(app, ["show", *home]).exit_code == 0
    limit = ["limit", "a", "--power", "1kW", "--for", "30min", "--mqtt", "mqtt://127.0.0.1:1", *home]
    ran = runner.invoke(app, limit)
    assert ran.exit_code == 4
    assert "broker.away" in ran.output


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": ""}, "name"),
        ({"mode": "secret"}, "mode"),
        ({"writer": "0x12"}, "writer"),
        ({"groups": []}, "groups"),
        ({"groups": ["b"]}, "groups"),
        ({"mode": "public"}, "grant"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_entry_of_the_site_file_is_refused_with_its_path(change: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        grids_of([TABLE | change], frozenset({"a"}), Path())
    assert refused.value.path == f"grid[0].{path}"


def test_grid_operators_of_a_site_are_read(tmp_path: Path) -> None:
    assert grids_of(None, frozenset(), tmp_path) == ()
    [grid] = grids_of([TABLE], frozenset({"a"}), tmp_path)
    assert (grid.name, grid.groups, grid.channel.writer) == (
        "Net AG",
        frozenset({"a"}),
        bytes.fromhex(KEY[2:]),
    )
    with pytest.raises(InvalidInput, match=r"site\.bad_grant"):
        grid.sealed()
    (tmp_path / "g").write_text("0xabcd\n")
    assert grid.sealed() == b"\xab\xcd"
    with pytest.raises(InvalidInput, match="one name"):
        grids_of([TABLE, TABLE], frozenset({"a"}), tmp_path)
