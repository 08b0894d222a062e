"""A simulated RGB lamp: a directory with the files of Linux's multicolor class.

What the hardware shows follows the kernel's rule, brightness × intensity ÷ max_brightness for each colour.
Written from Documentation/leds/leds-class-multicolor.rst. It is plain files: what is written is taken up
to the line's end, and nothing refuses a number too many as the kernel would.
"""

from pathlib import Path
from typing import Final

_OURS: Final = ("red", "green", "blue")


class SimLed:
    """One lamp. `index` is the order of its colours, which differs from driver to driver."""

    def __init__(
        self, directory: Path, *, index: tuple[str, ...] = ("red", "green", "blue"), most: int = 255
    ) -> None:
        self.directory = directory
        self._index = index
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "multi_index").write_text(" ".join(index) + "\n")
        (directory / "max_brightness").write_text(f"{most}\n")
        self._most = most
        if not (directory / "multi_intensity").exists():
            self.attach()  # else it shows what it showed: a lamp outlives whoever simulates it

    def attach(self) -> None:
        """Come back after `detach`, dark."""
        (self.directory / "brightness").write_text("0\n")
        dark = self.directory / "multi_intensity.new"  # whole at once: who waits for the lamp writes at once
        dark.write_text(" ".join("0" for _ in self._index) + "\n")
        dark.replace(self.directory / "multi_intensity")

    def detach(self) -> None:
        """Be gone, as a lamp whose driver was unloaded."""
        (self.directory / "multi_intensity").unlink()

    def shown(self) -> tuple[int, int, int]:
        """Give red, green and blue of 0 to `most`; raises ValueError for what the kernel would refuse."""
        raw = [int(word) for word in self._line("multi_intensity").split()]
        if len(raw) != len(self._index) or any(not 0 <= one <= self._most for one in raw):
            raise ValueError(f"{raw} for {self._index}")
        brightness = int(self._line("brightness"))
        shown = dict(zip(self._index, (one * brightness // self._most for one in raw), strict=True))
        red, green, blue = (shown[name] for name in _OURS)
        return red, green, blue

    def _line(self, name: str) -> str:
        return (self.directory / name).read_text().partition("\n")[0]
