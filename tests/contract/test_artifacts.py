"""The committed artifacts are what the sources give, and every contract answers the three questions."""

import json

import pytest

from scripts.compile_contracts import ARTIFACTS, artifact_text, contract_names

# Later contracts add to these words and never move them: signed vouchers and open tabs depend on it.
FROZEN_STORAGE = {
    "AssetRegistry": {"facts": 0, "places": 1, "records": 2, "base_url": 3},
    "ChargeTab": {"tabs": 0, "accounts": 1},
    "MeterNotary": {"roots": 0, "sizes": 1},
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


def test_every_reason_names_its_contract_and_fits_a_word() -> None:
    prefixes = {"AssetRegistry": "registry", "ChargeTab": "tab", "MeterNotary": "notary", "DevToken": "token"}
    for name, prefix in prefixes.items():
        source = (ARTIFACTS.parent / "contracts" / f"{name}.vy").read_text()
        asserts = [line for line in source.splitlines() if line.strip().startswith("assert ")]
        assert asserts
        for line in asserts:
            assert f'"{prefix}: ' in line or line.endswith(", why"), line
