"""Mosquitto's configuration and access list for a broker that gateways reach from outside.

The certificate's common name is the user, and each user may touch its own topics and no other's. The list
names every topic: Mosquitto's `pattern … %u` would let a user called `a/x` into the topics of `a`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evmesh.domain.errors import InvalidInput
from evmesh.telemetry.topics import PUBLISHER_FILTER, VALUE_FILTER, checked_name

PORT: Final = 8883
INGEST: Final = "ingest"
PLATFORM: Final = "platform"
READER: Final = "reader"
MOST_MESSAGE: Final = 64 * 1024
"""Bytes; the longest message, an acknowledgement of many ranges, has less."""
OWN_USERS: Final = (INGEST, PLATFORM, READER)


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """What the configuration points to."""

    directory: Path
    certificate: Path
    key: Path
    authority: Path
    crl: Path
    access: Path
    data: Path
    """Where Mosquitto keeps sessions and retained values; its user has to own it."""


def access_list(gateways: Mapping[str, Sequence[str]]) -> str:
    """Give Mosquitto's ACL file: by gateway, the chargers that are behind it."""
    owner: dict[str, str] = {}
    lines = ["# Written by `evmesh edge enrol`; it is written anew with every change.", ""]
    for gateway, chargers in sorted(gateways.items()):
        if checked_name(gateway) in OWN_USERS:
            raise InvalidInput("edge.bad_name", f"{gateway} is the name of a user of the platform")
        lines.append(f"user {gateway}")
        lines.append(f"topic write publishers/{gateway}/Availability")
        for name in [gateway, *chargers]:
            if owner.setdefault(checked_name(name), gateway) != gateway:
                raise InvalidInput("edge.taken", f"{name} is behind {owner[name]} already")
            lines += [
                f"topic write chargers/{name}/+",
                f"topic write chargers/{name}/result/+",
                f"topic read chargers/{name}/set/+",
                f"topic read ack/{name}",
            ]
        lines.append("")
    lines += [f"user {INGEST}", f"topic read {VALUE_FILTER}", f"topic read {PUBLISHER_FILTER}"]
    lines += ["topic write ack/+", ""]
    lines += [f"user {PLATFORM}", f"topic readwrite {VALUE_FILTER}", f"topic readwrite {PUBLISHER_FILTER}"]
    lines += ["topic write chargers/+/set/+", "topic read chargers/+/result/+", "topic read ack/+", ""]
    lines += [f"user {READER}", f"topic read {VALUE_FILTER}", f"topic read {PUBLISHER_FILTER}", ""]
    return "\n".join(lines)


def without_user(access: str, user: str) -> str:
    """Give an ACL file without what it lets one user do.

    A broker that reads it anew takes these rights from a client that is connected, too; a list of revoked
    certificates is only looked at when somebody connects.
    """
    sections = access.split("\n\n")
    return "\n\n".join(one for one in sections if one.partition("\n")[0] != f"user {checked_name(user)}")


def configuration(files: BrokerFiles, *, port: int = PORT, bind: str | None = None) -> str:
    """Give Mosquitto's configuration: TLS with a certificate from everybody, and nothing in plain text."""
    lines = [
        "# Written by `evmesh edge enrol`.",
        "per_listener_settings false",
        "allow_anonymous false",
        f"acl_file {files.access}",
        "persistence true",
        f"persistence_location {files.data}/",
        "autosave_interval 60",
        "max_queued_messages 0",
        "max_inflight_messages 100",
        f"max_packet_size {MOST_MESSAGE}",
        f"listener {port} {bind}" if bind else f"listener {port}",
        f"cafile {files.authority}",
        f"certfile {files.certificate}",
        f"keyfile {files.key}",
        f"crlfile {files.crl}",
        "require_certificate true",
        "use_identity_as_username true",
        "tls_version tlsv1.2",
    ]
    return "\n".join(lines) + "\n"
