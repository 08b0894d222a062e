"""Check an answer to a planning problem, whichever format both are of."""

from evmesh.domain.problem_shape import is_tree
from evmesh.verify.schedule import Verdict, verify_schedule
from evmesh.verify.tree import verify_tree


def verify_answer(problem_raw: bytes, schedule_raw: bytes) -> Verdict:
    """Check a schedule or refusal against its problem, both as the bytes of their files.

    Raises InvalidInput where the problem cannot be read.
    """
    return (
        verify_tree(problem_raw, schedule_raw)
        if is_tree(problem_raw)
        else verify_schedule(problem_raw, schedule_raw)
    )
