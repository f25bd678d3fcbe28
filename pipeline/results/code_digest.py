"""Digest of source code that comments, docstrings and layout leave alone."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path


def sources_digest(paths: Iterable[Path]) -> str:
    """Digest of what some Python files say, without comments and docstrings.

    Args:
        paths: the files; one that cannot be parsed counts by its bytes.

    Returns:
        16 hex digits.
    """
    content = hashlib.sha256()
    for path in sorted(paths):
        status = path.stat()
        content.update(_normalised(path, status.st_mtime_ns, status.st_size))
    return content.hexdigest()[:16]


@cache
def _normalised(path: Path, modified_ns: int, size: int) -> bytes:
    del modified_ns, size  # part of the cache key only
    source = path.read_bytes()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)]  # type: ignore[attr-defined]
    return ast.dump(tree).encode()


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
