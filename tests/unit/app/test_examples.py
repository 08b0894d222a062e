"""The default sites are found in a clone and in an installed wheel, from one copy of the files."""

import tomllib
from pathlib import Path

import pytest

from evmesh.app import examples
from evmesh.app.examples import example
from evmesh.domain.errors import Unavailable

ROOT = Path(__file__).parents[3]


def test_a_clone_has_one_copy_and_the_wheel_takes_it_along() -> None:
    assert example("site.toml") == ROOT / "examples" / "site.toml"
    assert not (ROOT / "src" / "evmesh" / "examples").exists()
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert build["wheel"]["force-include"] == {"examples": "evmesh/examples"}
    assert "/examples" in build["sdist"]["include"]


def test_an_installed_package_brings_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "site.toml").touch()
    monkeypatch.setattr(examples, "files", lambda _: tmp_path)
    monkeypatch.setattr(examples, "_CLONE", tmp_path / "nowhere")
    assert example("site.toml") == tmp_path / "examples" / "site.toml"
    with pytest.raises(Unavailable, match=r"examples\.missing"):
        example("demo.toml")
