"""The site: built without a network, and read in a browser, on a desk and on a phone."""

from __future__ import annotations

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.browser import keep, opened_page
from tests.support.paths import PROJECT

pytestmark = pytest.mark.services
_LOADING = {"script", "link", "img", "iframe", "source", "video", "audio", "object", "embed"}
_READ = ("index", "tutorials/own_method", "noise", "reference/settings", "reference/errors",
         "store", "design/crash_safety", "changelog")  # fmt: skip
"""Pages that are opened: tables of all widths, code, lists."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; whoever asks the network while it is built gets no answer."""
    folder = tmp_path_factory.mktemp("site")
    nobody = dict.fromkeys(("http_proxy", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=PROJECT, env=os.environ | nobody | {"NO_MKDOCS_2_WARNING": "1"},
        text=True, capture_output=True, check=False, timeout=900,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


class _Loaded(HTMLParser):
    """Addresses that a browser fetches by itself when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag loads."""
        if tag in _LOADING:
            named = dict(attrs)
            self.addresses += [
                named[name] or "" for name in ("src", "href", "data") if name in named
            ]


def test_every_page_is_there_and_loads_nothing_from_outside(site: Path) -> None:
    pages = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    written = {
        path.relative_to(PROJECT / "docs").with_suffix("").as_posix()
        for path in (PROJECT / "docs").rglob("*.md")
    }
    assert written | set(_READ) <= pages
    for path in site.rglob("*.html"):
        loaded = _Loaded()
        loaded.feed(path.read_text(encoding="utf-8"))
        assert loaded.addresses
        assert [one for one in loaded.addresses if re.match(r"(\w+:)?//", one)] == [], path
    for path in site.rglob("*.css"):
        assert re.findall(r"url\([\"']?(?:https?:)?//", path.read_text(encoding="utf-8")) == []
    assert not list(site.rglob("*.py"))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """The address under which the site is served."""
    handler = functools.partial(_Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("width", "height"), [(1366, 900), (390, 844)], ids=["desk", "phone"])
def test_pages_are_read_without_a_network(address: str, width: int, height: int) -> None:
    with opened_page(width, height, is_mobile=width < 600) as page:
        asked, faults = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda fault: faults.append(str(fault)))
        for name in _READ:
            page.goto(f"{address}/{name}.html")
            page.locator("h1").first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
            keep(page, f"site-{name.replace('/', '-')}-{width}")
        page.keyboard.press("/")
        page.keyboard.type("checksum")
        page.locator(".md-search-result__item").first.wait_for()
        assert faults == []
        assert {url for url in asked if not url.startswith((address, "blob:", "data:"))} == set()
