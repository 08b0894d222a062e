"""Run all tests, in lanes side by side: what computes, what speaks with servers, and whole platforms.

    python scripts/run_tests.py                 all of them
    python scripts/run_tests.py tests/unit …    pytest with these arguments, as it is

Tests of servers and platforms wait for clocks and blocks, the others compute: two cores do all of it at once,
and who waits goes first (`nice`), so that all end together. What the other lanes printed follows when the
first one has ended. Exit code 1 where one has failed.
"""

import subprocess
import sys
import tempfile
from typing import IO

PYTEST = [sys.executable, "-m", "pytest"]
LANES = (
    (10, "tests/unit", "tests/property"),
    (5, "tests/contract"),
    (0, "tests/e2e/kill", "tests/e2e/platform"),
    (0, "tests/e2e", "--ignore=tests/e2e/kill", "--ignore=tests/e2e/platform"),
)
"""How much each gives way to the others, and its folders; those that wait are about equally long."""


def main(arguments: list[str]) -> int:
    """Give the exit code."""
    if arguments:
        return subprocess.run([*PYTEST, *arguments], check=False).returncode
    shown, *beside = (
        ["nice", "-n", str(gives_way), *PYTEST, *folders, "-p", "no:cacheprovider"]
        for gives_way, *folders in LANES
    )
    others = [_Lane(command) for command in beside]
    try:
        codes = [subprocess.run(shown, check=False).returncode]
        codes += [lane.running.wait() for lane in others]
    finally:
        for lane in others:
            lane.end()
    return int(any(codes))


class _Lane:
    """Tests that run in the background; what they print is kept for the end."""

    def __init__(self, command: list[str]) -> None:
        self._name = " ".join(command[3:])
        self._printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - `end` closes it
        self.running = subprocess.Popen(command, stdout=self._printed, stderr=subprocess.STDOUT)

    def end(self) -> None:
        """Print what was printed; stop it where it still runs."""
        if self.running.poll() is None:
            self.running.terminate()
            self.running.wait()
        sys.stdout.flush()
        with self._printed:
            self._printed.seek(0)
            sys.stdout.buffer.write(f"\n--- {self._name}\n".encode() + self._printed.read())
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
