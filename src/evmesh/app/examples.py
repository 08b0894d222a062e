"""Where the example files are: in the installed package, or in the clone that this runs from."""

from importlib.resources import files
from pathlib import Path

from evmesh.domain.errors import Unavailable

_CLONE = Path(__file__).parents[3]


def example(name: str) -> Path:
    """Give an example file; raises Unavailable `examples.missing`.

    The repository keeps one copy, `examples/`; the wheel carries it inside the package.
    """
    for folder in (Path(str(files("evmesh"))) / "examples", _CLONE / "examples"):
        if (folder / name).is_file():
            return folder / name
    raise Unavailable(
        "examples.missing",
        f"the example file {name} is not installed",
        do="name a site file of your own with --site, or install evmesh anew",
    )
