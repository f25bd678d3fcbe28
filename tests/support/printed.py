"""What the pages, docstrings and comments of the project print: commands, snippets, names."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import yaml

from pipeline.config import Params, read_params
from tests.support.paths import PROJECT

TUTORIALS = sorted((PROJECT / "docs" / "tutorials").glob("*.md"))
"""Pages whose every step is carried out by a test of their own (tests/docs/test_tutorials.py)."""
PAGES = [
    *sorted(PROJECT.glob("*.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
]
_PROGRAMS = [
    path
    for folder in ("lnl", "pipeline", "analysis", "benchmarks", "methods", "docker")
    for path in sorted((PROJECT / folder).rglob("*.py"))
]
_COMMENTED = [PROJECT / "params.yaml", PROJECT / "dvc.yaml"]
_COMMENTED += sorted((PROJECT / "experiments").glob("*.yaml"))
_COMMENTED += [
    path
    for path in sorted((PROJECT / "docker").iterdir())
    if path.is_file() and path.suffix != ".py"
]
PRINTING = [page for page in PAGES if page not in TUTORIALS]
PRINTING += [PROJECT / "analysis" / "bundle.md", *_PROGRAMS, *_COMMENTED]
"""Files that print commands: pages, docstrings and comments."""

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_COMMAND = re.compile(
    r"(?:[A-Z_]+=(?:\"[^\"]*\"|\S*) )*"
    r"(?:uv|lnl|python|accelerate|pytest|dvc|mlflow|apptainer|docker|docker/\w+)(?: |$)"
)
_STEP = re.compile(
    r"^(Write|Change) `([\w./-]+)`:\n\n```\w+\n(.*?)^```$|^    (\S[^\n]*)$",
    re.MULTILINE | re.DOTALL,
)
_IMPORTED = re.compile(r"pipeline\.noise (?:import|clean) \S+ (\w\S*) (\w\S*)")


def text_of(path: Path) -> str:
    """A page, the docstring of a module, or the comments of another file; broken lines joined."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text), clean=False) or ""
    elif path.suffix != ".md":
        text = "\n".join(line[1:] for line in text.splitlines() if line.startswith("#"))
    return re.sub(r" *\\\n *", " ", text)


def commands_of(path: Path) -> list[list[str]]:
    """The words of every command that a file prints, in its order; comments are left out."""
    text = text_of(path)
    lines = [line.strip() for line in _FENCED.sub("", text).splitlines() if _is_block(path, line)]
    for language, block in _FENCED.findall(text):
        lines += block.splitlines() if language in {"", "sh", "bash"} else []
    inline = [" ".join(span.split()) for span in _INLINE.findall(_FENCED.sub("", text))]
    if path.suffix != ".md":  # there `dvc repro` is the name of a program
        inline = [span for span in inline if span.startswith(("uv ", "python "))]
    found = [line for line in (*lines, *inline) if _COMMAND.match(line)]
    return [words for line in found for words in _parts(shlex.split(line, comments=True))]


def _is_block(path: Path, line: str) -> bool:
    """Whether a line stands in a block of code; in docstrings it may begin at the margin."""
    return line.startswith("    " if path.suffix == ".md" else ("  ", "uv run ", "python -m "))


def _parts(words: list[str]) -> Iterator[list[str]]:
    """The commands that one line joins by && or a pipe, without what the shell redirects."""
    part: list[str] = []
    for word in [*words, "&&"]:
        if word in {"&&", "|", ";"}:
            yield part[: part.index(">")] if ">" in part else part
            part = []
        else:
            part.append(word)


def snippets_of(path: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [block for name, block in _FENCED.findall(path.read_text()) if name == language]


class Step(NamedTuple):
    """One step of a tutorial: a command, or what becomes of a file."""

    action: Literal["Run", "Write", "Change"]
    subject: str
    """The command, or the path of the file."""
    block: str = ""
    """Text of a file that is written, or what changes in one, as a diff."""


def steps_of(path: Path) -> list[Step]:
    """The steps of a tutorial, in its order."""
    found = _STEP.findall(path.read_text(encoding="utf-8"))
    return [
        Step(action, file, block) if action else Step("Run", command)
        for action, file, block, command in found
    ]


def written_by(path: Path) -> set[str]:
    """The files that a page has its reader write."""
    return {step.subject for step in steps_of(path) if step.action == "Write"}


def params_of(path: Path) -> Params:
    """params.yaml with the entries that a page shows, and with the labels that it makes."""
    params = read_params(PROJECT / "params.yaml")
    named = {"noise": dict(params.noise), "encoders": dict(params.encoders)}
    for shown in map(yaml.safe_load, snippets_of(path, "yaml")):
        for block, entries in named.items():
            entries.update(shown.get(block, {}))
    for _, name in _IMPORTED.findall(text_of(path)):
        named["noise"][name] = {"kind": "file", "path": "labels.npy"}
    return params.model_copy(update=named)
