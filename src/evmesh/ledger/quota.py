"""What a relayer that pays for others' gas allows each of them."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.ledger.reasons import FailedOnChain
from evmesh.ports import Clock


@dataclass(frozen=True, slots=True)
class RelayPolicy:
    """Limits of relaying; `min_deposit` in token units keeps the gas below what a deposit brings."""

    min_deposit: int = 1_000_000
    requests: int = 20
    per_s: int = 3600
    remembered: int = 10_000
    """Names at most; the one that asked longest ago is forgotten first."""


class RelayQuota:
    """Counts requests per name, a wallet or a network address, over a sliding window."""

    def __init__(self, policy: RelayPolicy, clock: Clock) -> None:
        self.policy = policy
        self._clock = clock
        self._asked: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, name: str) -> None:
        """Count one request; raises Refused `relay.too_many` where the window is full."""
        self.check(name)
        self._asked[name].append(self._clock.monotonic())

    @contextmanager
    def slot(self, name: str) -> Iterator[None]:
        """Count one transaction from before it is sent; given back where nothing of it was sent.

        So many at once are no more than so many one after another, and junk does not lock out whoever
        shares an address. Where it is not known whether it was sent, it stays counted.
        """
        self.take(name)
        taken = self._asked[name][-1]
        try:
            yield
        except FailedOnChain:
            raise
        except (InvalidInput, IntegrityFailure, Refused):
            asked = self._asked.get(name)
            if asked is not None and taken in asked:  # else the window, or the name, has gone meanwhile
                asked.remove(taken)
            raise

    def check(self, name: str) -> None:
        """Raise Refused `relay.too_many` where the window is full; counts nothing."""
        now = self._clock.monotonic()
        asked = self._asked.setdefault(name, deque())
        self._asked.move_to_end(name)
        while len(self._asked) > self.policy.remembered:
            self._asked.popitem(last=False)
        while asked and asked[0] <= now - self.policy.per_s:
            asked.popleft()
        if len(asked) >= self.policy.requests:
            wait_s = int(asked[0] + self.policy.per_s - now) + 1
            raise Refused(
                "relay.too_many",
                f"{name} asked {len(asked)} times within {self.policy.per_s} s",
                do=f"wait {wait_s} s, or send the transaction yourself",
            )
