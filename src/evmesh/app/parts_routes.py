"""The HTTP API of stations from parts: what their operator says by hand."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Path, Request

from evmesh.app.callers import require_operator
from evmesh.domain.errors import Refused
from evmesh.domain.ids import StationId
from evmesh.edge.station import StationFromParts

Json = dict[str, Any]
Name = Annotated[str, Path(max_length=64)]


def parts_routes(named: Mapping[StationId, StationFromParts]) -> Callable[[FastAPI], None]:
    """Give what adds the routes."""

    def add(app: FastAPI) -> None:
        @app.post("/v1/meters/{name}/swapped")
        async def swapped(name: Name, request: Request) -> Json:
            """Say that a station from parts has another meter; a charge ends with the old one's register."""
            require_operator(request)
            station = named.get(StationId(name))
            if station is None:
                raise Refused("meter.not_here", f"no station from parts is called {name[:64]!r}", path="name")
            return {"meter": name, "ended_charge": await station.take_new_meter()}

    return add
