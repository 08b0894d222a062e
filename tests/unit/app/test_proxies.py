"""Whose address counts for a quota: the peer's, or whom a proxy that the site trusts asks for."""

import httpx
import pytest
from fastapi import FastAPI, Request

from evmesh.app.callers import address_of, require_operator
from evmesh.app.free_port import free_port
from evmesh.app.http_server import HttpServer
from evmesh.app.problems import install
from evmesh.app.proxy_site import proxies_of
from evmesh.domain.errors import InvalidInput
from tests.fakes.world import eventually, running


def asked() -> FastAPI:
    app = FastAPI()

    install(app)

    @app.get("/")
    async def who(request: Request) -> str:
        return request.client.host if request.client else ""

    @app.get("/operator")
    async def operator(request: Request) -> str:
        require_operator(request)
        return "operator"

    return app


async def seen_as(trusted: tuple[str, ...], *forwarded: str) -> str:
    """Give the address that the application counts."""
    return str((await answer_of(trusted, "/", *forwarded))[1])


async def answer_of(
    trusted: tuple[str, ...], path: str, *forwarded: str, page: str = ""
) -> tuple[int, str | None]:
    """Ask with these headers through a real socket; give the status, and the answer where it is a text.

    `page` is what a browser says of the page that asks.
    """
    port = free_port()  # no outgoing connection takes it before the server does
    url, answers = f"http://127.0.0.1:{port}{path}", list[httpx.Response]()
    async with httpx.AsyncClient(trust_env=False) as client, running(HttpServer(asked(), port, trusted)):

        async def answered() -> bool:
            try:
                headers = [("X-Forwarded-For", one) for one in forwarded]
                headers += [("Sec-Fetch-Site", page)] if page else []
                answers.append(await client.get(url, headers=headers))
            except httpx.TransportError:
                return False
            return True

        await eventually(answered)
    answer = answers[-1]
    return answer.status_code, answer.json() if answer.status_code == 200 else None


@pytest.mark.parametrize("trusted", [(), ("10.1.2.3",), ("10.0.0.0/8",)])
async def test_who_is_no_trusted_proxy_speaks_for_itself_only(trusted: tuple[str, ...]) -> None:
    assert await seen_as(trusted, "203.0.113.7") == "127.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "host"),
    [
        (("203.0.113.7",), "203.0.113.7"),
        (("198.51.100.1, 203.0.113.7",), "203.0.113.7"),  # the first was written by the driver itself
        (("198.51.100.1", "203.0.113.7"), "203.0.113.7"),
        (("198.51.100.1, 203.0.113.7, 10.0.0.5",), "203.0.113.7"),  # a chain of two proxies
        (("127.0.0.1, 203.0.113.7",), "203.0.113.7"),
        (("2001:db8::7",), "2001:db8::7"),
        ((), "127.0.0.1"),
    ],
)
async def test_a_trusted_proxys_last_word_counts_and_nothing_that_stood_there_before(
    forwarded: tuple[str, ...], host: str
) -> None:
    assert await seen_as(("127.0.0.1", "10.0.0.0/8"), *forwarded) == host


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("2001:db8:0:7::1", "2001:db8:0:7::/64"),
        ("2001:db8:0:7:ffff::2", "2001:db8:0:7::/64"),  # the same household
        ("2001:db8:0:8::1", "2001:db8:0:8::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("somebody", "somebody"),
    ],
)
def test_a_quota_counts_an_ipv6_network_as_one_caller(host: str, counted: str) -> None:
    request = Request({"type": "http", "client": (host, 5_000), "headers": []})
    assert address_of(request) == f"address {counted}"


def test_addresses_and_networks_are_read() -> None:
    assert proxies_of(["127.0.0.1", "10.0.0.0/8", "::1"]) == ("127.0.0.1", "10.0.0.0/8", "::1")
    assert proxies_of(None) == ()


@pytest.mark.parametrize("entry", ["127.0.0.1", ["*"], [""], ["proxy.example"], ["0.0.0.0/0"], ["::/0"], [7]])
def test_everybody_or_nonsense_is_refused(entry: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        proxies_of(entry)
    assert refused.value.path.startswith("trusted_proxies")


@pytest.mark.parametrize(
    ("trusted", "forwarded", "status"),
    [
        ((), (), 200),
        ((), ("127.0.0.1",), 409),  # behind a proxy that nobody named: somebody else's call
        (("127.0.0.1",), ("127.0.0.1, 203.0.113.7",), 409),
    ],
)
async def test_what_a_proxy_passes_on_is_never_the_operators(
    trusted: tuple[str, ...], forwarded: tuple[str, ...], status: int
) -> None:
    assert await answer_of(trusted, "/operator", *forwarded) == (
        status,
        "operator" if status == 200 else None,
    )


@pytest.mark.parametrize(
    ("page", "status"), [("none", 200), ("same-origin", 200), ("same-site", 409), ("cross-site", 409)]
)
async def test_a_page_of_another_site_in_a_browser_here_is_not_the_operator(page: str, status: int) -> None:
    assert (await answer_of((), "/operator", page=page))[0] == status
