"""Where the parts of a running platform find each other."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from evmesh.app.run_file import RunFile
from evmesh.domain.errors import Unavailable

RUN = RunFile(
    pid=17,
    site="site.toml",
    speed=60,
    http_port=8080,
    ocpp_port=9000,
    mqtt_port=1883,
    rpc_url="http://127.0.0.1:8545",
    clock="clock",
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    RUN.save(tmp_path)
    assert RunFile.load(tmp_path) == RUN
    assert RUN.http_url == "http://127.0.0.1:8080"
    assert RUN.ocpp_url == "ws://127.0.0.1:9000/ocpp"
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


WHOLE = json.dumps(asdict(RUN))


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "5",
        '{"pid":1}',
        '{"pid":1,"more":2}',
        "\xff",
        "[" * 3000,
        WHOLE.replace("8080", '"8080"'),
        WHOLE.replace("60", "60.5"),
        WHOLE.replace("17", "true"),
        WHOLE.replace('"clock",', "null,"),
        WHOLE.replace('"sim": ""', '"sim": null'),
    ],
)
def test_where_nothing_runs_it_says_so(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text, encoding="latin-1")
    with pytest.raises(Unavailable) as away:
        RunFile.load(tmp_path)
    assert (away.value.code, away.value.do) == ("platform.not_running", "start it with `evmesh up`")
