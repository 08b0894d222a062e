"""A relayer allows each name so many requests in a window."""

import pytest

from evmesh.domain.errors import EvmeshError, InvalidInput, Refused, Unavailable
from evmesh.ledger.quota import RelayPolicy, RelayQuota
from evmesh.ledger.reasons import FailedOnChain
from tests.contract.ledger_world import SetClock


def test_a_full_window_refuses_and_says_how_long_to_wait() -> None:
    clock = SetClock()
    quota = RelayQuota(RelayPolicy(requests=2, per_s=60), clock)
    quota.take("driver")
    clock.move(seconds=20)
    quota.take("driver")
    with pytest.raises(Refused, match=r"relay\.too_many") as refused:
        quota.take("driver")
    assert refused.value.do.startswith("wait 41 s")
    quota.take("somebody else")
    clock.move(seconds=40)
    quota.take("driver")
    with pytest.raises(Refused, match=r"relay\.too_many"):
        quota.take("driver")


def test_a_refused_request_does_not_count() -> None:
    clock = SetClock()
    quota = RelayQuota(RelayPolicy(requests=1, per_s=60), clock)
    quota.take("driver")
    for _ in range(3):
        clock.move(seconds=19)
        with pytest.raises(Refused):
            quota.take("driver")
    clock.move(seconds=3)
    quota.take("driver")


def test_it_remembers_only_so_many_names() -> None:
    quota = RelayQuota(RelayPolicy(requests=1, remembered=3), SetClock())
    for name in ("a", "b", "c", "d"):
        quota.take(name)
    quota.take("a")
    with pytest.raises(Refused):
        quota.take("d")


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (Refused("tab.nothing_to_close", "said the simulation"), False),
        (InvalidInput("order.amount", "no amount"), False),
        (FailedOnChain("tab.close_too_late", "said the block"), True),
        (Unavailable("chain.not_mined", "sent, and the node went away"), True),
    ],
)
def test_what_may_have_been_sent_counts_and_what_was_refused_before_does_not(
    error: EvmeshError, counts: bool
) -> None:
    quota = RelayQuota(RelayPolicy(requests=1), SetClock())
    with pytest.raises(type(error)), quota.slot("address"):
        raise error
    if counts:
        with pytest.raises(Refused, match=r"relay\.too_many"):
            quota.check("address")
    else:
        quota.check("address")
