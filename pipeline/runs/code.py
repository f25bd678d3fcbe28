"""Which code makes the numbers of a run, and whether stored ones were made by other code.

VERSION and the schema version are part of a run's key; they are raised by hand. The digest of the
code is recorded beside the key, so that an edit without a raised version is noticed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.files import methods_folder
from pipeline.installation import code_folder
from pipeline.results.code_digest import sources_digest

_NO_NUMBERS = frozenset({"grids", "results", "stages", "storage", "tuning"})
"""Parts of `pipeline` that carry numbers about and change none."""


@cache
def code_digest(method: str) -> str:
    """Digest of the code behind a run: `METHOD-FRAME`, 16 hex digits each.

    Args:
        method: name; its file counts with all that it imports from methods/.

    Returns:
        The text; comments, docstrings and layout do not change it.
    """
    return f"{sources_digest(_method_files(method))}-{_frame_digest()}"


def note_other_code(asked: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Say in one line that a stored run was computed by other code under the same version.

    Args:
        asked: row of the run as it would be computed now.
        stored: row of the same key in the store.
    """
    changed = changed_code(asked, stored)
    if changed:
        print(
            f"note: {changed} changed since run {stored['key']} was stored under VERSION "
            f"{stored['version']}; expected: a raised VERSION where numbers change; try: raise it "
            "(runs are computed anew), --force (this run anew), or --accept-code (numbers stay)",
            file=sys.stderr,
        )


def changed_code(asked: Mapping[str, Any], stored: Mapping[str, Any]) -> str | None:
    """Which code changed since a run was stored; None where none did or nothing was recorded."""
    now, before = asked.get("code_digest"), stored.get("code_digest")
    if not now or not before or now == before:
        return None
    if now.partition("-")[0] != before.partition("-")[0]:
        return f"methods/{asked['method']}.py or what it imports"
    return "the code of the frame"


@cache
def _frame_digest() -> str:
    root = code_folder() / "pipeline"
    return sources_digest(
        path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in _NO_NUMBERS
    )


def _method_files(method: str) -> set[Path]:
    """The file of a method and all files of methods/ that it imports, directly or not."""
    waiting, found = [methods_folder() / f"{method}.py"], set[Path]()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path)
    return found


def _imported(path: Path) -> list[Path]:
    """Files of methods/ that a file imports."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    root = code_folder()
    places = [root.joinpath(*name.split(".")) for name in names if name.startswith("methods.")]
    candidates = [file for place in places
                  for file in (place.with_suffix(".py"), place / "__init__.py")]  # fmt: skip
    return [file for file in candidates if file.is_file()]
