"""`evmesh ingest`: everybody's values from a broker into a time series, as a process of its own."""

from pathlib import Path
from typing import Annotated

import typer

from evmesh.app.errors import exit_on_error
from evmesh.domain.errors import InvalidInput

DbOption = Annotated[
    str,
    typer.Option(
        "--db", envvar="EVMESH_TELEMETRY_DB", metavar="URL", help="sqlite:///FILE or postgresql://…"
    ),
]
PemOption = Annotated[Path | None, typer.Option(metavar="FILE", help="PEM; mqtts:// needs all three")]


def ingest_command(
    broker: Annotated[
        str | None,
        typer.Option(envvar="EVMESH_BROKER", metavar="URL", help="mqtt://host:port or mqtts://host:port"),
    ] = None,
    db: DbOption = "sqlite:///telemetry.db",
    authority: PemOption = None,
    certificate: PemOption = None,
    key: PemOption = None,
    client_id: Annotated[
        str, typer.Option(help="the broker keeps what waits under this name; each ingest needs its own")
    ] = "evmesh-ingest",
    keep_days: Annotated[
        int | None,
        typer.Option(min=1, help="drop readings of whole months (PostgreSQL) or chunks that are older"),
    ] = None,
) -> None:
    """Store every value that a broker carries: once each, acknowledged when it is on the disk."""
    from evmesh.app.clock import WallClock
    from evmesh.app.ingest_service import StoredIngest, broker_at
    from evmesh.app.running import log_json, run_until_signal
    from evmesh.app.services import run_all
    from evmesh.app.telemetry_db import readings_at

    log_json()
    with exit_on_error():
        if broker is None:
            raise InvalidInput(
                "ingest.no_broker",
                "no broker is named",
                do="name it with --broker mqtt://HOST:1883 (Debian's mosquitto listens there); "
                "`evmesh up` has an ingest of its own, which needs none of this",
                path="broker",
            )
        config = broker_at(broker, authority, certificate, key)
        readings_at(db)  # a mistake is said now, and not at each attempt
        service = StoredIngest(config, db, WallClock(), client_id, keep_days)
        typer.echo(f"ingest from {config.host}:{config.port}")
        run_until_signal(run_all((service,)))
