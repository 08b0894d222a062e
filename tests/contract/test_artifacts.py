"""The committed artifacts are what the sources give, and every contract answers the three questions."""

import json

import pytest

from scripts.compile_contracts import ARTIFACTS, CONTRACTS, artifact_text, contract_names

# Later contracts add to these words and never move them: signed vouchers and open tabs depend on it.
FROZEN_STORAGE = {
    "AssetRegistry": {"facts": 0, "places": 1, "records": 2, "base_url": 3},
    "ChargeTab": {"tabs": 0, "accounts": 1},
    "MeterNotary": {"roots": 0, "sizes": 1},
    "AssetStatus": {"maps": 0, "assets": 1},
    "MessageBoard": {"newest": 0},
    "FlexToken": {
        **{"balanceOf": 0, "allowance": 1, "totalSupply": 2, "nonces": 3, "authorizationState": 4},
        **{"cap": 5, "minted": 6},
    },
}


@pytest.mark.parametrize("name", contract_names())
def test_the_artifact_is_what_the_source_compiles_to(name: str) -> None:
    assert (ARTIFACTS / f"{name}.json").read_text() == artifact_text(name), "run scripts/compile_contracts.py"


@pytest.mark.parametrize("name", contract_names())
def test_the_contract_says_its_units_what_it_holds_and_how_it_stops(name: str) -> None:
    devdoc = json.loads((ARTIFACTS / f"{name}.json").read_text())["devdoc"]
    assert all(len(devdoc[f"custom:{question}"]) > 5 for question in ("units", "holds", "stop"))


@pytest.mark.parametrize("name", FROZEN_STORAGE)
def test_the_storage_layout_is_frozen(name: str) -> None:
    storage = json.loads((ARTIFACTS / f"{name}.json").read_text())["storage"]
    assert {variable: entry["slot"] for variable, entry in storage.items()} == FROZEN_STORAGE[name]


PREFIXES = {
    "AssetRegistry": "registry",
    "AssetStatus": "status",
    "ChargeTab": "tab",
    "DevToken": "token",
    "FlexToken": "flex",
    "MessageBoard": "board",
    "MeterNotary": "notary",
    "lib/signed_token": "token",
    **{f"lib/tab_{noun}": "tab" for noun in ("book", "claims", "deposits", "exits", "signatures")},
}


def test_every_source_is_known_here() -> None:
    sources = (str(path.relative_to(CONTRACTS).with_suffix("")) for path in CONTRACTS.rglob("*.vy"))
    assert set(sources) == set(PREFIXES)


@pytest.mark.parametrize("name", PREFIXES)
def test_every_reason_names_its_contract_and_fits_a_word(name: str) -> None:
    lines = (line.strip() for line in (CONTRACTS / f"{name}.vy").read_text().splitlines())
    for line in lines:
        if line.startswith("assert "):
            assert f'"{PREFIXES[name]}: ' in line or line.endswith(", why"), line


@pytest.mark.parametrize("name", contract_names())
def test_the_code_fits_on_a_chain(name: str) -> None:
    """EIP-170 and EIP-3860: 24,576 bytes of code, twice that to make it."""
    artifact = json.loads((ARTIFACTS / f"{name}.json").read_text())
    assert len(artifact["bytecode_runtime"]) // 2 <= 24_576 - 4 * 32  # immutables stand behind it
    assert len(artifact["bytecode"]) // 2 <= 49_152 - 2 * 32


def test_no_source_is_long() -> None:
    for path in CONTRACTS.rglob("*.vy"):
        assert len(path.read_text().splitlines()) <= 400, path.name
