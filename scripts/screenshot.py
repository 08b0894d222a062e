"""Make docs/screenshot.png from a running evmesh.

    .venv/bin/python scripts/screenshot.py http://127.0.0.1:8080

Waits until the page is live and cars are charging, so that the picture shows what the page is for.
"""

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright
from playwright.sync_api import Error as BrowserError

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    """Take one picture; exit 0 when it is written."""
    options = _options()
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        print("screenshot: no Chromium; scripts/debian-packages.sh installs it", file=sys.stderr)
        return 4
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            _take(browser, options)
        except (AssertionError, BrowserError) as error:
            print(f"screenshot: {options.url} shows no live site:\n{error}", file=sys.stderr)
            return 4
        finally:
            browser.close()
    print(f"{options.out}: {options.out.stat().st_size // 1024} KiB")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", help="where evmesh runs, e.g. http://127.0.0.1:8080")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/screenshot.png")
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--height", type=int, default=1900, help="0 for the whole page")
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    parser.add_argument("--language", default="en-GB")
    parser.add_argument("--sessions", type=int, default=4, help="wait until so many sessions are under way")
    parser.add_argument("--receipts", type=int, default=1, help="and so many finished with a receipt")
    parser.add_argument("--timeout", type=float, default=300, help="seconds to wait for that")
    return parser.parse_args()


def _take(browser: Browser, options: argparse.Namespace) -> None:
    page = browser.new_page(
        viewport={"width": options.width, "height": options.height or 900},
        color_scheme=options.scheme,
        locale=options.language,
        reduced_motion="reduce",
    )
    patience = options.timeout * 1000
    page.goto(options.url)
    # Told apart by what they are, not by their names, which depend on the language.
    for locator, wanted in (
        (page.locator("main article"), options.sessions),
        (page.locator("main a[download]"), options.receipts),
    ):
        if wanted > 0:
            expect(locator.nth(wanted - 1)).to_be_visible(timeout=patience)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=options.out, full_page=options.height == 0, animations="disabled")


if __name__ == "__main__":
    sys.exit(main())
