"""Pages in headless Chromium, the system's."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def opened_page(width: int, height: int, **options) -> Iterator:
    """An empty page of a size; options are those of playwright's `new_page`."""
    program = shutil.which("chromium")
    assert program, "Chromium is not installed: apt-get install chromium"
    # What only the group `services` installs, which other test runs do without.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        page.set_default_timeout(120_000)
        yield page
        browser.close()


def keep(page, name: str) -> None:
    """Save a picture of the page where LNL_SCREENSHOTS says (docs/images for the docs')."""
    if folder := os.environ.get("LNL_SCREENSHOTS"):
        page.mouse.move(0, 0)
        page.screenshot(path=Path(folder) / f"{name}.png")
