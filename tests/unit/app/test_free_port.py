"""Ports for those who name none."""

import socket
from pathlib import Path

from evmesh.app import free_port as module
from evmesh.app.free_port import free_port


def test_no_port_is_given_twice_and_none_that_an_outgoing_connection_may_take() -> None:
    outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == 200
    assert max(ports) < outgoing


def test_a_port_on_which_somebody_listens_is_not_given() -> None:
    port = free_port()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        assert not module._is_free(port)
