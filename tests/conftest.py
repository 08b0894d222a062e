"""What holds for every test: hypothesis profiles, and nothing is skipped in CI."""

import os
from collections.abc import Generator

import pytest
import structlog
from hypothesis import HealthCheck, settings

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

# Deadlines measure the machine, not the code. In CI the same examples run each time, so that a red
# build is the change's own fault; new examples are found on developers' machines and by `make soak`.
settings.register_profile("dev", deadline=None)
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    print_blob=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "soak",
    deadline=None,
    max_examples=2_000,
    print_blob=True,
    suppress_health_check=[*HealthCheck],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if IN_CI else "dev"))


@pytest.fixture(autouse=True)
def logs_as_if_no_command_had_run() -> Generator[None, None, None]:
    """Undo what a command that runs inside a test does to the logs: its output is closed by then."""
    yield
    structlog.reset_defaults()


_NO_SKIPS = "nothing may be skipped in CI: "


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure in CI. An expected failure (`xfail`) reports as skipped and stays one."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{_NO_SKIPS}{report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a failure in CI."""
    report = yield
    if IN_CI and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"{_NO_SKIPS}{report.longrepr}"
    return report
