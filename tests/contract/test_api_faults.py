"""The API towards those who should not reach it, and towards odd questions."""

from collections.abc import Sequence

import httpx
import pytest
from structlog.testing import capture_logs

from evmesh.domain.errors import IntegrityFailure
from evmesh.store.unit import SqlUnit
from tests.contract import test_api
from tests.contract.test_api import Served, problem_of
from tests.fakes.world import Driver

served = test_api.served


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]", "[::1]:65535"]
)
@pytest.mark.parametrize("path", ["/healthz", "/v1/trust", "/"])
async def test_this_machines_own_names_are_served(served: Served, host: str, path: str) -> None:
    assert (await served.client.get(path, headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "thief.example",
        "thief.example:8080",
        "127.0.0.1.thief.example",
        "localhost.thief",
        "",
        "::1",
        "0.0.0.0",
    ],
)
@pytest.mark.parametrize("path", ["/healthz", "/v1/site", "/v1/events", "/", "/v1/requests", "/assets/x"])
async def test_a_page_whose_name_points_here_gets_nothing(served: Served, host: str, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await served.client.request(method, path, headers={"host": host})
        assert problem_of(answer, 400)["code"] == "api.foreign_host"


@pytest.mark.parametrize("number", [10**30, 2**63, 0, -1, "x"])
async def test_a_refusal_of_a_number_that_there_cannot_be_is_a_mistake(
    served: Served, number: int | str
) -> None:
    answer = await served.client.get(f"/v1/refusals/{number}/problem")
    assert problem_of(answer, 400)["code"] == "api.malformed"


async def test_looking_at_sessions_costs_nobody_the_tree(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = served.world
    loads: list[int] = []
    session = await world.charging(Driver(), world.places[0])
    leaf_hashes = SqlUnit.leaf_hashes

    async def counted(unit: SqlUnit, start: int = 0) -> Sequence[bytes]:
        loads.append(start)
        return await leaf_hashes(unit, start)

    monkeypatch.setattr(SqlUnit, "leaf_hashes", counted)
    changed = world.transitions.changes()
    changed.clear()
    unknown = "sessions/00000000-0000-7000-8000-000000000000"
    for path in (f"sessions/{session.id}", unknown, f"receipts/{session.id}", "site", "refusals/1/problem"):
        await served.client.get(f"/v1/{path}")
    assert not changed.is_set()
    await world.measure(session, 1_100, world.at(minutes=1))
    assert loads == []


async def test_a_chain_that_answers_nonsense_stops_no_page(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evmesh.app.live_feed._LONGEST_S", 0.02)
    account, broken = served.world.escrow.account, [True] * 3

    async def account_or_nonsense(payee: object) -> tuple[int, int]:
        if broken:
            broken.pop()
            raise IntegrityFailure("chain.nonsense", "the node gave half an answer")
        return await account(payee)  # type: ignore[arg-type]

    async with served.client.stream("GET", "/v1/events", timeout=20) as stream:
        lines = stream.aiter_lines()
        async for line in lines:
            if line.startswith("data:"):
                break
        monkeypatch.setattr(served.world.escrow, "account", account_or_nonsense)
        async for line in lines:
            if line.startswith("data:") and not broken:
                break
    assert (await served.client.get("/healthz")).status_code == httpx.codes.OK


async def test_what_nobody_foresaw_is_a_problem_that_tells_nothing_but_its_number(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: SqlUnit, *_: object, **__: object) -> Sequence[object]:
        raise ZeroDivisionError("the secret of /etc/passwd")

    monkeypatch.setattr(SqlUnit, "plan_of", broken)
    with capture_logs() as logs:
        answer = await served.client.get("/v1/plans/00/problem")
    problem = problem_of(answer, 500)
    assert problem["code"] == "api.internal"
    assert "secret" not in answer.text
    assert "Division" not in answer.text
    [logged] = [log for log in logs if log["event"] == "api.internal"]
    assert logged["request"] == problem["request"] == answer.headers["x-request-id"]
    assert logged["path"] == "/v1/plans/00/problem"
    assert logged["exc_info"]
    assert (await served.client.get("/healthz")).status_code == httpx.codes.OK
