"""kill -9 of whoever drives a station from parts, at every point of a charge: nothing is lost or doubled."""

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from tests.drivers.station_bench import TAG, Hardware, Where, hardware, until
from tests.drivers.station_process import heard

POINTS = (
    "station.start_kept",
    "station.start_told",
    "station.sample_kept",
    "station.sample_told",
    "station.stop_asked",
    "station.stop_kept",
    "station.stop_told",
)
"""In the order in which one charge comes by them."""


@asynccontextmanager
async def process(directory: Path, point: str = "") -> AsyncIterator[subprocess.Popen[bytes]]:
    """Drive the station, up to a point; killed at the end in any case."""
    if point:
        (directory / "failpoint").write_text(point)
    with (directory / "station.log").open("ab") as log:
        one = subprocess.Popen(
            [sys.executable, "-m", "tests.drivers.station_process", str(directory)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    try:
        yield one
    finally:
        one.kill()
        one.wait()
        if one.stdin is not None:
            one.stdin.close()


def say(one: subprocess.Popen[bytes], *lines: str) -> None:
    assert one.stdin is not None
    one.stdin.write("".join(f"{line}\n" for line in lines).encode())
    one.stdin.flush()


async def until_dead(
    one: subprocess.Popen[bytes], directory: Path, *, plugged: Hardware | None = None
) -> None:
    """Wait for the end; meanwhile the pilot of who is `plugged` in says so again and again.

    A station that found the controller too slow, as on a busy machine, has forgotten what it said.
    """
    log = directory / "station.log"
    try:
        async with asyncio.timeout(80):
            for look in itertools.count():
                if one.poll() is not None:
                    break
                if plugged is not None and look % 100 == 0:
                    plugged.pilot.change("B")
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(
            f"never reached {(directory / 'failpoint').read_text()}: {log.read_text()[-2000:]}"
        ) from None
    assert one.returncode == -9, log.read_text()[-2000:]


async def run_to(point: str, directory: Path, has: Hardware) -> None:
    """Let the charge go on until the process dies at a point; meanwhile the car takes energy."""
    path = directory / "heard.jsonl"
    before = len(heard(path))
    async with process(directory, point) as one:
        await until(lambda: any(line["kind"] == "booted" for line in heard(path)[before:]), "boot")
        if point == POINTS[0]:
            say(one, "limit 11040", f"start {TAG}")
            await until(lambda: heard(path)[-1].get("status") == "Preparing", "authorised")
        elif point == "station.stop_asked":
            say(one, "stop 1")
        await until_dead(one, directory, plugged=has if point == POINTS[0] else None)
    if has.is_on:  # nobody drives it now, and it goes on
        has.flow(100)


async def test_a_charge_that_is_killed_at_every_point_is_told_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "heard.jsonl"
    async with hardware(tmp_path) as has:
        where = Where(
            has.pilot.path, has.meter_port, has.relay_port, has.lamp.directory, tmp_path / "station.db"
        )
        (tmp_path / "where.json").write_text(json.dumps(asdict(where), default=str))
        for point in POINTS:
            await run_to(point, tmp_path, has)
        was_on = has.is_on
        before = len(heard(path))
        async with process(tmp_path):
            await until(lambda: any(one["kind"] == "stopped" for one in heard(path)[before:]), "the end")

    told = heard(path)
    starts = [one for one in told if one["kind"] == "started"]
    assert len(starts) > 1, "a kill between telling and noting it tells it again"
    assert {json.dumps(one["start"]) for one in starts} == {json.dumps(starts[0]["start"])}
    assert starts[0]["start"]["meter_start"] == 70_000

    ends = [one for one in told if one["kind"] == "stopped"]
    assert len(ends) > 1
    assert {json.dumps(one) for one in ends} == {json.dumps(ends[0])}
    assert (ends[0]["id"], ends[0]["register"], ends[0]["why"]) == (1, has.meter.energy_wh, "Remote")
    assert not was_on

    samples = [(one["at"], one["register"]) for one in told if one["kind"] == "metered"]
    assert samples
    registers = [register for _, register in sorted(set(samples))]
    assert registers == sorted(registers)
    assert len({at for at, _ in samples}) == len(set(samples))
