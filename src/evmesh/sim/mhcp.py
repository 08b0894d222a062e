"""A simulated Mennekes Amtron: HTTP on a socket, as its app finds it, charge records included.

From what is publicly known of MHCP 1.0. It is easily upset on purpose: it can hang, break off, answer
nonsense or with a status of its own, and it counts how often it is asked.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

RECORDS_A_PAGE: Final = 10
RECORDS_OPEN_S: Final = 2.0


class Upset(StrEnum):
    """What the charger may do instead of answering."""

    NONE = "none"
    HANGS = "hangs"
    BREAKS_OFF = "breaks_off"
    NO_JSON = "no_json"
    ERROR = "error"
    EMPTY = "empty"


@dataclass(slots=True)
class Amtron:
    """The charger's state, in its own words and units."""

    key: str = "4711"
    state: str = "Idle"
    session_wh: int = 0
    power_w: int = 0
    current_a: int = 16
    """The current that is set for the present tariff, and shown as ActCurr."""
    mode: str = "Remote"
    upset: Upset = Upset.NONE
    records: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    remote_a: int = 16
    _page: int | None = None
    _page_until: float = 0.0

    def charge_data(self) -> dict[str, Any]:
        """Give `/ChargeData`."""
        return {
            "ChgState": self.state,
            "Tariff": "T1",
            "Price": 270,
            "Uid": "",
            "ChgDuration": 18_613,
            "ChgNrg": self.session_wh,
            "NrgDemand": 0,
            "Solar": 0,
            "EmTime": 1_440,
            "RemTime": 1_440,
            "ActPwr": self.power_w,
            "ActCurr": min(self.current_a, self.remote_a),
            "RemoteCurr": self.remote_a,
        }

    def device_info(self) -> dict[str, Any]:
        """Give `/DevInfo`."""
        return {
            "DevName": "Amtron Xtra 11 C2",
            "ItemNo": "1341202",
            "Sn": 20_190_815,
            "Hcc3": "1.14",
            "DevMode": self.mode,
            "Err": 0,
            "Cable": 32,
            "Auth": True,
            "MaxCurr": 16,
        }

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Give (status, body) of one request."""
        self.asked += 1
        url = urlsplit(target)
        query = parse_qs(url.query)
        if "application/json" not in headers.get("accept", ""):
            return 406, b""
        if query.get("DevKey") != [self.key]:
            return (403 if method == "GET" else 401), b""
        match method, url.path:
            case "GET", "/MHCP/1.0/ChargeData":
                return 200, json.dumps(self.charge_data()).encode()
            case "GET", "/MHCP/1.0/DevInfo":
                return 200, json.dumps(self.device_info()).encode()
            case "POST", "/MHCP/1.0/ChargeData":
                return self._set(body)
            case "GET", "/MHCP/1.0/ChargeRecords":
                return self._records(query)
            case _:
                return 404, b""

    def _set(self, body: bytes) -> tuple[int, bytes]:
        try:
            wanted = json.loads(body)["RemoteCurr"]
        except (ValueError, KeyError, TypeError):
            return 400, b""
        if self.mode == "Remote":  # in its other modes it says yes and keeps to its own plan
            self.remote_a = int(wanted)
        return 200, b""

    def _records(self, query: dict[str, list[str]]) -> tuple[int, bytes]:
        """Serve the list that has to be opened, read by pages within two seconds each, and closed."""
        now = asyncio.get_running_loop().time()
        state = query.get("State", [""])[0]
        if self._page is not None and now > self._page_until:
            self._page = None
        if state == "Open":
            self._page = 0
        elif state == "Close":
            self._page = None
        elif self._page is None:
            return 200, b"{}"
        self._page_until = now + RECORDS_OPEN_S
        if state != "Read" or self._page is None:
            return 200, b"{}"
        chosen = self._between(query)
        shown = chosen[self._page : self._page + RECORDS_A_PAGE]
        self._page += len(shown)
        answer = {"RemEntries": len(chosen) - self._page}
        return 200, json.dumps({**answer, "Records": shown}).encode()

    def _between(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        start, end = int(query.get("Start", ["0"])[0]), int(query.get("End", [str(2**31)])[0])
        return [record for record in self.records if start <= record["Start"] < end]


@asynccontextmanager
async def serve_amtron(charger: Amtron, port: int = 0) -> AsyncIterator[int]:
    """Serve the charger on 127.0.0.1; gives the port."""
    lines: set[asyncio.StreamWriter] = set()
    let_go = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.add(writer)
        try:
            method, target, headers, body = await _request(reader)
            if charger.upset is Upset.HANGS:
                await reader.read()  # until the other side gives up
                return
            writer.write(_upset(charger.upset, *charger.answer(method, target, headers, body)))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()
            lines.discard(writer)
            let_go.set()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    async with server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            for line in list(lines):
                line.close()
            while lines:
                let_go.clear()
                await let_go.wait()


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in head[1:])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return method, target, headers, body


def _upset(upset: Upset, status: int, body: bytes) -> bytes:
    if upset is Upset.ERROR:
        status, body = 500, b""
    elif upset is Upset.EMPTY:
        body = b""
    elif upset is Upset.NO_JSON:
        body = b"<html>busy</html>"
    head = f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    whole = head.encode() + body
    return whole[: len(head) + len(body) // 2] if upset is Upset.BREAKS_OFF else whole
