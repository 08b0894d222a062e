"""The commands that have modules of their own, each imported when it is named."""

from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

GROUPS: Final = ("plan", "verify", "chain", "wallet", "station", "grid", "edge", "telemetry", "sim")
"""Groups of commands: `app` of the module of that name in this package."""

SINGLE: Final = ("invoice", "ingest")
"""Commands: `invoice_command` of `invoice`, and so on."""


class Commands(TyperGroup):
    """The top of the command line. `--help` and a name that is unknown import all of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Give all names, in the order of `--help`."""
        here = [name for name in self.commands if name not in {*GROUPS, *SINGLE}]
        return [*here, *SINGLE, *GROUPS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Give the command of that name; None where there is none."""
        wanted = (cmd_name,) if cmd_name in {*self.commands, *GROUPS, *SINGLE} else (*GROUPS, *SINGLE)
        for name in wanted:  # all of them for a name that is unknown, so that the nearest can be suggested
            if name not in self.commands:
                self.add_command(_load(name), name)
        return super().get_command(ctx, cmd_name)


def _load(name: str) -> Any:
    module = import_module(f"evmesh.app.{name}")
    if name in GROUPS:
        return get_group(module.app)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(getattr(module, f"{name}_command"))
    return get_command(alone)
