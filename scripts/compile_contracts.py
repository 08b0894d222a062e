"""Compile the contracts to the artifacts that evmesh runs from: `python -m scripts.compile_contracts`.

The artifacts are committed, so that running evmesh needs no compiler; `--check` compiles anew and says
whether they are still what the sources give.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import vyper
from vyper.cli.vyper_compile import compile_files

LEDGER = Path(__file__).resolve().parent.parent / "src" / "evmesh" / "ledger"
CONTRACTS = LEDGER / "contracts"
ARTIFACTS = LEDGER / "artifacts"
EVM_VERSION = "cancun"
FORMATS = ["abi", "bytecode", "bytecode_runtime", "devdoc", "layout"]
MUST_ANSWER = ("custom:units", "custom:holds", "custom:stop")


def main(arguments: list[str] | None = None) -> int:
    """Write the artifacts, or compare them with `--check`; exit 1 where they differ."""
    parser = argparse.ArgumentParser(prog="compile_contracts", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where something differs")
    options = parser.parse_args(arguments)
    different = []
    for name in contract_names():
        text = artifact_text(name)
        target = ARTIFACTS / f"{name}.json"
        if target.exists() and target.read_text() == text:
            continue
        different.append(name)
        if not options.check:
            ARTIFACTS.mkdir(exist_ok=True)
            target.write_text(text)
    for name in different:
        print(f"{'differs' if options.check else 'written'}: {name}")
    return 1 if options.check and different else 0


def contract_names() -> list[str]:
    """Give the deployable contracts: those with a CamelCase file name."""
    return sorted(path.stem for path in CONTRACTS.glob("*.vy") if path.stem[0].isupper())


def artifact_text(name: str) -> str:
    """Compile one contract and give its artifact as the committed file's text."""
    source = CONTRACTS / f"{name}.vy"
    [output] = compile_files([source], FORMATS, paths=[CONTRACTS]).values()
    devdoc = {key: value for key, value in output["devdoc"].items() if key != "methods"}
    if missing := [tag for tag in MUST_ANSWER if not devdoc.get(tag)]:
        raise SystemExit(f"{name}.vy does not say @{', @'.join(missing)}")
    artifact = {
        "contract": name,
        "compiler": f"vyper {vyper.__version__}",
        "evm_version": EVM_VERSION,
        "devdoc": devdoc,
        "storage": _storage(output["layout"]),
        "abi": output["abi"],
        "bytecode": output["bytecode"],
        "bytecode_runtime": output["bytecode_runtime"],
    }
    return json.dumps(artifact, indent=1, ensure_ascii=False) + "\n"


def _storage(layout: dict[str, Any]) -> dict[str, dict[str, object]]:
    """Keep what storage holds; immutables live in the code, and their types carry paths of the machine."""
    return dict(_variables(layout.get("storage_layout", {})))


def _variables(entries: dict[str, Any]) -> Iterator[tuple[str, dict[str, object]]]:
    """Walk through the modules, whose variables stand in the contract's storage under their own names."""
    for name, entry in entries.items():
        if "slot" in entry:
            yield name, {"slot": entry["slot"], "type": entry["type"]}
        else:
            yield from _variables(entry)


if __name__ == "__main__":
    sys.exit(main())
