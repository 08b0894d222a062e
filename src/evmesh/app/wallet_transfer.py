"""Paying by a plain transfer to the station's deposit address; the charge follows from it.

Nothing is asked before and nothing else is signed: what any wallet can do. This one keeps track.
"""

import asyncio
from typing import Final

from evmesh.app.operator_client import Json, OperatorClient
from evmesh.app.wallet_book import Charge, ChargeBook, Stage
from evmesh.app.wallet_home import WalletHome
from evmesh.app.wallet_moves import own_gas, wallet_at
from evmesh.app.wallet_place import Place
from evmesh.app.wallet_talk import Talk
from evmesh.app.wallet_terms import keep_terms
from evmesh.domain.errors import InvalidInput, ProtocolViolation, Refused, Unavailable
from evmesh.domain.ids import Address, SessionId
from evmesh.ledger.abi import encode_call
from evmesh.ledger.answers import printable
from evmesh.ledger.signatures import KeySigner

_LOOK_EVERY_S: Final = 1.0
_TAKEN_WITHIN: Final = 600


class Transferring:
    """Moves one charge from ASKED to PAID by one token transfer, which a crash does not make two."""

    def __init__(
        self,
        place: Place,
        api: OperatorClient,
        home: WalletHome,
        book: ChargeBook,
        signer: KeySigner,
        talk: Talk,
    ) -> None:
        self._place = place
        self._api = api
        self._home = home
        self._book = book
        self._signer = signer
        self._talk = talk

    async def price(self, charge: Charge) -> None:
        """Add the fee of a return to what the energy costs.

        Raises Refused `transfer.closed` where no transfer is taken, or `transfer.too_little`, and
        IntegrityFailure `operator.bad_terms` where the operator did not sign what its page says.
        """
        page = (await self._api.station(charge.code)).get("transfer")
        if not isinstance(page, dict) or page.get("open") is not True:
            why = printable(str((page or {}).get("why")), 60) if isinstance(page, dict) else "unknown"
            raise Refused(
                "transfer.closed", f"plain transfers are not taken here ({why})", do="pay another way"
            )
        terms = keep_terms(self._place, charge, page)
        charge.budget = charge.max_cost
        charge.max_cost += terms.fee
        if charge.max_cost < terms.minimum:
            raise Refused(
                "transfer.too_little",
                f"{charge.money(charge.max_cost)} is below the least that starts a charge",
                do=f"pay {charge.money(terms.minimum)} or more",
            )

    async def require_enough(self, charge: Charge) -> None:
        """Raise Refused `wallet.too_little` where the wallet does not hold what is to be sent."""
        await wallet_at(self._place, self._signer).require_balance(charge.max_cost)

    async def send(self, charge: Charge) -> None:
        """Send the tokens with the wallet's own gas, once, and find the charge that they became.

        Raises Refused `transfer.returned` or `transfer.set_aside` with the operator's reason.
        """
        tx_hash = await self._sent(charge)
        for _ in range(_TAKEN_WITHIN):
            found = await self._found(tx_hash)
            if found is not None and self._settled(charge, found):
                return
            await asyncio.sleep(_LOOK_EVERY_S)
        raise Unavailable(
            "transfer.not_taken",
            "the operator has not taken the transfer yet",
            do="look again with `evmesh wallet pay --resume`",
        )

    async def _sent(self, charge: Charge) -> str:
        """Have the transfer mined; its journal key makes it one, however often this is called."""
        to, token = Address.parse(charge.deposit_address), self._place.trust.chain.token
        data = encode_call("transfer(address,uint256)", to, charge.max_cost)
        async with own_gas(self._place, self._home, self._signer) as account:
            mined = await account.submit(f"pay:{charge.nonce}", token, data)
        if not any(one["hash"] == mined.tx_hash for one in charge.transactions):
            sent = {"kind": "transfer", "amount": str(charge.max_cost), "hash": mined.tx_hash}
            charge.transactions.append(sent)
            self._book.save(charge)
            self._talk.say(f"sent {charge.money(charge.max_cost)}; transaction {mined.tx_hash}")
        return mined.tx_hash

    async def _found(self, tx_hash: str) -> Json | None:
        raw = await self._api.document_object(f"/v1/transfers/{tx_hash}")
        if raw is None:
            return None
        mine = raw.get("transfers")
        if not isinstance(mine, list) or not mine or not isinstance(mine[0], dict):
            raise ProtocolViolation("operator.bad_transfer", "what became of the transfer cannot be read")
        needed, deep = raw.get("confirmations_needed"), raw.get("confirmations")
        self._talk.live(f"transfer {mine[0].get('status')}: block {deep} of {needed}")
        found: Json = mine[0]
        return found

    def _settled(self, charge: Charge, found: Json) -> bool:
        """Note what became of it; True where a charge began."""
        status, why = found.get("status"), printable(str(found.get("why") or ""), 60)
        if status == "charge":
            try:
                charge.session = SessionId.parse(str(found.get("session"))).text
            except InvalidInput as error:
                raise ProtocolViolation("operator.bad_transfer", "the transfer names no session") from error
            charge.stage = Stage.PAID
            self._book.save(charge)
            return True
        if status == "return":
            raise Refused(
                "transfer.returned",
                f"no charge began ({why}); what was sent goes back, less the gas of that",
                do="look with `evmesh wallet history`",
            )
        if status == "set_aside":
            raise Refused(
                "transfer.set_aside", f"the operator set it aside ({why})", do="ask the operator for it back"
            )
        return False
