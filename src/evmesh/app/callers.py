"""Who calls: the address that quotas count by, and whether it is the operator.

The address is the peer's, or whom a proxy that the site file trusts asks for (`app/http_server.py`).
"""

from ipaddress import IPv4Address, ip_address, ip_network
from typing import Final

from fastapi import Request

from evmesh.domain.errors import Refused

_PASSED_ON: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_IPV6_PREFIX: Final = 64


def address_of(request: Request) -> str:
    """Give the name by which a caller's network address is counted.

    Of IPv6 it is the network: whoever has one address has the 2^64 of a /64 (RFC 6177).
    """
    return f"address {_counted(request.client.host) if request.client else 'unknown'}"


def _counted(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), _IPV6_PREFIX), strict=False))


def require_operator(request: Request) -> None:
    """Raise Refused where a call does not come from this machine: there are no roles yet.

    What a proxy on this machine passes on is somebody else's, and so is what a page of another site asks
    for through a browser here.
    """
    host = request.client.host if request.client else ""
    try:
        is_local = ip_address(host).is_loopback
    except ValueError:
        is_local = False
    is_foreign = request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    if not is_local or is_foreign or any(name in request.headers for name in _PASSED_ON):
        raise Refused(
            "api.operator_only", "this is for the operator, on the platform's own machine", do="ask there"
        )
