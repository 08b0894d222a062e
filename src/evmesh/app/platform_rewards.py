"""Joins what follows a charge: rewards, quotes and invoices."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime, time, tzinfo
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import FastAPI

from evmesh.app.api_rewards import RewardParts, add_rewards, expected_of
from evmesh.app.config import SiteConfig
from evmesh.app.invoice import numbered_invoice
from evmesh.domain.errors import InvalidInput, Refused
from evmesh.domain.ids import SessionId
from evmesh.domain.reward import Reward
from evmesh.ledger.flex import FlexToken
from evmesh.ledger.quota import RelayPolicy, RelayQuota
from evmesh.ledger.relayer import Relayer
from evmesh.ports import Clock, Randomness, Signatures, Store
from evmesh.services.caps import GroupCaps
from evmesh.services.directory import Directory, Operator, Supply
from evmesh.services.invoices import Invoices
from evmesh.services.live import LiveState
from evmesh.services.plans import Planner
from evmesh.services.quotes import Quotes, Unrecorded
from evmesh.services.receipts import Receipts
from evmesh.services.requests import Promise
from evmesh.services.reward_days import RewardDays
from evmesh.services.rewards import RewardBook
from evmesh.services.sources import Sources
from evmesh.services.transitions import Transitions

Json = dict[str, Any]

QUOTES_PER_ADDRESS = 600
"""An hour: each is two plans of a group."""


@dataclass(frozen=True, slots=True)
class Afterwards:
    """The service that closes days, the routes, and what goes with a promise."""

    days: RewardDays
    routes: Callable[[FastAPI], None]
    expected: Callable[[Promise], Awaitable[Json]]
    rewards_on: Callable[[str, date], Awaitable[Json]]


def join_afterwards(
    site: SiteConfig,
    *,
    store: Store,
    clock: Clock,
    transitions: Transitions,
    directory: Directory,
    live: LiveState,
    caps: GroupCaps,
    supply: Supply,
    book: RewardBook,
    receipts: Receipts,
    operator: Operator,
    signatures: Signatures,
    randomness: Randomness,
    relayer: Relayer,
    relayed: RelayQuota,
    sources: Sources,
) -> Afterwards:
    """Join them; `relayer` pays the gas of what makes FLEX, `relayed` counts what addresses had sent."""
    issuer = FlexToken(
        operator.contracts.flex,
        operator.payee.address,
        operator.contracts.chain_id,
        relayer=relayer,
        quota=RelayQuota(RelayPolicy(), clock),
    )
    aloud = Planner(directory, supply, live, signatures.keccak256, caps, Unrecorded(), sources)
    quotes = Quotes(transitions, directory, aloud, supply, clock, randomness)
    zone = ZoneInfo(site.seller.time_zone) if site.seller else site.time_zone
    invoices = Invoices(store, signatures, zone)
    parts = RewardParts(
        transitions=transitions,
        operator=operator,
        quotes=quotes,
        issuer=issuer,
        quoted=RelayQuota(RelayPolicy(requests=QUOTES_PER_ADDRESS), clock),
        relayed=relayed,
        invoice=partial(_invoice, site, invoices, clock),
    )
    return Afterwards(
        days=RewardDays(
            transitions,
            clock,
            directory,
            book,
            receipts,
            operator,
            signatures,
            issuer,
            site.time_zone,
        ),
        routes=partial(add_rewards, parts=parts),
        expected=partial(expected_of, quotes),
        rewards_on=partial(rewards_on, site.time_zone, transitions, directory, book),
    )


async def rewards_on(
    zone: tzinfo, transitions: Transitions, directory: Directory, book: RewardBook, name: str, day: date
) -> Json:
    """Give a group-day's rewards: the documents that were signed, or what they would be by now."""
    group = directory.groups.get(name)
    if group is None:
        raise InvalidInput("group.unknown", f"there is no group {name}")
    async with transitions.read() as unit:
        final = await unit.final_day(name, day.isoformat())
        if final is None:
            so_far = await book.day_so_far(unit, group, datetime.combine(day, time(), zone))
            return {"final": False, "rewards": [one.content() for one in so_far]}
        signed = [
            await unit.document(one.session, Reward.FORMAT)
            for one in await unit.rewards_on(name, day.isoformat())
        ]
    return {"final": True, "rewards": [Reward.parse(raw).content() for raw in signed if raw]}


async def _invoice(
    site: SiteConfig, invoices: Invoices, clock: Clock, session: SessionId
) -> tuple[str, bytes]:
    if site.seller is None:
        raise Refused(
            "invoice.no_seller", "the site file names no seller", do="add a table [seller], and start again"
        )
    raw, number = await invoices.bill(session, clock.now())
    from evmesh.app.invoice_page import render  # here, since it loads half of what a PDF can be

    return number.text, await asyncio.to_thread(render, numbered_invoice(raw, site.seller, number))
