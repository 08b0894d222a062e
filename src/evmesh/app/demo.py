"""`evmesh demo`: one charge from plug to verified receipt, each of its eleven steps with evidence.

The platform and the simulated world run as in `evmesh up`; the demo looks at them from outside, as
anybody could: through the HTTP API, the MQTT broker and a node of the chain.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from evmesh.app.clock import SharedClock
from evmesh.app.demo_steps import STEPS
from evmesh.app.demo_text import session_line
from evmesh.app.run_file import RunFile
from evmesh.app.up import UpOptions, running
from evmesh.domain.errors import EvmeshError, IntegrityFailure, Unavailable
from evmesh.ledger.rpc import JsonRpc

SPEED = 400
MIN_ENERGY_WH = 10_000
_WITHIN_S = 220
_OVER = frozenset({"settled", "expired", "refunded"})

Json = dict[str, Any]


@dataclass(slots=True)
class Scene:
    """What the demo has seen so far of the charge it follows."""

    run: RunFile
    out: Path
    api: httpx.AsyncClient
    rpc: JsonRpc
    clock: SharedClock
    session: Json = field(default_factory=dict)
    snapshots: list[Json] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    async def get(self, path: str) -> Json:
        """Ask the API for a document."""
        answer = await self.api.get(path)
        if answer.status_code != httpx.codes.OK:
            raise Unavailable("demo.no_answer", f"{path} answered {answer.status_code}: {answer.text[:200]}")
        found: Json = answer.json()
        return found

    async def keep(self, path: str, name: str) -> bytes:
        """Download a file and keep it beside the receipt."""
        answer = await self.api.get(path)
        if answer.status_code != httpx.codes.OK:
            raise Unavailable("demo.no_answer", f"{path} answered {answer.status_code}: {answer.text[:200]}")
        path_here = self.out / name
        path_here.parent.mkdir(parents=True, exist_ok=True)
        path_here.write_bytes(answer.content)
        self.files[name] = answer.content
        return answer.content

    @property
    def site(self) -> Json:
        """The newest snapshot."""
        return self.snapshots[-1]


@dataclass(frozen=True, slots=True)
class StepResult:
    """One of the eleven steps."""

    n: int
    name: str
    ok: bool
    evidence: Json

    def to_json(self) -> Json:
        """Give it as `--json` prints it."""
        return {"n": self.n, "name": self.name, "ok": self.ok, "evidence": self.evidence}


async def demo(site: Path, data: Path, out: Path, say: Callable[[str], None]) -> list[StepResult]:
    """Run the demo and give its steps; a step that fails says why in its evidence."""
    options = UpOptions(site, data, port=0, ocpp_port=0, speed=SPEED)
    async with (
        running(options, say) as run,
        httpx.AsyncClient(base_url=run.http_url, timeout=20, trust_env=False) as api,
        JsonRpc(run.rpc_url) as rpc,
    ):
        scene = Scene(run, out, api, rpc, SharedClock(data / run.clock))
        say(f"watching a morning pass, {SPEED} times as fast: {run.http_url}")
        await _watch(scene, say)
        return [await _step(n, name, check, scene) for n, (name, check) in enumerate(STEPS, 1)]


async def _step(n: int, name: str, check: Callable[[Scene], Any], scene: Scene) -> StepResult:
    try:
        return StepResult(n, name, True, await check(scene))
    except EvmeshError as error:
        return StepResult(n, name, False, {"code": error.code, "what": error.what})
    except (KeyError, IndexError, StopIteration) as error:
        return StepResult(n, name, False, {"code": "demo.evidence_missing", "what": repr(error)})


def _shown(sessions: Sequence[Json]) -> Json:
    """Give the charge to show once it is settled: 10 kWh and more, for the driver who leaves first.

    By the stated departure, for which charge ends first depends on how busy the machine is.
    """
    wanted = [
        one
        for one in sessions
        if one["energy_wh"] >= MIN_ENERGY_WH
        and (one["state"] not in _OVER or one["delivered_wh"] >= MIN_ENERGY_WH)
    ]
    first = min(wanted, key=lambda one: str(one["departure"]), default={})
    return first if first.get("state") == "settled" else {}


async def _watch(scene: Scene, say: Callable[[str], None]) -> None:
    """Follow the site until the charge to show is settled."""
    told: dict[str, str] = {}
    try:
        async with asyncio.timeout(_WITHIN_S):
            while not scene.session:
                snapshot = await scene.get("/v1/site")
                scene.snapshots.append(snapshot)
                for session in snapshot["sessions"]:
                    if told.get(session["id"]) != session["state"]:
                        told[session["id"]] = session["state"]
                        say(session_line(snapshot["now"], session))
                scene.session = _shown(snapshot["sessions"])
                await asyncio.sleep(0.25)
    except TimeoutError:
        raise IntegrityFailure(
            "demo.no_charge",
            f"no charge of {MIN_ENERGY_WH} Wh was settled within {_WITHIN_S} s",
            do="read the logs in the data directory",
        ) from None
