"""Each driver has its page, and pages say what the templates say."""

from evmesh.edge.config import drivers
from scripts.device_pages import PAGES, pages


def test_the_pages_are_those_of_the_templates() -> None:
    for name, text in pages().items():
        assert (PAGES / name).read_text() == text, "run scripts/device_pages.py"


def test_every_driver_has_its_page() -> None:
    others = {"README", "station-from-parts"}
    assert {path.stem for path in PAGES.glob("*.md")} - others == set(drivers())
