"""The HTTP server as a service: how it ends."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from evmesh.app import http_server
from evmesh.app.free_port import free_port
from evmesh.app.http_server import HttpServer
from tests.brokers import running


async def test_an_answer_that_is_under_way_when_the_server_is_ended_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "GRACE_S", 60)  # on a busy machine the answer may take its time
    app, port, asked, given = FastAPI(), free_port(), asyncio.Event(), asyncio.Event()

    @app.get("/")
    async def answer() -> str:
        asked.set()
        await asyncio.sleep(0.2)
        given.set()
        return "here it is"

    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        async with running(HttpServer(app, port)):
            await until_it_listens(port)
            answering = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/"))
            await asked.wait()
        assert given.is_set()
        assert (await answering).json() == "here it is"


@pytest.mark.parametrize("is_asked", [True, False])
async def test_no_connection_is_left_when_the_server_has_ended(is_asked: bool) -> None:
    """Neither one that was idle nor one whose answer would never end."""
    app, port, asked = FastAPI(), free_port(), asyncio.Event()

    @app.get("/")
    async def answer() -> None:
        asked.set()
        await asyncio.Event().wait()

    async with running(HttpServer(app, port)):
        await until_it_listens(port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if is_asked:
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await asked.wait()
    async with asyncio.timeout(60):
        await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_who_answers_has_ended_when_the_server_has_also_where_it_is_told_twice() -> None:
    app, port, asked, ended = FastAPI(), free_port(), asyncio.Event(), asyncio.Event()

    @app.get("/")
    async def answer() -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    for times in (1, 2):
        asked.clear()
        ended.clear()
        serving = asyncio.create_task(HttpServer(app, port).run())
        await until_it_listens(port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asked.wait()
        for _ in range(times):
            serving.cancel()
            await asyncio.sleep(0.1)
        await asyncio.wait([serving], timeout=60)
        async with asyncio.timeout(60):
            assert await reader.read() == b""
            if times == 1:
                assert ended.is_set()
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def until_it_listens(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            await writer.wait_closed()
            return
