"""A crash point ends the process as a kill would, once, and only where it is named."""

import os
import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from pathlib import Path
from evmesh.app.failpoints import Failpoint
try:
    passed = Failpoint(Path(sys.argv[1]))
    for name in ("fund:before_commit", "fund:after_commit", "claim:before_send"):
        passed(name)
        print(name, flush=True)
finally:
    print("cleaned up", flush=True)
"""


def run(armed: Path) -> tuple[int, list[str]]:
    command = [sys.executable, "-c", PROGRAM, str(armed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def test_a_process_ends_at_the_armed_point_without_cleaning_up_and_only_once(tmp_path: Path) -> None:
    armed = tmp_path / "failpoint"
    armed.write_text("fund:after_commit\n")
    assert run(armed) == (-signal.SIGKILL, ["fund:before_commit"])
    assert not armed.exists()
    assert run(armed)[0] == 0


def test_a_process_that_is_to_be_looked_at_first_stops_at_its_point(tmp_path: Path) -> None:
    armed = tmp_path / "failpoint"
    armed.write_text("fund:after_commit stop")
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(armed)], stdout=subprocess.PIPE) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert not armed.exists()
        process.kill()
        said, _ = process.communicate()
    assert said.splitlines() == [b"fund:before_commit"]


def test_a_point_that_is_never_passed_ends_nothing(tmp_path: Path) -> None:
    armed = tmp_path / "failpoint"
    armed.write_text("refund:before_send")
    assert run(armed) == (0, ["fund:before_commit", "fund:after_commit", "claim:before_send", "cleaned up"])
    assert armed.exists()
