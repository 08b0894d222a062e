"""Where a broker is."""

import pytest

from evmesh.domain.broker_address import BrokerAddress
from evmesh.domain.errors import InvalidInput


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("mqtt://127.0.0.1", BrokerAddress("127.0.0.1", 1883, False)),
        ("mqtts://broker.example/", BrokerAddress("broker.example", 8883, True)),
        ("mqtt://[::1]:9883", BrokerAddress("::1", 9883, False)),
    ],
)
def test_an_address_is_read_with_its_usual_port(url: str, found: BrokerAddress) -> None:
    assert BrokerAddress.parse(url, "some.code") == found


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:1883",
        "http://here",
        "mqtt://",
        "mqtt://h:99999",
        "mqtt://h:x",
        "mqtt://h/topic",
        "mqtt://me:word@h",
        "mqtt://h:0",
    ],
)
def test_what_is_none_is_refused_at_its_place(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"some\.code") as refused:
        BrokerAddress.parse(url, "some.code", "gateway.broker")
    assert refused.value.path == "gateway.broker"
