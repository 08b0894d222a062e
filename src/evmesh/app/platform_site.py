"""The site at the start of a platform: as the registry has it, or as it was remembered without a chain.

A site that has run before needs no chain to begin: its connectors have their numbers, and drivers whose
tabs were seen can charge (`services/tab_memory.py`). What else the chain has to be told or asked at a start
follows when it is back.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from evmesh.app.config import SiteConfig
from evmesh.app.registration import directory_of, register_site, say_where, with_retired, write_codes
from evmesh.domain.errors import EvmeshError, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.stations import Connector
from evmesh.ledger.networks import confirmations_on
from evmesh.ledger.registry import AssetOwner
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.rpc import JsonRpc
from evmesh.services.directory import Directory, Place
from evmesh.store.places import PlaceBook

_log = structlog.get_logger(__name__)
_ASK_AGAIN_S: Final = 2.0
"""Wall seconds between two questions to a chain that was away at the start."""

_AS_BEFORE: Final = (
    "ref", "rating", "phases", "max_current", "latitude_udeg", "longitude_udeg", "price",
)  # fmt: skip
"""What the registry holds of a connector, beside its name."""


@dataclass(frozen=True, slots=True)
class SiteWorld:
    """What a site is opened with."""

    data: Path
    site: SiteConfig
    url: str
    rpc: JsonRpc
    owner: AssetOwner
    relayers: Sequence[Relayer]
    operator_secret: bytes
    meter_key: Address
    book: PlaceBook


async def patience_on(rpc: JsonRpc, known: int, wanted: int | None) -> int:
    """Give how many blocks our transactions must have; a chain that is away counts as the known one."""
    try:
        served = await rpc.chain_id()
    except Unavailable:
        served = known
    return confirmations_on(served, known, wanted)


class SiteOnChain:
    """Runs until cancelled: tells the chain at the start what it has to be told, as soon as it answers."""

    name = "site-on-chain"

    def __init__(self, world: SiteWorld) -> None:
        self._world = world
        self._is_done = False

    async def open(self) -> Directory:
        """Register the site, or give it as it was remembered; writes the stickers.

        Raises Unavailable without a chain where something about the site is new.
        """
        world = self._world
        try:
            directory = await self._register()
        except Unavailable as away:
            directory = await remembered(world, away)
            _log.warning("site.remembered", why=away.describe(), places=len(directory.places))
        write_codes(world.data, directory)
        return await with_retired(directory, world.book)

    async def run(self) -> None:
        """Catch up with a chain that was away, then rest."""
        while not self._is_done:
            await asyncio.sleep(_ASK_AGAIN_S)
            try:
                await self._register()
            except Unavailable:
                continue
            except EvmeshError as error:
                _log.error("site.not_registered", why=error.describe())
                break
            _log.info("site.registered")
        await asyncio.Event().wait()

    async def _register(self) -> Directory:
        world = self._world
        for relayer in world.relayers:
            await relayer.recover()
        block = await world.rpc.block_number()
        directory = await register_site(
            world.site, world.owner, world.operator_secret, world.meter_key, block
        )
        await say_where(world.owner, world.url, block)
        self._is_done = True
        return directory


async def remembered(world: SiteWorld, away: Unavailable) -> Directory:
    """Give the site with the numbers that it had; raises `away` where a connector is new or has changed."""
    known = {place.connector.evse_id: place for place in await world.book.all()}  # the newest of each

    async def number_of(connector: Connector, deposit: Address, group: int) -> int:
        place = known.get(connector.evse_id)
        if place is None or not _is_as_before(place, connector) or place.deposit_address != deposit:
            raise away
        return place.asset

    return await directory_of(world.site, world.operator_secret, number_of)


def _is_as_before(place: Place, connector: Connector) -> bool:
    return all(getattr(place.connector, name) == getattr(connector, name) for name in _AS_BEFORE)
