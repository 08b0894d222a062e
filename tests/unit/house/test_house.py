"""The rules of the house hold, and the tools that check them go red when one is broken."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "evmesh"
TOOLS = Path(sys.executable).parent
LONGEST_FILE = 400


def test_no_source_file_grows_past_the_size_where_a_second_idea_hides() -> None:
    lengths = {
        str(path.relative_to(SOURCE)): len(path.read_text().splitlines()) for path in SOURCE.rglob("*.py")
    }
    assert {path for path, length in lengths.items() if length > LONGEST_FILE} == set()
    assert "ports/store.py" in lengths


@pytest.mark.parametrize(
    "room", sorted(path.name for path in SOURCE.iterdir() if (path.is_dir() and any(path.glob("*.py"))))
)
def test_every_room_says_what_it_is_for(room: str) -> None:
    said = ast.get_docstring(ast.parse((SOURCE / room / "__init__.py").read_text()))
    assert said
    assert len(said.split()) >= 5


def lint_imports(root: Path) -> tuple[int, str]:
    run = subprocess.run(
        [TOOLS / "lint-imports", "--no-logo", "--no-cache"],
        cwd=root,
        # The path first: the venv knows this checkout's evmesh, and the copy is what is asked about.
        env={**os.environ, "PYTHONPATH": str(root / "src"), "COLUMNS": "300", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr


def test_imports_only_go_down() -> None:
    status, report = lint_imports(ROOT)
    assert status == 0, report


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", "scripts/plain_python.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(SOURCE, tmp_path / "src" / "evmesh", ignore=shutil.ignore_patterns("*.pyc", "static"))
    return tmp_path


def plant(copy: Path, module: str, line: str) -> None:
    path = copy / "src" / Path(*module.split(".")).with_suffix(".py")
    path.parent.mkdir(exist_ok=True)
    (path.parent / "__init__.py").touch()
    path.write_text(f"{line}\n")


@pytest.mark.parametrize(
    ("module", "line", "contract", "named"),
    [
        ("evmesh.domain.planted", "from evmesh import ports", "only go down", "evmesh.ports"),
        ("evmesh.csms.planted", "import evmesh.telemetry", "only go down", "evmesh.telemetry"),
        ("evmesh.verify.planted", "import evmesh.planning", "only go down", "evmesh.planning"),
        ("evmesh.utils.planted", "import json", "only go down", "utils"),
        ("evmesh.domain.planted", "import msgspec", "plain Python", "evmesh.domain.planted imports msgspec"),
        ("evmesh.verify.planted", "import asyncio", "plain Python", "evmesh.verify.planted imports asyncio"),
        ("evmesh.telemetry.planted", "import evmesh.services", "decides nothing", "evmesh.services"),
        ("evmesh.edge.planted", "import evmesh.planning", "decides nothing", "evmesh.planning"),
        ("evmesh.sim.planted", "import evmesh.verify", "The simulation is independent", "evmesh.verify"),
    ],
)
def test_a_planted_import_breaks_its_contract(
    copy: Path, module: str, line: str, contract: str, named: str
) -> None:
    for room in ("telemetry", "services", "planning", "verify", "sim", "csms"):
        plant(copy, f"evmesh.{room}.empty", "")
    plant(copy, module, line)
    status, report = lint_imports(copy)
    assert status != 0
    assert re.search(rf"{contract}.* BROKEN", report), report
    assert named in report


def ruff(code: str, as_file: str) -> str:
    return subprocess.run(
        [TOOLS / "ruff", "check", "--output-format=concise", "--stdin-filename", as_file, "-"],
        cwd=ROOT,
        input=code,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


@pytest.mark.parametrize(
    "code",
    [
        '"""Doc."""\n\nimport time\n\nNOW = time.time()\n',
        '"""Doc."""\n\nimport datetime\n\nNOW = datetime.datetime.now(datetime.UTC)\n',
        '"""Doc."""\n\nfrom asyncio import gather\n\nJOIN = gather\n',
        '"""Doc."""\n\nimport asyncio\n\nSTART = asyncio.create_task\n',
    ],
)
def test_wall_clock_and_loose_tasks_are_lint_errors(code: str) -> None:
    assert "TID251" in ruff(code, "src/evmesh/services/planted.py")


def test_only_the_clock_adapter_may_ask_the_machine_for_the_time() -> None:
    assert "All checks passed" in ruff(
        '"""Doc."""\n\nimport time\n\nNOW = time.time()\n', "src/evmesh/app/clock.py"
    )


def test_the_locks_name_public_addresses_only() -> None:
    hosts = set(re.findall(r'"https?://([^/"]+)', (ROOT / "uv.lock").read_text()))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    addresses = [entry["resolved"] for entry in packages.values() if "://" in entry.get("resolved", "")]
    assert [address for address in addresses if not address.startswith("https://registry.npmjs.org/")] == []


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
@pytest.mark.parametrize(
    "skipping",
    [
        "import pytest\ndef test_it(): pytest.skip('no broker')\n",
        "import pytest\n@pytest.mark.skipif(True, reason='no broker')\ndef test_it(): pass\n",
        "import pytest\npytest.importorskip('no_such_module')\ndef test_it(): pass\n",
    ],
    ids=["in the test", "by mark", "by module"],
)
def test_a_skip_fails_in_ci_and_only_there(tmp_path: Path, skipping: str, ci: str, status: int) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "test_passes.py").write_text("def test_passes(): pass\n")
    (tmp_path / "test_skips.py").write_text(skipping)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert bool(run.returncode) == bool(status), run.stdout


def test_an_expected_failure_stays_one_in_ci(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "test_fails.py").write_text(
        "import pytest\n@pytest.mark.xfail(reason='known')\ndef test_it(): assert False\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path,
        env={**os.environ, "CI": "true"},
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0
