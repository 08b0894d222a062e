"""Who may do what at a broker that gateways reach from outside: a real Mosquitto with the written files."""

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiomqtt import Client, MqttError

from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused, Unavailable
from evmesh.domain.telemetry import NumberedValue, TelemetryValue
from evmesh.edge.gateway import Gateway
from evmesh.edge.outbox import Outbox
from evmesh.telemetry.broker_access import (
    INGEST,
    BrokerFiles,
    access_list,
    configuration,
    without_user,
)
from evmesh.telemetry.connection import MqttConfig, TlsFiles
from evmesh.telemetry.pki import Authority
from evmesh.telemetry.uplink import MqttUplink
from tests.brokers import StepClock, running
from tests.contract.chain import free_port

NOW = datetime.now(UTC)
GATEWAYS = {"gw-1": ["cp-1", "cp-2"], "gw-2": ["cp-3"]}
PATIENCE_S = 60
"""For what the broker answers: how soon says nothing about who may do what."""

REFUSED_S = 3
"""For what it answers by cutting the line, which a stock client only notices by this."""


@dataclass
class Guarded:
    """A broker with its authority."""

    authority: Authority
    process: subprocess.Popen[bytes]
    port: int

    def config(self, user: str) -> MqttConfig:
        directory = self.authority.directory
        tls = TlsFiles(self.authority.certificate_path, directory / f"{user}.crt", directory / f"{user}.key")
        return MqttConfig("127.0.0.1", self.port, connect_timeout_s=PATIENCE_S, tls=tls, version=5)

    def client(self, user: str) -> Client:
        """A stock client with a user's certificate."""
        config = self.config(user)
        assert config.tls is not None
        return Client("127.0.0.1", self.port, tls_context=config.tls.context(), timeout=PATIENCE_S)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Guarded]:
    authority = Authority(tmp_path / "pki", NOW)
    server = authority.issue_server("broker", ["127.0.0.1", "localhost"])
    for user in (*GATEWAYS, INGEST):
        authority.issue_client(user)
    access = tmp_path / "access.acl"
    access.write_text(access_list(GATEWAYS))
    access.chmod(0o600)
    data = tmp_path / "data"
    data.mkdir()
    files = BrokerFiles(
        authority.directory,
        server,
        server.with_suffix(".key"),
        authority.certificate_path,
        authority.crl_path,
        access,
        data,
    )
    port = free_port()
    (tmp_path / "mosquitto.conf").write_text(
        configuration(files, port=port, bind="127.0.0.1") + f"user {os.environ.get('USER', 'root')}\n"
    )
    with (tmp_path / "broker.log").open("wb") as log:
        process = subprocess.Popen(["mosquitto", "-c", tmp_path / "mosquitto.conf"], stdout=log, stderr=log)
    try:
        guarded = Guarded(authority, process, port)
        await until_listening(guarded)
        yield guarded
    finally:
        process.kill()
        process.wait()


async def until_listening(broker: Guarded) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                async with broker.client(INGEST):
                    return
            except MqttError:
                await asyncio.sleep(0.02)


def reading(charger: str) -> NumberedValue:
    return NumberedValue(TelemetryValue(charger, "PowerOutput", NOW, 7_000), "gw-1-0123", 1)


@asynccontextmanager
async def listening(broker: Guarded, user: str, *topics: str) -> AsyncIterator[list[str]]:
    """Keep what a user hears."""
    heard: list[str] = []

    async def listen() -> None:
        async for message in client.messages:
            heard.append(message.topic.value)

    async with broker.client(user) as client, asyncio.TaskGroup() as group:
        for topic in topics:
            await client.subscribe(topic, qos=1)
        task = group.create_task(listen())
        yield heard
        task.cancel()


async def until_heard(heard: list[str], topic: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while topic not in heard:
            await asyncio.sleep(0.01)


async def test_a_gateway_writes_to_its_own_chargers_and_is_heard(broker: Guarded) -> None:
    uplink = MqttUplink(broker.config("gw-1"), "gw-1", "gw-1-0123", StepClock())
    async with (
        listening(broker, INGEST, "chargers/+/+", "publishers/+/Availability") as heard,
        uplink.open(["gw-1", "cp-1", "cp-2"]) as line,
    ):
        await line.send([reading("cp-1"), reading("cp-2")])
        await until_heard(heard, "chargers/cp-2/PowerOutput")
    assert {"chargers/cp-1/PowerOutput", "publishers/gw-1/Availability"} <= set(heard)


async def test_a_write_to_another_s_charger_is_noticed_and_heard_by_nobody(broker: Guarded) -> None:
    uplink = MqttUplink(broker.config("gw-1"), "gw-1", "gw-1-0123", StepClock())
    async with listening(broker, INGEST, "chargers/+/+") as heard:
        with pytest.raises(Unavailable, match=r"broker\.publish_refused"):
            await send(uplink, reading("cp-3"))
        await send(uplink, reading("cp-1"))  # anew: this Mosquitto cuts the line after a refusal
        await until_heard(heard, "chargers/cp-1/PowerOutput")
    assert "chargers/cp-3/PowerOutput" not in heard


async def send(uplink: MqttUplink, *readings: NumberedValue) -> None:
    """Send over a connection of their own; what went wrong first is what comes out."""
    try:
        async with uplink.open(["gw-1", "cp-1"]) as line:
            await line.send(readings)
    except* Unavailable as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


async def test_a_charger_that_the_broker_refuses_keeps_no_other_back(broker: Guarded, tmp_path: Path) -> None:
    clock = StepClock()
    uplink = MqttUplink(broker.config("gw-1"), "gw-1", "gw-1-0123", clock)
    async with Outbox(tmp_path / "outbox.db", "gw-1-0123") as outbox:
        gateway = Gateway("gw-1", [], outbox, uplink, clock, longest_delay_s=0.1)
        await gateway.put([reading(name).value for name in ("cp-3", "cp-1", "cp-3", "cp-2")])
        async with listening(broker, INGEST, "chargers/+/+") as heard, running(gateway):
            await until_heard(heard, "chargers/cp-1/PowerOutput")
            await until_heard(heard, "chargers/cp-2/PowerOutput")
        assert await outbox.count() == 4
    assert "chargers/cp-3/PowerOutput" not in heard


async def test_a_gateway_whose_certificate_is_taken_away_goes_on_and_comes_back_with_it(
    broker: Guarded, tmp_path: Path
) -> None:
    clock = StepClock()
    key = broker.authority.directory / "gw-1.key"
    away = key.rename(key.with_suffix(".away"))
    async with Outbox(tmp_path / "outbox.db", "gw-1-0123") as outbox:
        uplink = MqttUplink(broker.config("gw-1"), "gw-1", "gw-1-0123", clock)
        gateway = Gateway("gw-1", [], outbox, uplink, clock, longest_delay_s=0.1)
        await gateway.put([reading("cp-1").value])
        async with listening(broker, INGEST, "chargers/+/+") as heard, running(gateway):
            with pytest.raises(Unavailable, match=r"broker\.away"):
                await send(uplink, reading("cp-1"))
            away.rename(key)
            await until_heard(heard, "chargers/cp-1/PowerOutput")


async def test_commands_reach_the_gateway_that_they_are_for_alone(broker: Guarded) -> None:
    broker.authority.issue_client("platform")
    async with (
        listening(broker, "gw-1", "chargers/+/set/+", "chargers/cp-1/set/+") as first,
        listening(broker, "gw-2", "chargers/+/set/+", "chargers/cp-3/set/+") as second,
        broker.client("platform") as platform,
    ):
        await platform.publish("chargers/cp-3/set/MaximumOutputCurrent", b"{}", qos=1)
        await platform.publish("chargers/cp-1/set/MaximumOutputCurrent", b"{}", qos=1)
        await until_heard(first, "chargers/cp-1/set/MaximumOutputCurrent")
        await until_heard(second, "chargers/cp-3/set/MaximumOutputCurrent")
    assert set(first) == {"chargers/cp-1/set/MaximumOutputCurrent"}
    assert set(second) == {"chargers/cp-3/set/MaximumOutputCurrent"}


async def test_only_the_ingest_may_say_that_readings_are_stored(broker: Guarded) -> None:
    async with (
        listening(broker, "gw-1", "ack/cp-1") as heard,
        broker.client("gw-2") as thief,
        broker.client(INGEST) as ingest,
    ):
        await thief.publish("ack/cp-1", b"forged", qos=1)
        await ingest.publish("ack/cp-1", b"true", qos=1)
        await until_heard(heard, "ack/cp-1")
    assert heard == ["ack/cp-1"]


async def test_nobody_gets_in_without_a_certificate_or_with_one_of_another_authority(
    broker: Guarded, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "strange", NOW)
    stranger.issue_client("gw-1")
    without = ssl.create_default_context(cafile=broker.authority.certificate_path)
    with_false = ssl.create_default_context(cafile=broker.authority.certificate_path)
    with_false.load_cert_chain(stranger.directory / "gw-1.crt", stranger.directory / "gw-1.key")
    for context in (without, with_false):
        with pytest.raises((MqttError, ssl.SSLError, OSError)):
            async with Client("127.0.0.1", broker.port, tls_context=context, timeout=2):
                pass


async def test_a_revoked_gateway_stays_outside(broker: Guarded) -> None:
    kept = broker.config("gw-2").tls
    assert kept is not None
    context = kept.context()  # the thief has a copy of the files
    async with Client("127.0.0.1", broker.port, tls_context=context, timeout=PATIENCE_S):
        pass
    certificate = broker.authority.directory / "gw-2.crt"
    copy = certificate.read_bytes()
    broker.authority.revoke("gw-2")
    broker.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                async with Client("127.0.0.1", broker.port, tls_context=context, timeout=2):
                    await asyncio.sleep(0.05)
            except (MqttError, ssl.SSLError, OSError):
                break
    async with broker.client("gw-1"):
        pass
    stolen = certificate.with_name("stolen.crt")
    stolen.write_bytes(copy)
    assert broker.authority.is_revoked(stolen)


async def test_a_gateway_that_is_revoked_while_it_is_connected_is_heard_no_more(
    tmp_path: Path, broker: Guarded
) -> None:
    access = tmp_path / "access.acl"
    topic = "chargers/cp-3/PowerOutput"
    async with (
        listening(broker, INGEST, "chargers/+/+") as heard,
        broker.client("gw-2") as thief,
        broker.client("gw-1") as honest,
    ):
        await thief.publish(topic, b"1", qos=1)
        await until_heard(heard, topic)
        broker.authority.revoke("gw-2")
        access.write_text(without_user(access.read_text(), "gw-2"))
        broker.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE_S):
            while topic in heard:
                heard.clear()
                with contextlib.suppress(MqttError):  # this Mosquitto cuts the line after a refusal
                    await thief.publish(topic, b"2", qos=1, timeout=REFUSED_S)
                await honest.publish("chargers/cp-1/PowerOutput", b"3", qos=1)
                await until_heard(heard, "chargers/cp-1/PowerOutput")
        await honest.publish("chargers/cp-2/PowerOutput", b"4", qos=1)
        await until_heard(heard, "chargers/cp-2/PowerOutput")
    assert topic not in heard


def test_a_list_without_a_user_lets_all_others_do_what_they_did() -> None:
    less = without_user(access_list(GATEWAYS), "gw-2")
    assert "gw-2" not in less
    assert "cp-3" not in less
    assert "user gw-1\ntopic write publishers/gw-1/Availability" in less
    assert less == access_list({"gw-1": GATEWAYS["gw-1"]})


async def test_a_message_of_a_megabyte_reaches_nobody(broker: Guarded) -> None:
    async with listening(broker, INGEST, "chargers/+/+") as heard, broker.client("gw-1") as gateway:
        with contextlib.suppress(MqttError):  # Mosquitto cuts the line
            await gateway.publish("chargers/cp-1/PowerOutput", bytes(10**6), qos=1, timeout=REFUSED_S)
        async with broker.client("gw-1") as again:
            await again.publish("chargers/cp-2/PowerOutput", b"1", qos=1)
            await until_heard(heard, "chargers/cp-2/PowerOutput")
    assert "chargers/cp-1/PowerOutput" not in heard


def test_a_name_has_one_certificate_until_it_is_revoked(tmp_path: Path) -> None:
    authority = Authority(tmp_path, NOW)
    authority.issue_client("gw-1")
    with pytest.raises(Refused, match=r"pki\.taken"):
        authority.issue_client("gw-1")
    authority.revoke("gw-1")
    again = Authority(tmp_path, NOW).issue_client("gw-1")
    assert not authority.is_revoked(again)
    assert (again.with_suffix(".key").stat().st_mode & 0o777) == 0o600


@pytest.mark.parametrize("name", ["a/x", "../ca", "UPPER", ""])
def test_a_name_that_could_reach_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"telemetry\.bad_name"):
        Authority(tmp_path, NOW).issue_client(name)
    with pytest.raises(InvalidInput, match=r"telemetry\.bad_name"):
        access_list({"gw-1": [name]})


def test_a_charger_is_behind_one_gateway_only_and_no_gateway_is_the_platform() -> None:
    with pytest.raises(InvalidInput, match=r"edge\.taken"):
        access_list({"gw-1": ["cp-1"], "gw-2": ["cp-1"]})
    with pytest.raises(InvalidInput, match=r"edge\.bad_name"):
        access_list({INGEST: []})


def test_half_an_authority_is_said(tmp_path: Path) -> None:
    Authority(tmp_path, NOW)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(IntegrityFailure, match=r"pki\.half"):
        Authority(tmp_path, NOW)
