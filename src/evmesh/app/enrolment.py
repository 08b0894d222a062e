"""Sets up who may reach the broker: the authority, a certificate for everybody, Mosquitto's files.

DIR/pki/             the authority's directory (`telemetry/pki.py`)
DIR/mosquitto.conf   include it, or start Mosquitto with it
DIR/access.acl       who may touch which topics
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from evmesh.app.clock import WallClock
from evmesh.edge.config import load_gateway
from evmesh.telemetry.broker_access import OWN_USERS, BrokerFiles, access_list, configuration
from evmesh.telemetry.pki import Authority

SERVER = "broker"


def enrol(
    directory: Path, sites: Sequence[Path], hosts: Sequence[str], port: int, revoke: str | None
) -> Iterator[str]:
    """Make what is missing, and say what was made; a second run makes nothing twice."""
    directory = directory.absolute()  # Mosquitto is started from anywhere
    authority = Authority(directory / "pki", WallClock().now())
    if revoke is not None:
        authority.revoke(revoke)
        yield f"{revoke} is let in no more once Mosquitto reads {authority.crl_path} (kill -HUP)"
    gateways = {config.name: [one.name for one in config.devices] for config in map(load_gateway, sites)}
    server = authority.directory / f"{SERVER}.crt"
    if not server.exists():
        authority.issue_server(SERVER, hosts)
        yield f"the broker's certificate for {', '.join(hosts)}: {server}"
    for user in (*OWN_USERS, *gateways):
        if user != revoke and not (authority.directory / f"{user}.crt").exists():
            yield f"a certificate for {user}: {authority.issue_client(user)}"
    if not sites:
        return
    access = directory / "access.acl"
    access.write_text(access_list(gateways))
    access.chmod(0o640)
    files = BrokerFiles(
        authority.directory,
        server,
        server.with_suffix(".key"),
        authority.certificate_path,
        authority.crl_path,
        access,
        directory / "data",
    )
    files.data.mkdir(exist_ok=True)
    (directory / "mosquitto.conf").write_text(configuration(files, port=port))
    yield f"Mosquitto's configuration for {len(gateways)} gateways: {directory / 'mosquitto.conf'}"
