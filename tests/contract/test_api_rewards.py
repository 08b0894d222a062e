"""What flexibility earns over HTTP: before the charge, after the day, and as FLEX; and invoices."""

from datetime import timedelta
from typing import Any

import pytest

from evmesh.domain.flex_voucher import SignedFlexVoucher
from evmesh.domain.reward import Reward
from evmesh.domain.sessions import Session
from evmesh.verify.followups import verify_reward
from tests.contract.test_api import Served, problem_of, served  # noqa: F401 - the fixture
from tests.fakes.world import SIGNATURES, Driver
from tests.unit.services.test_reward_days import Treasury, charge, to_midnight

Json = dict[str, Any]


@pytest.fixture
def driver() -> Driver:
    return Driver("driver")


async def quote(served: Served, wh: int = 5_000, hours: float = 8, **more: str) -> Any:  # noqa: F811
    params = {"energy_wh": str(wh), "departure": served.world.at(hours=hours).isoformat()} | more
    code = served.world.places[0].code
    return await served.client.get(f"/v1/stations/{code}/quote", params=params)


async def test_a_quote_says_what_taking_part_is_expected_to_earn(served: Served) -> None:  # noqa: F811
    answer: Json = (await quote(served)).json()
    flexible, at_once = answer["choices"]
    assert (flexible["flexible"], at_once["flexible"]) == (True, False)
    assert flexible["fits"]
    assert at_once["fits"]
    assert int(flexible["expected_reward"]["units"]) > 0
    assert flexible["expected_reward"]["basis"] == "plan"
    assert flexible["expected_reward"]["is_promised"] is False
    assert at_once["expected_reward"]["units"] == "0"
    assert int(answer["cost"]) == 5_000 * answer["price"] // 1000
    assert sum(flexible["plan"]["row"]["wh"]) == 5_000


async def test_a_quote_keeps_nobody_away_and_leaves_no_trace(served: Served) -> None:  # noqa: F811
    async with served.world.database.begin() as unit:
        before = await unit.plan("yard"), len(await unit.sessions(open_only=False))
    await quote(served)
    async with served.world.database.begin() as unit:
        assert (await unit.plan("yard"), len(await unit.sessions(open_only=False))) == before
        assert not unit.has_written


async def test_a_quote_is_what_the_promise_then_says(served: Served, driver: Driver) -> None:  # noqa: F811
    departure = int(served.world.at(hours=8).timestamp())
    quoted = (await quote(served)).json()["choices"][0]["expected_reward"]
    promise = await served.promised(driver, departure=departure)
    assert promise["expected_reward"] == quoted
    refuses = await served.promised(Driver("other"), bay=1, departure=departure, flexible=False)
    assert refuses["expected_reward"]["units"] == "0"


async def test_what_does_not_fit_is_quoted_with_what_would(served: Served) -> None:  # noqa: F811
    answer: Json = (await quote(served, 60_000, 2)).json()
    for choice in answer["choices"]:
        assert not choice["fits"]
        assert choice["plan"] is None
        assert choice["offers"]


async def test_bad_wishes_are_refused_with_their_path(served: Served) -> None:  # noqa: F811
    assert problem_of(await quote(served, hours=-1), 400)["path"] == "departure"
    assert problem_of(await quote(served, hours=24 * 8), 400)["path"] == "departure"
    assert (await quote(served, wh=0)).status_code == 400
    for never in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        assert problem_of(await quote(served, departure=never), 400)["path"] == "departure"


async def test_quotes_are_few_from_one_address(served: Served) -> None:  # noqa: F811
    for _ in range(4):
        assert (await quote(served)).status_code == 200
    assert problem_of(await quote(served), 409)["code"] == "relay.too_many"


@pytest.fixture
async def earned(served: Served, driver: Driver) -> tuple[Treasury, Session]:  # noqa: F811
    """A day that is over, whose units are not made yet."""
    session = await charge(served.world, driver, 0, wait_h=3)
    to_midnight(served.world)
    treasury = Treasury(served.world)
    await treasury.days.close_days()
    return treasury, session


async def test_the_papers_of_a_final_reward_are_served_and_hold(
    served: Served,  # noqa: F811
    earned: tuple[Treasury, Session],
) -> None:
    treasury, session = earned
    papers = f"/v1/rewards/{session.id}"
    raw, voucher = await served.client.get(papers), await served.client.get(f"{papers}/voucher")
    receipt = await served.client.get(f"/v1/receipts/{session.id}")
    report = verify_reward(raw.content, SIGNATURES, receipt.content, served.world.trust(), voucher.content)
    assert report.ok, report.failed()
    shown: Json = (await served.client.get(f"/v1/sessions/{session.id}")).json()["reward"]
    document = Reward.parse(raw.content)
    assert shown == {
        "units": str(document.reward),
        "cumulative": str(document.cumulative),
        "day": document.day,
        "is_made": False,
        "tx_hash": None,
    }
    day: Json = (await served.client.get(f"/v1/groups/yard/rewards?day={document.day}")).json()
    assert day["final"] is True
    assert day["rewards"] == [document.content()]
    await treasury.days.pay()
    assert (await served.client.get(f"/v1/sessions/{session.id}")).json()["reward"]["is_made"] is True


async def test_a_reward_that_is_not_final_is_not_there(served: Served, driver: Driver) -> None:  # noqa: F811
    session = await charge(served.world, driver, 0, wait_h=3)
    for path in (f"/v1/rewards/{session.id}", f"/v1/rewards/{session.id}/voucher"):
        assert problem_of(await served.client.get(path), 404)["code"] == "reward.not_yet"
    assert (await served.client.get(f"/v1/sessions/{session.id}")).json()["reward"] is None


async def test_a_driver_redeems_through_the_relay_without_gas(
    served: Served,  # noqa: F811
    earned: tuple[Treasury, Session],
    driver: Driver,
) -> None:
    _, session = earned
    raw = (await served.client.get(f"/v1/rewards/{session.id}/voucher")).content
    held = SignedFlexVoucher.parse(raw)
    body = {
        "holder": held.voucher.holder.text,
        "cumulative": str(held.voucher.cumulative),
        "certificate": "0x" + held.voucher.certificate.hex(),
        "signature": "0x" + held.signature.hex(),
    }
    answer = await served.post("/v1/relay/flex", {"voucher": body})
    assert answer.status_code == 200, answer.text
    assert await served.flex.made([driver.address]) == [held.voucher.cumulative]
    again = await served.post("/v1/relay/flex", {"voucher": body})
    assert problem_of(again, 409)["code"] == "flex.stale"
    more = body | {"cumulative": str(held.voucher.cumulative + 1)}
    assert problem_of(await served.post("/v1/relay/flex", {"voucher": more}), 409)["code"] == (
        "flex.not_the_issuer"
    )


async def test_an_invoice_keeps_its_number(served: Served, driver: Driver) -> None:  # noqa: F811
    session = await charge(served.world, driver, 0, wait_h=1)
    waiting = await served.world.charging(Driver("other"), served.world.places[1])
    assert problem_of(await served.client.get(f"/v1/invoices/{waiting.id}"), 409)["code"] == "invoice.not_yet"
    first = await served.client.get(f"/v1/invoices/{session.id}")
    served.world.clock.move(timedelta(days=400))
    again = await served.client.get(f"/v1/invoices/{session.id}")
    assert first.headers["content-type"] == "application/pdf"
    name = "attachment; filename=evmesh-invoice-2026-000001.pdf"
    assert first.headers["content-disposition"] == again.headers["content-disposition"] == name


async def test_what_a_proxy_passes_on_is_not_the_operators(served: Served, driver: Driver) -> None:  # noqa: F811
    session = await charge(served.world, driver, 0, wait_h=1)
    for header in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
        answer = await served.client.get(f"/v1/invoices/{session.id}", headers={header: "127.0.0.1"})
        assert problem_of(answer, 409)["code"] == "api.operator_only"
