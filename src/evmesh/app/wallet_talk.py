"""How a command speaks with a person while it works; on stderr where stdout is for a program."""

import sys

import typer

from evmesh.domain.errors import InvalidInput


class Talk:
    """Says, asks, and keeps one line up to date. `yes` answers every question before it is asked."""

    def __init__(self, *, to_program: bool, yes: bool) -> None:
        self._err = to_program
        self._yes = yes
        self._shown = ""
        self._is_screen = (sys.stderr if to_program else sys.stdout).isatty()

    @property
    def can_ask(self) -> bool:
        """Say whether somebody is there to answer."""
        return sys.stdin.isatty()

    def say(self, *lines: str) -> None:
        """Print lines below whatever stands there."""
        if self._is_screen and self._shown:
            typer.echo("", err=self._err)
            self._shown = ""
        for line in lines:
            typer.echo(line, err=self._err)

    def live(self, line: str) -> None:
        """Show the present state: on a screen always in the same line, else a line whenever it changes."""
        if line == self._shown:
            return
        if self._is_screen:
            typer.echo("\r" + line.ljust(len(self._shown)), nl=False, err=self._err)
        else:
            typer.echo(line, err=self._err)
        self._shown = line

    def confirm(self, question: str) -> bool:
        """Ask for a yes; raises InvalidInput `wallet.not_confirmed` where nobody is there."""
        if self._yes:
            return True
        if not self.can_ask:
            raise InvalidInput(
                "wallet.not_confirmed",
                "nobody can be asked here",
                do="read what is said above, and say --yes",
            )
        return typer.confirm(question, err=self._err)

    def choose(self, question: str, choices: str) -> str:
        """Ask for one letter of `choices`; the first one is what Enter means."""
        answer = str(typer.prompt(question, default=choices[0], show_default=False, err=self._err))
        letter = answer.strip().lower()[:1]
        return letter if letter in choices else choices[0]
