"""The web side's own unit tests, run with the others."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_unit_tests_of_the_web_pages_pass() -> None:
    done = subprocess.run(
        ["scripts/with-node.sh", "npm", "test", "--workspace", "web"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
