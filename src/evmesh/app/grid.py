"""`evmesh grid`: a grid operator's own side: its key, its channel, whom it lets read, what it limits."""

import asyncio
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from evmesh.app.errors import exit_on_error
from evmesh.domain.channel import Mode
from evmesh.domain.channel_messages import MAX_POWER_W
from evmesh.domain.errors import InvalidInput
from evmesh.domain.units import W

app = typer.Typer(
    name="grid",
    help="Limit what groups of charge points may draw, as a grid operator, on an encrypted channel.",
    no_args_is_help=True,
)
Json = dict[str, Any]

_POWER: Final = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,3}))?(kW|MW|W)")
_TIME: Final = re.compile(r"([1-9][0-9]{0,5})(s|min|h|d)")
_SECONDS: Final = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
_WATTS: Final = {"W": 1, "kW": 1_000, "MW": 1_000_000}

Home = Annotated[
    Path,
    typer.Option(
        "--home", envvar="EVMESH_GRID_HOME", metavar="DIR", help="where the key and the channel are"
    ),
]
HOME: Final = Path.home() / ".evmesh" / "grid"
ChannelName = Annotated[str, typer.Option("--channel", help="the channel's name; a key may have several")]
Broker = Annotated[
    str | None, typer.Option("--mqtt", envvar="EVMESH_MQTT", metavar="URL", help="mqtt://HOST:PORT")
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="a platform on this machine, for broker and time"),
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout, failures too")]
Reader = Annotated[
    str, typer.Argument(metavar="KEY", help="a station operator's inbox: `evmesh station inbox` tells it")
]


@app.command("show")
def show_command(
    home: Home = HOME,
    channel: ChannelName = "limits",
    mode: Annotated[Mode, typer.Option(help="of a new channel")] = Mode.RESTRICTED,
    json_output: AsJson = False,
) -> None:
    """Show the key and the channel, made now if they are new, as a site file is to name them."""
    from evmesh.app.grid_moves import open_voice

    async def begin() -> Json:
        async with open_voice(home, None, None) as voice:
            made = await voice.desk.begin(channel, mode)
            readers = await voice.desk.readers(channel)
            return {
                "mode": made.mode.value,
                "writer": "0x" + made.writer.hex(),
                "channel": made.name,
                "readers": ["0x" + one.hex() for one in readers],
            }

    with exit_on_error(json_output):
        found = asyncio.run(begin())
        lines = [
            "[[grid]]",
            'name = "…"',
            f'mode = "{found["mode"]}"',
            f'writer = "{found["writer"]}"',
            f'channel = "{found["channel"]}"',
            'groups = ["…"]',
        ]
        if found["mode"] != Mode.PUBLIC:
            lines.append('grant = "…"    # the file that `evmesh grid allow` writes')
        _say(found, json_output, lines)


@app.command("allow")
def allow_command(
    reader: Reader,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="where the grant goes; - is stdout")
    ] = "-",
    home: Home = HOME,
    channel: ChannelName = "limits",
    json_output: AsJson = False,
) -> None:
    """Let a station operator read the channel: writes the grant, which only that operator can open."""
    from evmesh.app.files import write_output
    from evmesh.app.grid_moves import open_voice

    async def admit() -> bytes:
        async with open_voice(home, None, None) as voice:
            await voice.desk.begin(channel)
            return await voice.desk.admit(channel, _key(reader))

    with exit_on_error(json_output):
        sealed = asyncio.run(admit()).hex()
        if json_output:
            _say({"grant": "0x" + sealed}, json_output, [])
        if not json_output or output != "-":
            write_output(output, f"0x{sealed}\n".encode())


@app.command("revoke")
def revoke_command(
    reader: Reader,
    home: Home = HOME,
    channel: ChannelName = "limits",
    mqtt: Broker = None,
    data: DataDir = None,
    json_output: AsJson = False,
) -> None:
    """Shut a station operator out: it can read nothing of what follows."""
    from evmesh.app.grid_moves import open_voice

    async def shut_out() -> None:
        async with open_voice(home, mqtt, data) as voice:
            await voice.desk.revoke(channel, [_key(reader)])
            await voice.desk.carry_once()

    with exit_on_error(json_output):
        asyncio.run(shut_out())
        _say({"revoked": reader}, json_output, ["revoked"])


@app.command("limit")
def limit_command(
    target: Annotated[
        str, typer.Argument(metavar="GROUP", help="a group's name; with --evse the id of an EVSE")
    ],
    power: Annotated[str, typer.Option(help="at most so much, e.g. 40kW")],
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="so long, e.g. 30min")],
    in_: Annotated[
        str | None, typer.Option("--in", metavar="TIME", help="beginning so much later (without: now)")
    ] = None,
    reason: Annotated[str, typer.Option(help="for people and records")] = "grid limit",
    evse: Annotated[bool, typer.Option("--evse", help="the target is one EVSE")] = False,
    home: Home = HOME,
    channel: ChannelName = "limits",
    mqtt: Broker = None,
    data: DataDir = None,
    json_output: AsJson = False,
) -> None:
    """Limit what a group of charge points, or one EVSE, may draw."""
    with exit_on_error(json_output):
        watts, length = parse_power(power), parse_time(for_)
        delay = timedelta(0) if in_ is None else parse_time(in_)
        order = _Order(target, evse, watts, delay, length, reason)
        _say_order(order, home, channel, mqtt, data, json_output)


@app.command("lift")
def lift_command(
    target: Annotated[
        str, typer.Argument(metavar="GROUP", help="a group's name; with --evse the id of an EVSE")
    ],
    for_: Annotated[
        str, typer.Option("--for", metavar="TIME", help="of the time from now on that is lifted")
    ] = "30d",
    reason: Annotated[str, typer.Option(help="for people and records")] = "lifted",
    evse: Annotated[bool, typer.Option("--evse", help="the target is one EVSE")] = False,
    home: Home = HOME,
    channel: ChannelName = "limits",
    mqtt: Broker = None,
    data: DataDir = None,
    json_output: AsJson = False,
) -> None:
    """Take back what was limited."""
    with exit_on_error(json_output):
        order = _Order(target, evse, None, timedelta(0), parse_time(for_), reason)
        _say_order(order, home, channel, mqtt, data, json_output)


class _Order:
    """What is to be said, before it is known when now is."""

    def __init__(
        self,
        target: str,
        is_evse: bool,
        power: W | None,
        delay: timedelta,
        length: timedelta,
        reason: str,
    ) -> None:
        self._target = target
        self._is_evse = is_evse
        self._power = power
        self._delay = delay
        self._length = length
        self._reason = reason

    def message(self, now: datetime) -> bytes:
        """Give the message, as `evmesh.cap/1` has it."""
        from evmesh.domain.channel_messages import PowerCap

        start = now.replace(microsecond=0) + self._delay
        cap = PowerCap(
            at=now,
            group=None if self._is_evse else self._target,
            evse=self._target if self._is_evse else None,
            power=self._power,
            starts_at=start,
            ends_at=start + self._length,
            reason=self._reason,
        )
        raw = cap.encode()
        PowerCap.parse(raw)  # what nobody would take is refused here
        return raw

    def shown(self, now: datetime) -> Json:
        """Give what was said."""
        from evmesh.app.instants import instant

        start = now.replace(microsecond=0) + self._delay
        return {
            "target": self._target,
            "power_w": self._power,
            "from": instant(start),
            "until": instant(start + self._length),
        }


def _say_order(
    order: _Order, home: Path, channel: str, mqtt: str | None, data: Path | None, json_output: bool
) -> None:
    from evmesh.app.grid_moves import open_voice

    async def say() -> Json:
        async with open_voice(home, mqtt, data) as voice:
            now = voice.clock.now()
            await voice.desk.say({channel: order.message(now)})
            await voice.desk.carry_once()
            return order.shown(now)

    said = asyncio.run(say())
    power = "no limit" if said["power_w"] is None else f"at most {said['power_w']} W"
    _say(
        said,
        json_output,
        [
            f"said: {said['target']}: {power} from {said['from']} until {said['until']}",
            "  a site follows it that has let this key in for that group; what it follows is on its page",
        ],
    )


def parse_power(text: str) -> W:
    """Read e.g. `40kW`, `4.2kW` or `800W`; raises InvalidInput `grid.bad_power`."""
    match = _POWER.fullmatch(text.strip())
    if match is None:
        raise InvalidInput("grid.bad_power", f"{text[:40]!r} is no power", do="write it like 40kW")
    whole, fraction, unit = match[1], match[2] or "", match[3]
    factor = _WATTS[unit]
    thousandths = int(whole) * 1_000 + int(fraction.ljust(3, "0"))
    watts, rest = divmod(thousandths * factor, 1_000)
    if rest or watts > MAX_POWER_W:
        raise InvalidInput("grid.bad_power", f"{text[:40]} is not a whole number of watts below 2 GW")
    return W(watts)


def parse_time(text: str) -> timedelta:
    """Read e.g. `30min`, `90s`, `2h`, `1d`; raises InvalidInput `grid.bad_time`."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise InvalidInput("grid.bad_time", f"{text[:40]!r} is no time", do="write it like 30min or 2h")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip().removeprefix("0x"))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise InvalidInput("channel.bad_reader", "a key has 64 hexadecimal digits", path="KEY")
    return key


def _say(report: Json, json_output: bool, lines: list[str]) -> None:
    if json_output:
        typer.echo(json.dumps({"ok": True, **report}))
        return
    for line in lines:
        typer.echo(line)
