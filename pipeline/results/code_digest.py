"""Digest of source code that comments, docstrings and layout leave alone."""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from pipeline.identity import digest
from pipeline.installation import code_folder


def sources_digest(paths: Iterable[Path], root: Path | None = None) -> str:
    """Digest of what some Python files say, without comments and docstrings.

    Args:
        paths: the files, in any order; one named twice counts once.
        root: folder from which they are named, so that another checkout gives the same digest; that
            of this code by default. Files elsewhere go by their name alone.

    Returns:
        16 hex digits. A file that cannot be parsed counts by its bytes, one that cannot be read as
        such.
    """
    base = (root or code_folder()).resolve()
    return digest({_name(path.resolve(), base): _file_digest(path) for path in paths})


def _name(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name


def _file_digest(file: Path) -> str:
    try:
        state = file.stat()
        return _digest_at(file, state.st_mtime_ns, state.st_size)
    except OSError:
        return "unreadable"


@lru_cache(maxsize=1024)
def _digest_at(file: Path, mtime_ns: int, size: int) -> str:
    """Digest of a file as it is since a time; remembered until it changes."""
    del mtime_ns, size  # they only tell one state of the file from another
    source = file.read_bytes()
    return hashlib.sha256(_normalised(source)).hexdigest()


def _normalised(source: bytes) -> bytes:
    """The code without comments and docstrings, in one layout; the bytes if it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # for those who run the code
            tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                _drop_docstring(node)
        return ast.unparse(tree).encode("utf-8", "surrogatepass")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source


def _drop_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> None:
    """Take texts that stand alone out of a body: docstrings, also those of variables."""
    body = [statement for statement in node.body if not _is_text(statement)]
    node.body = body or ([] if isinstance(node, ast.Module) else [ast.Pass()])


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
