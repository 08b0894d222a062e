"""What both brokers must keep: with the commands that the platform starts them by."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from aiomqtt import Client, MqttError

from evmesh.domain.errors import Unavailable
from evmesh.telemetry import broker as broker_module
from evmesh.telemetry.broker import broker_command, wait_until_listening
from tests.brokers import KINDS, Broker, running_broker


@pytest.fixture(params=KINDS)
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    async with running_broker(request.param, tmp_path / "with space") as running:
        yield running


async def subscribe_and_leave(broker: Broker) -> None:
    async with broker.client("reader", persistent=True) as reader:
        await reader.subscribe("queue/#", qos=1)


async def publish(broker: Broker, topic: str, *payloads: str, retain: bool = False) -> None:
    async with broker.client() as writer:
        for payload in payloads:
            await writer.publish(topic, payload, qos=1, retain=retain)


async def queued(broker: Broker, count: int) -> list[str]:
    async with broker.client("reader", persistent=True) as reader, asyncio.timeout(100):
        messages = reader.messages
        return [(await anext(messages)).payload.decode() for _ in range(count)]


async def retained(broker: Broker, topic: str) -> str:
    async with broker.client() as reader, asyncio.timeout(20):
        await reader.subscribe(topic, qos=1)
        return (await anext(reader.messages)).payload.decode()


async def test_what_is_retained_and_what_is_queued_survives_a_restart(broker: Broker) -> None:
    await subscribe_and_leave(broker)
    await publish(broker, "last/value", "7", retain=True)
    wanted = [str(number) for number in range(300)]
    for start in (0, 100, 200):  # the order holds across several runs
        await publish(broker, "queue/a", *wanted[start : start + 100])
        broker.stop()
        await broker.start()
    assert await retained(broker, "last/value") == "7"
    assert await queued(broker, 300) == wanted


async def test_a_queue_is_longer_than_a_stock_brokers(broker: Broker) -> None:
    await subscribe_and_leave(broker)
    wanted = [str(number) for number in range(1_500)]
    await publish(broker, "queue/a", *wanted)
    assert await queued(broker, 1_500) == wanted


async def test_what_was_read_is_not_queued_again(broker: Broker) -> None:
    await subscribe_and_leave(broker)
    await publish(broker, "queue/a", "1", "2")
    assert await queued(broker, 2) == ["1", "2"]
    await publish(broker, "queue/a", "3")
    assert await queued(broker, 1) == ["3"]


async def all_at_once(writer: Client, topic: str, payloads: Sequence[str]) -> None:
    """Publish without waiting for one before sending the next; returns when all are acknowledged."""
    writer.pending_calls_threshold = len(payloads)
    async with asyncio.TaskGroup() as group:
        for payload in payloads:
            group.create_task(writer.publish(topic, payload, qos=1, retain=True))


async def test_the_npm_broker_keeps_what_it_acknowledged_when_it_is_killed(tmp_path: Path) -> None:
    async with running_broker("aedes", tmp_path) as broker:
        await subscribe_and_leave(broker)
        wanted: list[str] = []
        for round_ in range(4):
            more = [str(round_ * 20 + number) for number in range(20)]
            async with broker.client() as writer:
                await all_at_once(writer, "queue/a", more)
                broker.kill()
                with suppress(MqttError):  # it will not see this client off any more
                    await anext(writer.messages)
            wanted += more
            await broker.start()
            assert await retained(broker, "queue/a") == more[-1]
        assert await queued(broker, len(wanted)) == wanted


async def test_what_comes_all_at_once_is_delivered_at_once_whole_and_in_order(broker: Broker) -> None:
    wanted = [str(number) for number in range(300)]
    async with broker.client("reader", persistent=True) as reader, broker.client() as writer:
        await reader.subscribe("queue/#", qos=1)
        for start in range(0, 300, 20):
            await all_at_once(writer, "queue/a", wanted[start : start + 20])
        async with asyncio.timeout(20):
            messages = reader.messages
            seen = [(await anext(messages)).payload.decode() for _ in wanted]
    assert seen == wanted
    assert await retained(broker, "queue/a") == wanted[-1]


async def test_mosquitto_keeps_what_it_had_saved_when_it_is_killed(tmp_path: Path) -> None:
    async with running_broker("mosquitto", tmp_path) as broker:
        await subscribe_and_leave(broker)
        await publish(broker, "last/value", "7", retain=True)
        await publish(broker, "queue/a", "1", "2")
        broker.stop()  # saves
        await broker.start()
        await publish(broker, "queue/a", "3")  # saved within AUTOSAVE_S, and so perhaps not at all
        broker.kill()
        await broker.start()
        assert await retained(broker, "last/value") == "7"
        assert await queued(broker, 2) == ["1", "2"]


async def test_a_will_is_published_when_its_client_vanishes_and_not_when_it_leaves(broker: Broker) -> None:
    script = (
        "import asyncio, sys\n"
        "from aiomqtt import Client, Will\n"
        "async def main():\n"
        "    will = Will('will/1', 'gone', 1, True)\n"
        f"    async with Client('127.0.0.1', {broker.port}, will=will):\n"
        "        print('here', flush=True)\n"
        "        await asyncio.to_thread(sys.stdin.read)\n"
        "asyncio.run(main())\n"
    )

    def client() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            (sys.executable, "-c", script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    for vanishes in (False, True):
        with client() as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
            if vanishes:
                process.kill()
            else:
                await publish(broker, "will/1", "never", retain=True)
        if not vanishes:
            assert await retained(broker, "will/1") == "never"
    async with broker.client() as reader, asyncio.timeout(20):
        await reader.subscribe("will/1", qos=1)
        async for message in reader.messages:
            if message.payload == b"gone":
                break


def test_the_npm_broker_says_which_port_it_took(tmp_path: Path) -> None:
    try:
        command = broker_command(tmp_path, kind="aedes")
    except Unavailable as error:
        pytest.skip(error.what)
    argv = [*command.argv[:-1], "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        asyncio.run(wait_until_listening(port))
        process.terminate()
        assert process.wait(10) == 0


def test_the_npm_broker_refuses_a_directory_that_another_one_uses(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_broker("aedes", tmp_path) as broker:
            argv = [*broker.command.argv[:-1], "0"]
            second = subprocess.run(argv, capture_output=True, text=True, timeout=20)
            assert second.returncode == 1
            assert "cannot open" in second.stderr

    asyncio.run(scenario())


async def test_waiting_for_a_broker_that_is_not_there_says_so(unused_tcp_port: int) -> None:
    with pytest.raises(Unavailable) as failure:
        await wait_until_listening(unused_tcp_port, within_s=0.2)
    assert failure.value.code == "broker.not_listening"


async def test_a_server_that_is_no_broker_does_not_pass_for_one() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable) as failure:
            await wait_until_listening(port, within_s=2)
    assert "not the answer of a broker" in failure.value.what


def test_a_machine_without_any_broker_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "_SBIN", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    with pytest.raises(Unavailable) as failure:
        broker_command(tmp_path)
    assert failure.value.code == "broker.not_found"
    assert "apt-get install mosquitto" in failure.value.do


def test_a_node_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "node"
    old.write_text("#!/bin/sh\necho v18.20.4\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing" / "python3"))
    with pytest.raises(Unavailable):
        broker_command(tmp_path, kind="aedes")


@pytest.mark.skipif(shutil.which("mosquitto", path="/usr/bin:/usr/sbin") is None, reason="no Mosquitto")
def test_mosquitto_goes_first_also_where_it_is_not_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert broker_command(tmp_path).kind == "mosquitto"
