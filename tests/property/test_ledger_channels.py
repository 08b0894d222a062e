"""Whatever a carrier does to a channel, its reader knows what it has and what it has not."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from evmesh.ledger.channels_epoch import Opened, Repeated
from evmesh.ledger.channels_reader import ChannelReader
from tests.unit.ledger.channel_world import DRIVER, let_in, writing

WRITTEN = 12


@given(st.lists(st.integers(0, WRITTEN - 1), min_size=1, max_size=30), st.integers(0, 30))
def test_every_frame_is_opened_once_and_every_gap_is_told(delivered: Sequence[int], restart: int) -> None:
    writer = writing()
    reader = let_in(writer)
    sent = [writer.write(bytes([number])) for number in range(WRITTEN)]
    opened: list[int] = []
    for step, number in enumerate(delivered):
        if step == restart:
            reader = ChannelReader.restore(writer.channel, DRIVER, reader.state())
        outcome = reader.take(sent[number].place, sent[number].packet)
        if isinstance(outcome, Opened):
            assert outcome.body == bytes([number])
            opened.append(number)
        else:
            assert isinstance(outcome, Repeated)
    assert sorted(opened) == sorted(set(delivered))
    told = {
        seq
        for gap in reader.missing()
        for seq in range(gap.first, (max(delivered) if gap.last is None else gap.last) + 1)
    }
    assert told == set(range(max(delivered))) - set(delivered)
