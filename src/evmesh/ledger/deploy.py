"""Makes the contracts, once per data directory, and remembers where: `DIR/contracts.json`.

Every contract's address follows from the deployer's account and a nonce, so a deployment that was
interrupted goes on where it stopped, and one that the chain lost is made again at the same place.

A contract is for ever, a compiler is not: what a later release would make has other bytes. So the file
also holds the hash of the code that was found at each address when it was written, and that is what a
node is held against. Only where it names none (it was written before that) our own artifact is.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from evmesh.domain.canonical import refuse_deep_nesting
from evmesh.domain.chain import Contracts
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.abi import artifact, creation_code
from evmesh.ledger.keys import open_keys
from evmesh.ledger.rpc import JsonRpc, NodeRefused, from_hex, no_gas
from evmesh.ledger.transactions import LegacyTransaction, created_address
from evmesh.ports import Signer

FORMAT: Final = "evmesh.contracts/1"
EXIT_WINDOW_S: Final = 86_400
FLEX_CAP: Final = 10_000_000_000
"""Token units: how much FLEX an operator promises at first; it moves the cap itself."""
MINED_WITHIN_S: Final = 120

_FINAL_POLL_S: Final = 0.25
_GAS_MARGIN_PERCENT: Final = 120
_NAMES: Final = tuple(one.name for one in fields(Contracts) if one.name != "chain_id")
_ARTIFACTS: Final = {
    "token": "DevToken",
    "registry": "AssetRegistry",
    "notary": "MeterNotary",
    "charge_tab": "ChargeTab",
    "status": "AssetStatus",
    "flex": "FlexToken",
    "flex_tab": "ChargeTab",
    "board": "MessageBoard",
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the contracts are, since which block, who made them, and the hash of each one's code.

    `codes` are SHA-256 in hexadecimal by the contract's name, over what the node has, immutables too.
    """

    contracts: Contracts
    block: int
    deployer: Address
    codes: Mapping[str, str] = field(default_factory=dict)


async def deploy(
    rpc: JsonRpc,
    directory: Path,
    deployer: Signer,
    *,
    token: Address | None = None,
    window_s: int = EXIT_WINDOW_S,
    issuer: Address | None = None,
) -> Deployment:
    """Make what is missing on the chain and give all of it.

    `token` is the ERC-20 to pay with; None makes a `DevToken`, whose minter is the deployer. `issuer` is
    whose promise FLEX is; None is the operator's account among the directory's keys. The chain has to be
    making blocks. Raises Refused `chain.other_chain` where the directory belongs to another
    chain, `chain.no_gas` where the deployer cannot pay.
    """
    chain_id = await rpc.chain_id()
    path = directory / "contracts.json"
    known = load_deployment(directory) if path.exists() else None
    if known is not None:
        _require_chain(known, chain_id)
        if await is_deployed(rpc, known):
            return known if known.codes else await _saved(rpc, path, known)
    maker = _Maker(rpc, deployer, chain_id, {} if known is None else known.codes)
    block = await rpc.block_number()
    token = token or await maker.make("token")
    registry = await maker.make("registry")
    notary = await maker.make("notary")
    tab = await maker.make("charge_tab", token, window_s)
    status = await maker.make("status")
    issuer = issuer or open_keys(directory / "keys").operator.address
    flex = await maker.make("flex", issuer, FLEX_CAP)
    contracts = Contracts(
        chain_id,
        registry=registry,
        charge_tab=tab,
        notary=notary,
        token=token,
        status=status,
        flex=flex,
        flex_tab=await maker.make("flex_tab", flex, window_s),
        board=await maker.make("board"),
    )
    if known is not None and known.contracts != contracts:
        raise IntegrityFailure(
            "chain.other_contracts",
            "the contracts would not be made where contracts.json says they are",
            do="use the deployer key and the token that the data directory was made with",
        )
    return await _saved(rpc, path, Deployment(contracts, block, deployer.address))


async def wait_final(rpc: JsonRpc, deployment: Deployment, confirmations: int) -> None:
    """Return once the newest block has so many, itself counted, and the contracts are still there.

    Raises Unavailable `chain.not_mined` where blocks do not come, IntegrityFailure
    `chain.reorganised` where the chain took the contracts back.
    """
    until, waited = await rpc.block_number() + confirmations - 1, 0.0
    while await rpc.block_number() < until:
        if waited > MINED_WITHIN_S:
            raise Unavailable(
                "chain.not_mined",
                f"the contracts have fewer than {confirmations} confirmations yet",
                do="deploy again later: what is there is found again",
            )
        await asyncio.sleep(_FINAL_POLL_S)
        waited += _FINAL_POLL_S
    if not await is_deployed(rpc, deployment):
        raise IntegrityFailure(
            "chain.reorganised", "the chain has taken the contracts back", do="deploy again"
        )


def load_deployment(directory: Path) -> Deployment:
    """Read `contracts.json`; raises InvalidInput `chain.no_contracts` or `chain.bad_contracts`."""
    path = directory / "contracts.json"
    try:
        raw = path.read_bytes()
        refuse_deep_nesting(raw)
        document = json.loads(raw)
        if document["format"] != FORMAT:
            raise ValueError(document["format"])
        addresses = {name: Address.parse(text) for name, text in document["contracts"].items()}
        if missing := [name for name in _NAMES if name not in addresses]:
            raise ValueError(f"it has no {', '.join(missing)}")
        return Deployment(
            contracts=Contracts(chain_id=int(document["chain_id"]), **addresses),
            block=int(document["block"]),
            deployer=Address.parse(document["deployer"]),
            codes={str(name): str(code) for name, code in document.get("codes", {}).items()},
        )
    except FileNotFoundError as error:
        raise InvalidInput(
            "chain.no_contracts", f"there is no {path}", do="run `evmesh chain deploy` first"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, InvalidInput) as error:
        raise InvalidInput(
            "chain.bad_contracts",
            f"{path} cannot be read: {error}",
            do="restore it; where an older evmesh wrote it, use a fresh data directory",
        ) from error


async def is_deployed(rpc: JsonRpc, deployment: Deployment) -> bool:
    """Say whether the very code is where our contracts are that was there, and some code at the token."""
    found = await _found(rpc, deployment.contracts)
    paid_with = found.pop("token")  # whoever made that
    return paid_with != "0x" and all(_is_ours(name, code, deployment.codes) for name, code in found.items())


async def _found(rpc: JsonRpc, contracts: Contracts) -> dict[str, str]:
    """Read the code at each contract, by its name."""
    addresses = [getattr(contracts, name).text for name in _NAMES]
    codes = await rpc.batch([("eth_getCode", (address, "latest")) for address in addresses])
    return dict(zip(_NAMES, codes, strict=True))


def _is_ours(name: str, code: str, known: Mapping[str, str]) -> bool:
    if name in known:
        return _hash(code) == known[name]
    return is_code_of(_ARTIFACTS[name], code)


def _hash(code: str) -> str:
    return sha256(from_hex(code)).hexdigest()


class _Maker:
    """Makes contracts at the deployer's nonces, from 0 on."""

    def __init__(self, rpc: JsonRpc, signer: Signer, chain_id: int, known: Mapping[str, str]) -> None:
        self._known = known
        self._rpc = rpc
        self._signer = signer
        self._chain_id = chain_id
        self._nonce = 0

    async def make(self, name: str, *arguments: object) -> Address:
        """Give the contract of the next nonce, made now if it is not there."""
        nonce, self._nonce = self._nonce, self._nonce + 1
        address = created_address(self._signer.address, nonce)
        if await self._is_there(name, address):
            return address
        used = int(await self._rpc.call("eth_getTransactionCount", self._signer.address.text, "latest"), 16)
        if used > nonce:
            if await self._is_there(name, address):  # mined between the two questions
                return address
            raise IntegrityFailure(
                "chain.deployer_used",
                f"the deployer {self._signer.address} did something else at nonce {nonce}",
                do="use a fresh data directory: it brings a deployer of its own",
            )
        await self._send(nonce, creation_code(_ARTIFACTS[name], *arguments))
        waited, pause = 0.0, 0.05
        while not await self._is_there(name, address):
            if waited > MINED_WITHIN_S:
                raise Unavailable("chain.not_mined", f"{name} is in no block yet", do="deploy again later")
            await asyncio.sleep(pause)
            waited += pause
        return address

    async def _is_there(self, name: str, address: Address) -> bool:
        code = await self._rpc.call("eth_getCode", address.text, "latest")
        return is_code_of(_ARTIFACTS[name], code) or _is_ours(name, code, self._known)

    async def _send(self, nonce: int, code: bytes) -> None:
        sender = self._signer.address.text
        try:
            price = int(await self._rpc.call("eth_gasPrice"), 16)
            call: dict[str, Any] = {"from": sender, "data": "0x" + code.hex(), "gasPrice": hex(price)}
            gas = int(await self._rpc.call("eth_estimateGas", call), 16) * _GAS_MARGIN_PERCENT // 100
            draft = LegacyTransaction(nonce, price, gas, None, code)
            raw, _ = draft.sign(self._signer, self._chain_id)
            await self._rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
        except NodeRefused as error:
            if error.has_it_already:
                return  # an interrupted deployment sent it
            if error.wants_gas:
                raise no_gas(self._signer.address) from error
            raise


def is_code_of(name: str, code: str) -> bool:
    """Compare with the artifact; immutables stand behind the code that all copies share."""
    return code.startswith(artifact(name)["bytecode_runtime"])


def _require_chain(known: Deployment, chain_id: int) -> None:
    if known.contracts.chain_id != chain_id:
        raise Refused(
            "chain.other_chain",
            f"the node serves chain {chain_id}, and contracts.json is for {known.contracts.chain_id}",
            do="connect to the right node, or use another data directory",
        )


async def _saved(rpc: JsonRpc, path: Path, deployment: Deployment) -> Deployment:
    """Write a deployment with the code that is there now, and give it."""
    found = await _found(rpc, deployment.contracts)
    codes = {name: _hash(code) for name, code in found.items() if name != "token"}
    deployment = replace(deployment, codes=codes)
    _save(path, deployment)
    return deployment


def _save(path: Path, deployment: Deployment) -> None:
    contracts = deployment.contracts
    addresses = {name: getattr(contracts, name).text for name in _NAMES}
    document = {
        "format": FORMAT,
        "chain_id": contracts.chain_id,
        "contracts": addresses,
        "codes": dict(deployment.codes),
        "block": deployment.block,
        "deployer": str(deployment.deployer),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(document, indent=2) + "\n")
    fresh.replace(path)
