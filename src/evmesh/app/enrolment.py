"""Sets up who may reach the broker: the authority, a certificate for everybody, Mosquitto's files.

DIR/pki/             the authority's directory (`telemetry/pki.py`)
DIR/mosquitto.conf   include it, or start Mosquitto with it
DIR/access.acl       who may touch which topics
"""

import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from evmesh.app.clock import WallClock
from evmesh.domain.nouns import counted
from evmesh.edge.config import load_gateway
from evmesh.telemetry.broker_access import (
    OWN_USERS,
    BrokerFiles,
    access_list,
    configuration,
    without_user,
)
from evmesh.telemetry.pki import Authority

SERVER = "broker"
MOSQUITTO = "mosquitto"
"""The account that Debian's package makes."""


def enrol(
    directory: Path, sites: Sequence[Path], hosts: Sequence[str], port: int, revoke: str | None
) -> Iterator[str]:
    """Make what is missing, and say what was made; a second run makes nothing twice."""
    directory = directory.absolute()  # Mosquitto is started from anywhere
    authority = Authority(directory / "pki", WallClock().now())
    access = directory / "access.acl"
    if revoke is not None:
        authority.revoke(revoke)
        if access.exists():
            _write(access, without_user(access.read_text(), revoke))
            _hand_over(access)
        yield f"{revoke} may do nothing once Mosquitto reads its files anew: kill -HUP"
    configs = [load_gateway(one) for one in sites]
    gateways = {one.name: [device.name for device in one.devices] for one in configs if one.name != revoke}
    server = authority.directory / f"{SERVER}.crt"
    if not server.exists():
        authority.issue_server(SERVER, hosts)
        yield f"the broker's certificate for {', '.join(hosts)}: {server}"
    for user in (*OWN_USERS, *gateways):
        if user != revoke and not (authority.directory / f"{user}.crt").exists():
            yield f"a certificate for {user}: {authority.issue_client(user)}"
    if not sites:
        return
    _write(access, access_list(gateways))
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
    _hand_over(authority.directory, files.key, access, files.data)
    yield f"Mosquitto's configuration for {counted(len(gateways), 'gateway')}: {directory / 'mosquitto.conf'}"


def _hand_over(*paths: Path) -> None:
    """Give to Mosquitto's own user what it has to read or write; started by root, it becomes that user."""
    if os.geteuid() != 0:
        return
    with suppress(KeyError):
        account = pwd.getpwnam(MOSQUITTO)
        for path in paths:
            os.chown(path, account.pw_uid, account.pw_gid)


def _write(access: Path, text: str) -> None:
    """Write the list, for Mosquitto's group to read, in one step."""
    new = access.with_name(access.name + ".new")
    new.write_text(text)
    new.chmod(0o640)
    new.replace(access)
