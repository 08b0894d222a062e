"""What a verification says: an ordered list of checks, each ok, failed or not checked.

What was not checked is never called ok. A report is ok where something was checked and nothing failed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from evmesh.domain.canonical import Json
from evmesh.domain.errors import EvmeshError, IntegrityFailure


class Status(StrEnum):
    """What became of a check."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `code` and `path` name what failed, `what` says it to a person in every case."""

    name: str
    status: Status
    what: str
    code: str = ""
    path: str = ""

    def to_json(self) -> Json:
        return {
            "name": self.name,
            "status": self.status.value,
            "code": self.code,
            "path": self.path,
            "what": self.what,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one document, in the order in which a reader would make them."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether something was checked and nothing failed."""
        statuses = {check.status for check in self.checks}
        return Status.OK in statuses and Status.FAILED not in statuses

    def failed(self) -> tuple[Check, ...]:
        """Give the checks that failed."""
        return tuple(check for check in self.checks if check.status is Status.FAILED)


@dataclass(frozen=True, slots=True)
class NotChecked:
    """Why a check could not be made."""

    why: str


OFFLINE = NotChecked("no node was asked")


def without_node(report: Report, why: str) -> Report:
    """Give a report that was made offline, with the reason for which no node could be asked."""
    return Report(
        tuple(
            replace(check, what=why)
            if check.status is Status.NOT_CHECKED and check.what == OFFLINE.why
            else check
            for check in report.checks
        )
    )


Finding = str | NotChecked
"""What a check found: in words where it holds, or why it was not made. What is false is raised."""


def run(name: str, check: Callable[[], Finding]) -> Check:
    """Make one check."""
    try:
        found = check()
    except EvmeshError as error:
        return failed(name, error)
    if isinstance(found, NotChecked):
        return Check(name, Status.NOT_CHECKED, found.why)
    return Check(name, Status.OK, found)


def failed(name: str, error: EvmeshError) -> Check:
    """Give the check that ended in this error."""
    return Check(name, Status.FAILED, error.what, error.code, error.path)


def require(holds: bool, code: str, what: str, path: str = "") -> None:
    """Raise IntegrityFailure where a claim is false."""
    if not holds:
        raise IntegrityFailure(code, what, path=path)
