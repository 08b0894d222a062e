"""An operator's streams as whoever checks them asks for them, and a driver's word on a record."""

from dataclasses import replace
from typing import Any

import httpx

from evmesh.app.operator_client import OperatorClient
from evmesh.domain.canonical import canonical_json
from evmesh.domain.commitment import Stream
from evmesh.domain.commitment_proof import MAX_LIST, StreamList, StreamProof, read_path
from evmesh.domain.errors import EvmeshError, Refused
from evmesh.domain.receipt import Receipt
from evmesh.domain.session_record import countersigned
from evmesh.domain.strict import write_bytes
from evmesh.domain.typed_data import digest
from evmesh.ledger.answers import printable
from evmesh.ports import Signatures, Signer

_NAMES = {Stream.RECORDS: "records", Stream.SCHEDULES: "schedules", Stream.ALGORITHMS: "algorithms"}
_PAGE = 5_000


class RecordsClient(OperatorClient):
    """One operator's HTTP API. An async context manager."""

    async def whole_list(self, stream: Stream) -> StreamList:
        """Read a stream's leaf hashes page by page, as many as there were at the first one."""
        listed = await self._page(stream, 0, _PAGE)
        hashes = list(listed.hashes)
        if listed.size > MAX_LIST:
            raise self._strange()
        while len(hashes) < listed.size:
            more = (await self._page(stream, len(hashes), min(_PAGE, listed.size - len(hashes)))).hashes
            if not more:
                raise self._strange()
            hashes += more
        return replace(listed, start=0, hashes=tuple(hashes))

    async def plan_proof(self, schedule_sha256: str) -> bytes:
        """Read the proof of a plan's commitment; raises Refused where the operator gives none."""
        response = await self._send("GET", f"/v1/plans/{schedule_sha256}/proof")
        if response.is_error:
            raise self._refused(response)
        return response.content

    async def consistency(self, stream: Stream, first: int, second: int) -> tuple[bytes, ...] | None:
        """Read the proof that one head extends another; None where the operator gives none."""
        path = f"/v1/streams/{_NAMES[stream]}/consistency?first={first}&second={second}"
        response = await self._send("GET", path)
        if response.is_error:
            return None
        try:
            return read_path(self._object(response), "path")
        except EvmeshError as error:
            raise self._strange() from error

    async def countersign(self, raw: bytes, signer: Signer, signatures: Signatures) -> StreamProof | None:
        """Sign the record of a receipt that was verified; give the record's proof once it is anchored.

        To be called again later with the same receipt: the first signature stays.
        """
        receipt = Receipt.parse(raw)
        signed = digest(receipt.chain.domain, countersigned(receipt, raw), signatures.keccak256)
        body = {"signature": write_bytes(signer.sign(signed))}
        response = await self._send("POST", f"/v1/sessions/{receipt.session}/countersign", body)
        if response.is_error:
            raise self._refused(response)
        proof = self._object(response).get("proof")
        try:
            return None if proof is None else StreamProof.parse(canonical_json(proof))
        except (EvmeshError, AttributeError, TypeError) as error:
            raise self._strange() from error

    async def _page(self, stream: Stream, start: int, limit: int) -> StreamList:
        response = await self._send("GET", f"/v1/streams/{_NAMES[stream]}?from={start}&limit={limit}")
        if response.is_error:
            raise self._refused(response)
        try:
            listed = StreamList.parse(response.content)
        except EvmeshError as error:
            raise self._strange() from error
        if listed.stream is not stream or listed.start != start:
            raise self._strange()
        return listed

    def _refused(self, response: httpx.Response) -> EvmeshError:
        answer: dict[str, Any] = self._object(response)
        code, title = answer.get("code"), answer.get("title")
        if not isinstance(code, str) or not isinstance(title, str):
            return self._strange()
        do = answer.get("do")
        return Refused(printable(code), printable(title, 400), do=printable(do, 400) if do else "")


async def countersign_kept(url: str, raw: bytes, signer: Signer, signatures: Signatures) -> str:
    """Sign the record of a receipt that was verified, and say what became of it.

    A charge is over without it, so that nothing is raised where the operator does not take it.
    """
    try:
        async with RecordsClient(url) as client:
            proof = await client.countersign(raw, signer, signatures)
    except EvmeshError as error:
        return f"record   not counter-signed: {error.what} ({error.code})"
    return f"record   counter-signed, {'anchored' if proof else 'to be anchored within a quarter of an hour'}"
