"""Every page has its place in the site, and design pages end in the tests that prove them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_pages import BESIDE
from setuptools import find_namespace_packages

from tests.support.paths import PROJECT

DOCS = PROJECT / "docs"
SITE: dict[str, Any] = yaml.safe_load((PROJECT / "mkdocs.yml").read_text())
DESIGN = sorted((DOCS / "design").glob("*.md"))
_REFERENCES = {f"reference/{name}.md" for name in ("settings", "columns", "errors")}


def places(nav: list[dict[str, Any]]) -> Iterator[str]:
    """The pages that a part of the navigation leads to."""
    for entry in nav:
        for target in entry.values():
            if isinstance(target, str):
                yield target
            else:
                yield from places(target)


def test_the_navigation_leads_to_every_page_once() -> None:
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    led_to = list(places(SITE["nav"]))
    known = written | _REFERENCES | set(BESIDE.values())
    assert sorted(led_to) == sorted(known), "give each page of docs/ its line in mkdocs.yml: nav"


def test_the_site_asks_nobody_for_fonts_and_tells_nobody_of_its_readers() -> None:
    assert SITE["theme"]["font"] is False
    assert SITE["plugins"] == ["search"]
    assert set(SITE["extra"]) == {"generator"}
    assert not {"repo_url", "site_url", "extra_javascript"} & set(SITE)


@pytest.mark.parametrize("page", DESIGN, ids=lambda page: page.stem)
def test_a_design_page_ends_in_the_tests_that_prove_it(page: Path) -> None:
    last = page.read_text(encoding="utf-8").rpartition("\n## ")[2]
    assert last.startswith("The tests that prove it\n")
    rows = re.findall(r"^\| (?!claim)[^-|].*\|$", last, re.MULTILINE)
    assert len(rows) > 5
    assert [row for row in rows if not re.search(r"`tests/[\w/]+\.py::test_\w+`", row)] == []


def test_there_is_a_design_page_of_each_promise() -> None:
    assert [page.stem for page in DESIGN] == ["crash_safety", "engines", "identity"]


def test_the_site_is_no_part_of_image_packages_or_what_dvc_watches() -> None:
    sent = (PROJECT / ".dockerignore").read_text().splitlines()
    assert "*" in sent
    assert not {"!docs", "!mkdocs.yml", "!*.md"} & set(sent)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    found = project["tool"]["setuptools"]["packages"]["find"]
    packages = find_namespace_packages(str(PROJECT), include=found["include"])
    assert packages
    assert [name for name in packages if name.startswith("docs")] == []
    assert {"mkdocs", "mkdocs-material"}.isdisjoint(
        re.split(r"[<>=]", one)[0] for one in project["project"]["dependencies"]
    )
    assert "docs" not in (PROJECT / "dvc.yaml").read_text()
