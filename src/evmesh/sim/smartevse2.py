"""A simulated SmartEVSE v2 on a pseudo-terminal: its menu, its questions, its unasked state lines.

Written from what its firmware prints. It echoes what is typed, keeps a half-given command until it hears
the value or an empty line, and can be silent, noisy, cut short, or start anew in the middle of it all.
"""

import asyncio
import os
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_RULE: Final = "-" * 57
_RANGES: Final = {"MAINS": (25, 100), "MAX": (10, 80), "MIN": (6, 16), "CABLE": (13, 80)}
_WORDS: Final = {
    "MODE": {"SMART": "Smart", "NORMAL": "Normal"},
    "LOCK": {"SOLENOID": "Solenoid", "MOTOR": "Motor", "DISABLE": "Disabled"},
    "CONFIG": {"FIXED": "Fixed Cable", "SOCKET": "Type 2 Socket"},
}
_TITLES: Final = {
    "CONFIG": "Set to Fixed Cable or Type 2 Socket",
    "MODE": "Set to Smart mode or Normal EVSE mode",
    "MAINS": "Set max MAINS Current",
    "MAX": "Set MAX Charge Current for the EV",
    "MIN": "Set MIN Charge Current the EV will accept",
    "CABLE": "Set Fixed Cable Current limit",
    "LOCK": "Cable lock Disable/Solenoid/Motor",
}


class Nuisance(StrEnum):
    """What the line may do."""

    NONE = "none"
    SILENT = "silent"
    CUT = "cut"
    """Half of each answer."""
    NOISE = "noise"
    """Bytes between the letters, as a long cable beside a contactor makes them."""
    CHATTER = "chatter"
    """A state line in the middle of every answer."""


@dataclass(slots=True)
class ControllerV2:
    """The controller's settings and pilot."""

    numbers: dict[str, int] = field(default_factory=lambda: {"MAX": 16, "MIN": 6, "MAINS": 25, "CABLE": 32})
    words: dict[str, str] = field(
        default_factory=lambda: {"MODE": "Normal", "CONFIG": "Fixed Cable", "LOCK": "Disabled"}
    )
    pilot: str = "A"
    temperature: int = 31
    nuisance: Nuisance = Nuisance.NONE
    writes: int = 0
    """How often a setting went into its EEPROM."""
    _asked: str = ""
    _typed: str = ""

    def type(self, text: str) -> str:
        """Take what was typed; give what the controller prints."""
        printed = ""
        for letter in text:
            if letter in "\r\n":
                line, self._typed = self._typed, ""
                printed += "\r\n" + self._enter(line.strip().upper())
            else:
                self._typed += letter
                printed += letter
        return printed

    def change(self, pilot: str) -> str:
        """Move the pilot; give the line that is printed unasked."""
        line = f"STATE {self.pilot}->{pilot}\r\n"
        self.pilot = pilot
        return line

    def restart(self) -> str:
        """Lose what was half typed; give what is printed at power-up."""
        self._asked = self._typed = ""
        self.pilot = "A"
        return "\r\nSmart EVSE powerup.\r\n"

    def _enter(self, line: str) -> str:
        if not self._asked and line in self._names():
            self._asked = line
            return self._question(line)
        name, self._asked = self._asked, ""
        return (self._take(name, line) if name and line else "") + self._menu()

    def _names(self) -> list[str]:
        """Give the settings that there are in the present mode."""
        smart = ["MAINS", "MIN"] if self.words["MODE"] == "Smart" else []
        socket = ["LOCK"] if self.words["CONFIG"] == "Type 2 Socket" else ["CABLE"]
        return ["CONFIG", "MODE", *smart[:1], "MAX", *smart[1:], *socket]

    def _take(self, name: str, value: str) -> str:
        if name in _RANGES:
            least, most = _RANGES[name]
            if not value.isdecimal() or not least <= int(value) <= most:
                return "\r\nError! please check limits\r\n"
            self.numbers[name] = int(value)
        elif value in _WORDS[name]:
            self.words[name] = _WORDS[name][value]
        else:
            return ""
        self.writes += 1
        return ""

    def _question(self, name: str) -> str:
        if name in _RANGES:
            least, most = _RANGES[name]
            warning = (
                "WARNING - DO NOT SET CURRENT HIGHER THAN YOUR CIRCUIT BREAKER\r\n" if name != "MIN" else ""
            )
            return f"{warning}{name} set to: {self.numbers[name]} A\r\nEnter new value ({least}-{most}): "
        return f"{name} set to : {self.words[name]}\r\nEnter new value ({'/'.join(_WORDS[name])}): "

    def _menu(self) -> str:
        head = (
            f"\r\n---------------------- SMART EVSE  ----------------------\r\n"
            f" v2.05 for detailed instructions, see www.smartevse.org\r\n"
            f" Internal Temperature: {self.temperature:2} C\r\n{_RULE}\r\n"
        )
        return head + "".join(self._item(name) for name in self._names()) + ">"

    def _item(self, name: str) -> str:
        shown = f"{self.numbers[name]:2} A" if name in self.numbers else self.words[name]
        return f"{name.ljust(6)} - {_TITLES[name].ljust(42)} - {shown}\r\n"


@dataclass(slots=True)
class SerialEnd:
    """The controller's side of the line."""

    path: str
    controller: ControllerV2
    _ours: int

    def change(self, pilot: str) -> None:
        """Move the pilot, and tell of it."""
        self._print(self.controller.change(pilot))

    def restart(self) -> None:
        """Lose power for a moment."""
        self._print(self.controller.restart())

    def _print(self, text: str) -> None:
        """Send; what has no room on a line where nobody reads is lost, as on a real one."""
        with suppress(BlockingIOError):
            os.write(self._ours, text.encode("latin-1"))

    def arrived(self) -> None:
        """Answer what was typed."""
        try:
            typed = os.read(self._ours, 512).decode("latin-1")
        except OSError:
            return  # nobody has the other end open
        printed = self.controller.type(typed)
        nuisance = self.controller.nuisance
        if nuisance is Nuisance.SILENT:
            return
        if nuisance is Nuisance.CUT:
            printed = printed[: len(printed) // 2]
        elif nuisance is Nuisance.NOISE:
            printed = "\xff".join(printed)
        elif nuisance is Nuisance.CHATTER:
            line = self.controller.change("C" if self.controller.pilot == "B" else "B")
            at = printed.find("\r\n", len(printed) // 2) + 2
            printed = printed[:at] + line + printed[at:]
        self._print(printed)


@contextmanager
def serve_controller(controller: ControllerV2) -> Iterator[SerialEnd]:
    """Put the controller on a pseudo-terminal, in the running loop."""
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    end = SerialEnd(os.ttyname(theirs), controller, ours)
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, end.arrived)
    try:
        yield end
    finally:
        loop.remove_reader(ours)
        os.close(ours)
        os.close(theirs)
