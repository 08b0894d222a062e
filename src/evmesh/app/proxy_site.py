"""`trusted_proxies` of a site file: who may say for whom it asks."""

from ipaddress import ip_network
from typing import Any

from evmesh.domain.errors import InvalidInput

_MOST = 100


def proxies_of(entry: Any) -> tuple[str, ...]:
    """Read a list of addresses and networks; raises InvalidInput, also on a network of everybody."""
    if entry is None:
        return ()
    if not isinstance(entry, list) or len(entry) > _MOST:
        raise _bad("trusted_proxies", f"a list of at most {_MOST} addresses must stand here")
    return tuple(_proxy(one, f"trusted_proxies[{number}]") for number, one in enumerate(entry))


def _proxy(one: Any, path: str) -> str:
    try:
        network = ip_network(one if isinstance(one, str) else "")
    except ValueError as error:
        raise _bad(path, f"{one!r:.60} is no IP address or network") from error
    if network.prefixlen == 0:
        raise _bad(path, "everybody is nobody's proxy: name the proxy's own address")
    return str(network if network.num_addresses > 1 else network.network_address)


def _bad(path: str, what: str) -> InvalidInput:
    return InvalidInput("site.bad_entry", what, do="write e.g. 127.0.0.1 or 10.0.0.0/24", path=path)
