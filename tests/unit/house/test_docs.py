"""What the pages say exists: files, links, commands; and their diagrams are whole."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from evmesh.app.main import app

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "evmesh"
TEMPLATE = ROOT / "docs" / "adr" / "template.md"
PAGES = sorted(
    {
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "examples" / "README.md",
        ROOT / "web" / "README.md",
    }
    - {TEMPLATE}
)
TOP = {path.name for path in ROOT.iterdir() if path.is_dir()} | {path.name for path in SOURCE.iterdir()}
MADE = {"src/evmesh/app/static"}  # built, and not in git
SUFFIXES = {".py", ".md", ".toml", ".json", ".csv", ".vy", ".svelte", ".ts", ".mjs", ".sh", ".png"}

CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ids = [str(page.relative_to(ROOT)) for page in PAGES]
every_page = pytest.mark.parametrize("page", PAGES, ids=ids)


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def slug(heading: str) -> str:
    """Give the anchor of a heading: lower case, spaces to hyphens, no punctuation."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def looks_like_a_path(text: str) -> bool:
    first, slash, _ = text.partition("/")
    if any(char in text for char in " {}<>*$…=,;()'\"") or text.startswith(("/", "-", ".venv", "http", "@")):
        return False
    return bool(slash) and first in TOP and (Path(text).suffix in SUFFIXES or first in {"docs", "tests"})


@every_page
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = {text.rstrip("/") for text in CODE.findall(prose(page)) if looks_like_a_path(text)}
    places = (ROOT, SOURCE, page.parent)
    gone = {name for name in named - MADE if not any((place / name).exists() for place in places)}
    assert not gone


@every_page
def test_no_link_is_broken(page: Path) -> None:
    broken = []
    for target in LINK.findall(prose(page)):
        name, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        there = page.parent / name if name else page
        if not there.exists():
            broken.append(target)
        elif anchor:
            headings = re.findall(r"^#+ (.+)$", prose(there), re.MULTILINE)
            if anchor not in {slug(heading) for heading in headings}:
                broken.append(target)
    assert not broken


@every_page
def test_every_fenced_block_is_closed_and_every_diagram_says_something(page: Path) -> None:
    text = page.read_text()
    assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(FENCE.findall(text))
    for language, body in FENCE.findall(text):
        if language == "mermaid":
            check_sequence_diagram(body)


def check_sequence_diagram(body: str) -> None:
    """Every message is between participants that were introduced, and every block ends."""
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    assert lines[0] == "sequenceDiagram"
    known = {match[1] for line in lines if (match := re.match(r"(?:actor|participant) (\w+)", line))}
    messages = [match for line in lines if (match := re.match(r"(\w+)-{1,2}>>(\w+): \S", line))]
    assert messages
    assert {name for message in messages for name in message.groups()} <= known
    opened = sum(line.split()[0] in {"loop", "alt", "opt", "par"} for line in lines)
    assert opened == lines.count("end")


def test_there_is_a_diagram_for_each_way_to_pay() -> None:
    page = (ROOT / "docs" / "ways-to-pay.md").read_text()
    for way in ("Prepaid", "Transfer", "Streaming"):
        section = page.partition(f"\n## {way}\n")[2].partition("\n## ")[0]
        assert [language for language, _ in FENCE.findall(section)].count("mermaid") == 1


def commands_in(page: Path) -> Iterator[list[str]]:
    """Give the words of every evmesh command line of a page, in a block or in backticks."""
    lines = [line.strip() for line in page.read_text().splitlines() if line.startswith("    ")]
    for line in [*lines, *CODE.findall(page.read_text())]:
        words = shlex.split(line, comments=True) if line.count("'") % 2 == 0 else []
        if words and Path(words[0]).name == "evmesh" and len(words) > 1:
            yield words[1:]


def unknown_words(words: list[str]) -> list[str]:
    """Follow a command line down the tree of commands; give what the command does not have."""
    command = typer.main.get_command(app)
    rest = list(words)
    while rest and isinstance(command, TyperGroup):
        if rest[0] == "…" or "|" in rest[0]:
            return []
        if rest[0].startswith("-") and getattr(command, "invoke_without_command", False):
            break  # its own options
        if not (below := command.get_command(typer.Context(command), rest[0])):
            return [rest[0]]
        command, rest = below, rest[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return [word for word in rest if re.match(r"--?[a-z]", word) and word not in options | {"--help"}]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parts[-2] != "adr"], ids=lambda page: page.name
)
def test_every_command_of_a_page_exists(page: Path) -> None:
    assert not [words for words in commands_in(page) if unknown_words(words)]


def test_the_readme_names_every_command_that_help_lists() -> None:
    top = typer.main.get_group(app)
    context = typer.Context(top)
    every = {name: top.get_command(context, name) for name in top.list_commands(context)}
    listed = {name for name, command in every.items() if command is not None and not command.hidden}
    assert {"demo", "wallet", "invoice"} <= listed
    named = {words[0] for words in commands_in(ROOT / "README.md")} | {"up"}  # `make run` is `evmesh up`
    assert listed <= named
    assert "evmesh up" in (ROOT / "Makefile").read_text()


def test_every_decision_is_in_the_list() -> None:
    folder = ROOT / "docs" / "adr"
    listed = set(LINK.findall((folder / "README.md").read_text())) - {TEMPLATE.name}
    assert listed == {path.name for path in folder.glob("[0-9]*.md")}


def test_help_answers() -> None:
    assert CliRunner().invoke(app, ["--help"]).exit_code == 0
