"""Joins the further streams: what writes into them, what anchors them, what hands out proofs."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI

from evmesh.app.records_api import add_records
from evmesh.app.verifier_source import this_algorithm
from evmesh.ports import Clock, Notary, Signatures
from evmesh.services.directory import Operator
from evmesh.services.records import Records
from evmesh.services.stream_anchors import StreamAnchors
from evmesh.services.stream_log import ScheduleLog, StreamLog, publish_algorithm
from evmesh.services.stream_proofs import StreamProofs
from evmesh.services.stream_trees import StreamTrees
from evmesh.services.transitions import Transitions


@dataclass(frozen=True, slots=True)
class Streams:
    """What the platform needs of them."""

    schedules: ScheduleLog
    anchors: StreamAnchors
    routes: Callable[[FastAPI], None]


async def open_streams(
    transitions: Transitions, clock: Clock, operator: Operator, notary: Notary, signatures: Signatures
) -> Streams:
    """Join everything, and state this release's verifier where that was not done yet."""
    log, trees, algorithm = StreamLog(secrets.token_bytes), StreamTrees(), this_algorithm()
    await publish_algorithm(transitions, log, algorithm)
    records = Records(transitions, operator, signatures, log)
    proofs = StreamProofs(transitions, trees, operator.contracts, operator.notary)
    return Streams(
        schedules=ScheduleLog(log, algorithm.verifier_sha256),
        anchors=StreamAnchors(transitions, clock, notary, trees, records),
        routes=partial(add_records, records=records, proofs=proofs, trees=trees),
    )
