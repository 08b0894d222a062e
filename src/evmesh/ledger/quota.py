"""What a relayer that pays for others' gas allows each of them."""

from collections import OrderedDict, deque
from dataclasses import dataclass

from evmesh.domain.errors import Refused
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
