"""Follows a channel where it is carried: what is stored first, then what comes, through its epochs."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from evmesh.domain.channel_frame import Sent
from evmesh.domain.errors import EvmeshError, IntegrityFailure, InvalidInput
from evmesh.ledger.channels_reader import ChannelReader, Outcome
from evmesh.ports import FrameLine


@dataclass(frozen=True, slots=True)
class Worthless:
    """Something lay at a place of the channel that is not the writer's: `why` tells what is false."""

    place: bytes
    why: EvmeshError


async def follow(reader: ChannelReader, line: FrameLine) -> AsyncGenerator[Outcome | Worthless]:
    """Give what happens on a channel, until the line is cut (Unavailable `broker.away`).

    Anybody can write to a place, so what is forged is an outcome and no end. Frames may come in any
    order; once the stored ones are in, `reader.missing()` tells what nobody has kept. To go on after a
    cut, follow the same reader on a new line.
    """
    await _watch(reader, line)
    async for place, packet in line.packets():
        if place not in reader.places():
            continue  # of an epoch that is over
        try:
            outcome = reader.take(place, packet)
        except (IntegrityFailure, InvalidInput) as error:
            yield Worthless(place, error)
            continue
        yield outcome
        await _watch(reader, line)


async def send(sent: Sequence[Sent], line: FrameLine) -> None:
    """Carry what a writer's step gave, in order; that step's `state()` has to be durable by now."""
    for one in sent:
        await line.put(one.place, one.slot, one.packet)


async def _watch(reader: ChannelReader, line: FrameLine) -> None:
    for place in reader.places():
        await line.watch(place)
