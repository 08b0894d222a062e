"""Station announcements: found by the code on the charge point, believed from the asset's owner only."""

from evmesh.domain.chain import Mined
from evmesh.domain.channel_announcement import Announcement, station_tag
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.station_code import code_of, counter_of
from evmesh.domain.stations import AssetFacts
from evmesh.ledger.message_board import BoardReader, MessageBoard
from evmesh.ports import Registry


class StationFinder:
    """Finds what the owner of a station says of it; needs a node and no server of the operator's."""

    def __init__(self, registry: Registry, board: BoardReader) -> None:
        self._registry = registry
        self._board = board

    async def find(self, code: str) -> tuple[AssetFacts, Announcement | None]:
        """Give a station by its code, and the announcement that stands, if any.

        What others posted under the code is not looked at. Raises InvalidInput `station.*` for a mistyped
        code, Refused `station.unknown`, Unavailable `board.pruned`, and IntegrityFailure
        `announcement.malformed` or `announcement.other_station` where the owner itself posted nonsense.
        """
        asset = counter_of(code)
        facts = await self._registry.find(asset)
        if facts is None:
            raise Refused(
                "station.unknown",
                f"no charge point has the code {code_of(asset)}",
                do="compare it with the charge point, and check that this is the right chain",
            )
        body = await self._board.newest(facts.owner, station_tag(code))
        if body is None:
            return facts, None
        try:
            announcement = Announcement.parse(body)
        except InvalidInput as error:
            raise IntegrityFailure(
                "announcement.malformed", f"the announcement is none: {error.what}"
            ) from error
        if announcement.asset != asset:
            raise IntegrityFailure("announcement.other_station", "the announcement is of another station")
        return facts, announcement


class StationAnnouncer:
    """Announces the stations of one account."""

    def __init__(self, registry: Registry, board: MessageBoard) -> None:
        self._registry = registry
        self._board = board

    async def announce(self, announcement: Announcement, key: str) -> Mined:
        """Post it; post it again, with another key, within the time that nodes keep logs.

        Raises Refused `announcement.not_the_owner`: nobody would believe it.
        """
        facts = await self._registry.find(announcement.asset)
        if facts is None or facts.owner != self._board.address:
            raise Refused(
                "announcement.not_the_owner",
                f"the station {code_of(announcement.asset)} does not belong to {self._board.address}",
                do="announce it from the account that registered it",
            )
        return await self._board.post(station_tag(facts.code), announcement.encode(), key)

    async def withdraw(self, asset: int, key: str) -> Mined:
        """Take the announcement of a station back; raises Refused `board.nothing_posted`."""
        return await self._board.withdraw(station_tag(code_of(asset)), key)
