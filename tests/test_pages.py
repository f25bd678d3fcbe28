"""README and docs: their Python runs, and the files, modules and flags that they name exist."""

from __future__ import annotations

import ast
import pkgutil
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Execution
from pipeline.encoders.artefact import save_encoder, weights_digest
from pipeline.files import encoders_folder, methods_folder
from pipeline.runs.settings.methods import load_method
from tests.support.paths import PROJECT
from tests.support.printed import PAGES, snippets_of, text_of, written_by
from tests.support.runs import run
from tests.support.tiny_encoder import tiny_encoder

METHODS = sorted(methods_folder().glob("[!_]*.py"))
_FILES = re.compile(
    r"`((?:analysis|benchmarks|docker|docs|experiments|methods|pipeline|tests)/[\w./]+)`"
)
_MODULES = re.compile(r"\b(?:pipeline|methods|analysis)(?:\.\w+)+")
_TESTS = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
_LINKS = re.compile(r"\]\((?!https?:)([^)#]+)\)")


def named(page: Path) -> str:
    """The name under which a test of a page is listed."""
    return page.name


@pytest.mark.parametrize("page", [page for page in PAGES if snippets_of(page, "python")], ids=named)
def test_the_python_of_a_page_runs(page: Path, lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab)
    run(noise="pair-40", loss="dal", q_start=0.6, epochs=1)
    run(noise="symmetric-40", loss="ce", epochs=1)
    encoder = tiny_encoder()
    card = replace(encoder.card, weights_digest=weights_digest(encoder.state))
    save_encoder(encoders_folder("simclr-digits"), card, encoder.state)
    for snippet in snippets_of(page, "python"):
        names: dict[str, Any] = {}
        for statement in ast.parse(snippet).body:
            if isinstance(statement, ast.Expr):
                assert len(eval(ast.unparse(statement), names)) > 0, ast.unparse(statement)
            else:
                exec(ast.unparse(statement), names)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_what_a_page_names_exists(page: Path) -> None:
    text, written = text_of(page), written_by(page)
    made = {*written, "docker/.env"}
    files = [PROJECT / name for name in _FILES.findall(text) if name not in made]
    links = [page.parent / name for name in _LINKS.findall(text)]
    assert [path for path in (*files, *links) if not path.exists()] == []
    for name in set(_MODULES.findall(text)):
        if f"{name.replace('.', '/')}.py" not in written:
            pkgutil.resolve_name(name)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if _TESTS.search(text_of(page))], ids=named
)
def test_tests_that_a_page_names_exist(page: Path) -> None:
    for file, name in _TESTS.findall(text_of(page)):
        defined = ast.walk(ast.parse((PROJECT / file).read_text(encoding="utf-8")))
        assert name in {node.name for node in defined if isinstance(node, ast.FunctionDef)}, name


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_lines_of_a_page_fit_a_screen(page: Path) -> None:
    lines = [line for line in page.read_text().splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("path", METHODS, ids=named)
def test_switches_that_a_docstring_names_exist(path: Path) -> None:
    settings = load_method(path.stem).Settings
    known = set(settings.model_fields) | set(Execution.model_fields)
    for flag in re.findall(r"--([a-z][a-z-]*)", text_of(path)):
        name = flag.replace("-", "_")
        assert {name, name.removeprefix("no_")} & known, f"--{flag}"
