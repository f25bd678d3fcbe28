"""Pages of the site that are made when it is built: from code, and from files beside `docs`."""

from __future__ import annotations

import re
from pathlib import Path

from columns_reference import columns_page
from errors_reference import errors_page
from settings_reference import settings_page

PROJECT = Path(__file__).resolve().parents[2]
BESIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Files of the project that are pages of the site, too."""
_NAMED_PAGE = re.compile(r"\[(?P<page>docs/[\w/]+\.md)\]\((?P=page)\)")


def made_pages() -> dict[str, str]:
    """Path below `docs` -> Markdown; no such file is ever written."""
    return {
        **{page: _as_page(PROJECT / name) for name, page in BESIDE.items()},
        "reference/settings.md": settings_page(),
        "reference/columns.md": columns_page(),
        "reference/errors.md": errors_page(),
    }


def _as_page(path: Path) -> str:
    """A file beside `docs`, with links as they are from there, and pages called by their titles."""
    text = _NAMED_PAGE.sub(_by_title, path.read_text(encoding="utf-8")).replace("](docs/", "](")
    for name, page in BESIDE.items():
        text = text.replace(f"]({name}", f"]({page}")
    return text


def _by_title(link: re.Match[str]) -> str:
    heading = (PROJECT / link["page"]).read_text(encoding="utf-8").partition("\n")[0]
    return f"[{heading.removeprefix('# ')}]({link['page']})"
