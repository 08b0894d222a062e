"""Run all tests, in two lanes side by side: whole processes beside everything else.

    python scripts/run_tests.py                 all of them
    python scripts/run_tests.py tests/unit …    pytest with these arguments, as it is

Most tests of whole platforms wait for clocks and blocks, the others compute: two cores do both at once.
What the second lane printed follows when the first one has ended. Exit code 1 where either has failed.
"""

import subprocess
import sys
import tempfile

PYTEST = [sys.executable, "-m", "pytest"]
COMPUTING = ["tests/unit", "tests/property", "tests/contract"]
WAITING = ["tests/e2e", "-p", "no:cacheprovider"]


def main(arguments: list[str]) -> int:
    """Give the exit code."""
    if arguments:
        return subprocess.run([*PYTEST, *arguments], check=False).returncode
    with tempfile.TemporaryFile() as printed:
        waiting = subprocess.Popen([*PYTEST, *WAITING], stdout=printed, stderr=subprocess.STDOUT)
        try:
            computing = subprocess.run([*PYTEST, *COMPUTING], check=False).returncode
            ended = waiting.wait()
        finally:
            if waiting.poll() is None:
                waiting.terminate()
                waiting.wait()
            printed.seek(0)
            sys.stdout.flush()
            sys.stdout.buffer.write(b"\n--- tests/e2e ---\n" + printed.read())
            sys.stdout.flush()
    return int(any((computing, ended)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
