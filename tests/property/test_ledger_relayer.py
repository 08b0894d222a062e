"""Whatever a node loses, repeats or takes back, and wherever its relayer is killed: each purpose once."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from evmesh.domain.errors import Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.relayer import Relayer, RelayerConfig
from evmesh.ledger.rpc import NodeRefused
from evmesh.ledger.signatures import KeySigner, keccak256
from tests.property.faulty_node import FaultyNode, RememberedJournal, VirtualLoop

SHOP = Address.parse("0x" + "5e" * 20)
OPERATOR = KeySigner(keccak256(b"an operator who relays"))
CHAIN_ID = 31337
EXPECTED = {"chain.away", "chain.not_mined", "chain.gas_price", "chain.node_refused"}
"""What a caller may hear while all this happens: try again, or what the node said no to."""

THEN = st.sampled_from([0.01, 0.03, 0.05, 0.1, 0.5, 1.5, 4])
"""Seconds that pass before the next thing happens: between any two questions, or after many."""


class Killed(BaseException):
    """A kill -9, as far as code can tell."""


class Faults(RuleBasedStateMachine):
    """One relayer, one node, and everything that befalls them."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.journal = RememberedJournal()
        self.tasks: list[asyncio.Task[Any]] = []
        self.keys: list[str] = []
        self.points = 0
        self.makes_blocks = True

    @initialize(is_strict=st.booleans(), confirmations=st.sampled_from([1, 1, 3]))
    def begin(self, is_strict: bool, confirmations: int) -> None:
        self.node = FaultyNode(is_strict=is_strict)
        self.config = RelayerConfig(confirmations, mined_within_s=20, send_again_after_s=1, poll_s=0.2)
        self.relayer = self._new_relayer()
        self.blocks = self.loop.create_task(self._make_blocks())

    # The relayer and who uses it

    @rule(count=st.integers(1, 3), then=THEN)
    def submit(self, count: int, then: float) -> None:
        for _ in range(count):
            self.keys.append(f"pay:{len(self.keys)}")
            self._start(self._submit(self.keys[-1]))
        self._pass(then)

    @precondition(lambda self: self.keys)
    @rule(data=st.data(), then=THEN)
    def submit_again(self, data: st.DataObject, then: float) -> None:
        self._start(self._submit(data.draw(st.sampled_from(self.keys))))
        self._pass(then)

    @rule(from_block=st.none() | st.integers(0, 10), then=THEN)
    def recover(self, from_block: int | None, then: float) -> None:
        self._start(self.relayer.recover(from_block=from_block))
        self._pass(then)

    @rule(then=THEN)
    def kill(self, then: float) -> None:
        """End the process between any two of its questions, and start the next one."""
        self._kill()
        self._pass(then)

    @rule(after=st.integers(1, 6), then=THEN)
    def kill_at_a_checkpoint(self, after: int, then: float) -> None:
        self.points = after
        self._pass(then)

    # The node

    @rule(depth=st.integers(1, 6), forgets=st.booleans(), then=THEN)
    def reorganise(self, depth: int, forgets: bool, then: float) -> None:
        self.node.reorganise(depth, forgets=forgets)
        self._pass(then)

    @rule()
    def dump(self) -> None:
        self.node.dump()

    @rule(forgets_blocks=st.booleans(), then=THEN)
    def kill_the_node(self, forgets_blocks: bool, then: float) -> None:
        if not forgets_blocks:
            self.node.dump()
        self.node.restart()
        self._pass(then)

    @rule(price=st.sampled_from([900, 1_000, 1_050, 1_200, 2_000]), then=THEN)
    def change_the_price(self, price: int, then: float) -> None:
        self.node.price = price
        self._pass(then)

    @rule(makes_blocks=st.booleans(), then=THEN)
    def stop_or_make_blocks(self, makes_blocks: bool, then: float) -> None:
        self.makes_blocks = makes_blocks
        self._pass(then)

    @rule(then=THEN)
    def be_away(self, then: float) -> None:
        self.node.is_away = True
        self._pass(then)
        self.node.is_away = False

    @rule(fault=st.sampled_from(["lost", "unanswered", "repeated", "refused"]))
    def next_send_goes_wrong(self, fault: str) -> None:
        self.node.next_sends.append(fault)

    # What holds

    @invariant()
    def no_purpose_has_two_nonces(self) -> None:
        """What a node took once can be mined at any time: with another nonce it would be done twice."""
        if hasattr(self, "node"):
            nonces = {(one.transaction.data, one.transaction.nonce) for one in self.node.accepted}
            assert max(Counter(data for data, _ in nonces).values(), default=1) == 1

    def teardown(self) -> None:
        try:
            if hasattr(self, "node"):
                self._mend_and_audit()
        finally:
            self._kill_tasks()
            self.loop.close()

    def _mend_and_audit(self) -> None:
        """Let everything go well from now on: then all is there, once, and nothing else."""
        self.points = 0
        self.makes_blocks = True
        self.node.next_sends.clear()
        if len(self.keys) % 2:  # the other half finds out by itself
            self._kill()
            self._run(self.relayer.recover())
        self.keys.append("the last one")
        for key in reversed(self.keys):
            self._run(self._submit(key))
        self.blocks.cancel()
        self._run(asyncio.wait([self.blocks]))
        mined = self.node.mined
        assert sorted(one.data for one in mined) == sorted(key.encode() for key in self.keys)
        assert [one.nonce for one in mined] == list(range(len(mined)))
        assert not self.node.pool
        if len(self.keys) % 2 == 0:  # with the last one
            assert all(row.outcome is not None for row in self.journal.rows.values())

    # How

    def _new_relayer(self) -> Relayer:
        return Relayer(
            self.node,
            OPERATOR,
            self.journal,
            chain_id=CHAIN_ID,
            config=self.config,
            checkpoint=self._checkpoint,
        )

    def _checkpoint(self, _point: str) -> None:
        if self.points:
            self.points -= 1
            if not self.points:
                raise Killed

    async def _submit(self, key: str) -> None:
        await self.relayer.submit(key, SHOP, key.encode())

    async def _make_blocks(self) -> None:
        while True:
            await asyncio.sleep(0.4)
            if self.makes_blocks:
                self.node.mine()

    def _pass(self, seconds: float) -> None:
        self._run(asyncio.sleep(seconds))

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        self.tasks.append(self.loop.create_task(self._until_killed(work)))
        self.loop.run_until_complete(asyncio.sleep(0))

    async def _until_killed(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Do it, and say whether it was the end of the process."""
        try:
            await work
        except Killed:
            return True
        except (Unavailable, NodeRefused) as error:
            if error.code not in EXPECTED:
                raise
        return False

    def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let time pass until it is done; a checkpoint's kill meanwhile is one of the whole process."""
        done = self.loop.create_task(work)
        while not done.done():
            self.loop.run_until_complete(
                asyncio.wait([done, *self.tasks], return_when=asyncio.FIRST_COMPLETED)
            )
            ended = [task for task in self.tasks if task.done()]
            self.tasks = [task for task in self.tasks if not task.done()]
            if sum(task.result() for task in ended):  # all of them: each may have failed
                self._kill()
        done.result()

    def _kill(self) -> None:
        self._kill_tasks()
        self.relayer = self._new_relayer()

    def _kill_tasks(self) -> None:
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            self.loop.run_until_complete(asyncio.wait(self.tasks))
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            if not task.cancelled():
                task.result()


Faults.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=[*HealthCheck]
)
TestEachPurposeIsMinedOnce = Faults.TestCase
