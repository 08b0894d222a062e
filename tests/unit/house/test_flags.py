"""Every flag that a session can carry is in the words of the page, in each language, and in the formats."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONSTANT = re.compile(r'^[A-Z_]+(?:: Final)? = "([a-z]+\.[a-z_]+)"$', re.MULTILINE)
NO_FLAGS = {
    "tab.never_seen",
    "tab.seen_too_long_ago",
    "cabinet.no_room",
    "transfer.came_back",
    "transfer.plug_in_first",
}
"""Constants of that form which name an error."""


def flags() -> set[str]:
    """Give the flags of the services and of the session, by their constants."""
    sources = [*(ROOT / "src/evmesh/services").glob("*.py"), ROOT / "src/evmesh/domain/sessions.py"]
    found = {flag for source in sources for flag in CONSTANT.findall(source.read_text())}
    assert len(found) > 8
    return found - NO_FLAGS


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_page_has_words_for_every_flag(language: str) -> None:
    words = json.loads((ROOT / f"web/kit/i18n/{language}.json").read_text(encoding="utf-8"))
    assert flags() <= set(words["flag"])


def test_the_formats_name_every_flag() -> None:
    formats = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
    assert not [flag for flag in sorted(flags()) if f"`{flag}`" not in formats]
