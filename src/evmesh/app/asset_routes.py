"""The HTTP API of assets: how they are on the public ledger, and the operator's own registering."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi import Path as InPath
from pydantic import Field

from evmesh.app.api_models import Body
from evmesh.app.asset_file import AssetSpec, keep_record
from evmesh.app.callers import require_operator
from evmesh.app.instants import instant
from evmesh.domain.asset_status import Occupancy, StatusRecord
from evmesh.domain.channel_announcement import Announcement
from evmesh.domain.errors import Refused
from evmesh.domain.ids import Address
from evmesh.domain.station_code import code_of
from evmesh.ledger.asset_status import StatusReader
from evmesh.ledger.channels_announcements import StationAnnouncer
from evmesh.ledger.registry import AssetOwner
from evmesh.services.status_feed import AREA, StatusFeed

Json = dict[str, Any]
Number = Annotated[int, InPath(ge=1, lt=2**40)]


class RegisterBody(Body):
    """An asset as a file for `evmesh station register` has it."""

    asset: dict[str, Any]


class AnnounceBody(Body):
    """What to announce of a station beside its keys."""

    asset: Annotated[int, Field(ge=1, lt=2**35)]
    note: Annotated[str, Field(max_length=280)] = ""


@dataclass(frozen=True, slots=True)
class AssetParts:
    """What the routes call."""

    data: Path
    owner: AssetOwner
    operator_secret: bytes
    meter_key: Address
    reader: StatusReader
    feed: StatusFeed
    announcer: StationAnnouncer
    inbox: bytes
    now: Callable[[], int]


def asset_routes(parts: AssetParts) -> Callable[[FastAPI], None]:
    """Give what adds the routes."""

    def add(app: FastAPI) -> None:
        _add_views(app, parts)
        _add_operator(app, parts)

    return add


def status_json(record: StatusRecord | None) -> Json:
    """Give a record as it is shown."""
    if record is None:
        return {"published": False}
    known = record.state in list(Occupancy)
    return {
        "published": True,
        "asset": record.asset,
        "code": code_of(record.asset),
        "step": record.step,
        "at": instant(record.at),
        "state": Occupancy(record.state).name.lower() if known else f"reserved_{record.state}",
        "soc_percent": record.soc_percent,
        "power_w": record.power,
        "limit_w": record.limit,
        "energy_left_wh": record.energy_left,
        "time_left_s": record.time_left_s,
        "at_hand_wh": record.at_hand,
    }


def _add_views(app: FastAPI, parts: AssetParts) -> None:
    @app.get("/v1/assets/{asset}/status")
    async def status(asset: Number) -> Json:
        """How an asset of ours was in the newest step that is on the chain."""
        return status_json(await parts.reader.newest(parts.owner.address, asset))

    @app.get("/v1/areas/{area}")
    async def area(area: Annotated[int, InPath(ge=0, lt=2**63)]) -> Json:
        """Which assets an area's map is about, in order: the list whose hash `AssetStatus` holds."""
        if area != AREA:
            raise Refused("status.unknown_area", f"we have no area {area}", do=f"ask for {AREA}")
        return {"area": area, "assets": list(parts.feed.assets)}


def _add_operator(app: FastAPI, parts: AssetParts) -> None:
    @app.post("/v1/assets", status_code=201)
    async def register(body: RegisterBody, request: Request) -> Json:
        """Register an asset of any kind, as the operator; the same one is registered once."""
        require_operator(request)
        spec = AssetSpec.of(body.asset, parts.meter_key)
        number = await parts.owner.register(
            spec.new_asset(parts.owner.address, parts.operator_secret), spec.key
        )
        keep_record(parts.data, number, spec.raw)
        return {"asset": number, "code": code_of(number), "owner": parts.owner.address.text}

    @app.post("/v1/announcements", status_code=201)
    async def announce(body: AnnounceBody, request: Request) -> Json:
        """Announce a station of ours now, with words of the operator's."""
        require_operator(request)
        announcement = Announcement(body.asset, "", parts.inbox, None, body.note)
        mined = await parts.announcer.announce(announcement, f"announce:{body.asset}:{parts.now()}")
        return {"asset": body.asset, "code": code_of(body.asset), "tx_hash": mined.tx_hash}
