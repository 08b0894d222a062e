"""Meter readings become evidence: signed, chained, hashed into the tree, durable with the billing.

Readings are signed by the gateway's key. What a meter signs itself is a leaf of its own beside them
(`signed_meters.py`); the receipt says which there was.
The leaf is written in the same database transaction as the register that is billed from it.
"""

from datetime import datetime

from evmesh.domain.evidence import NotaryLeaf
from evmesh.domain.ids import SessionId
from evmesh.domain.readings import NO_LEAF, SALT_BYTES, Reading, ReadingContext, meter_leaf_hash
from evmesh.domain.typed_data import digest
from evmesh.domain.units import Wh
from evmesh.ports import Randomness, Signatures
from evmesh.services.directory import Operator
from evmesh.services.transitions import Work


class MeterLog:
    """Appends readings to the meter stream."""

    def __init__(self, operator: Operator, signatures: Signatures, randomness: Randomness) -> None:
        self._operator = operator
        self._signatures = signatures
        self._randomness = randomness

    async def append(
        self,
        work: Work,
        meter: str,
        at: datetime,
        register: Wh,
        context: ReadingContext,
        session: SessionId,
    ) -> NotaryLeaf:
        """Sign a register value and add its leaf; parts of a second are cut off."""
        seq, prev_hash = await _next(work, meter)
        reading = Reading(
            meter=meter,
            seq=seq,
            at=at.replace(microsecond=0),
            register=register,
            context=context,
            session=session,
            signer=self._operator.gateway.address,
        )
        signed = digest(self._operator.domain, reading.to_sign(), self._signatures.keccak256)
        payload = reading.signed(self._operator.gateway.sign(signed)).encode()
        return await self._add(work, meter, seq, prev_hash, payload, session)

    async def append_record(self, work: Work, meter: str, payload: bytes, session: SessionId) -> NotaryLeaf:
        """Add a leaf of what the meter itself has signed, byte for byte."""
        seq, prev_hash = await _next(work, meter)
        return await self._add(work, meter, seq, prev_hash, payload, session)

    async def _add(
        self, work: Work, meter: str, seq: int, prev_hash: bytes, payload: bytes, session: SessionId
    ) -> NotaryLeaf:
        salt = self._randomness(SALT_BYTES)
        leaf = NotaryLeaf(
            index=work.log.size,
            meter=meter,
            seq=seq,
            salt=salt,
            prev_hash=prev_hash,
            payload=payload,
            hash=meter_leaf_hash(meter, seq, salt, prev_hash, payload),
        )
        await work.unit.append_leaf(leaf, session)
        work.log.append(leaf.hash)
        return leaf


async def _next(work: Work, meter: str) -> tuple[int, bytes]:
    """Give the number of a meter's next leaf, and the hash that it follows."""
    before = await work.unit.leaves_of(meter)
    return (before[0].seq + 1, before[0].hash) if before else (1, NO_LEAF)
