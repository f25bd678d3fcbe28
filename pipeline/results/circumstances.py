"""What decides which runs a grid consists of, as digests: has anything changed since?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.config import Params
from pipeline.identity import digest
from pipeline.installation import code_folder
from pipeline.results.code_digest import sources_digest


class Circumstances(NamedTuple):
    """Digests of code, params and inputs, 16 hex digits each."""

    code: str
    """Of what the Python files of this code and its recipes say."""
    params: str
    """Of params.yaml as it was read, without what only says how runs are carried out."""
    inputs: str
    """Of the cards of inputs."""

    def changed_since(self, earlier: Circumstances) -> list[str]:
        """Names of what is different."""
        pairs = zip(self._fields, self, earlier, strict=True)
        return [name for name, now, before in pairs if now != before]


def circumstances(params: Params, cards: Iterable[Path]) -> Circumstances:
    """The circumstances as they are now.

    Args:
        params: as they were read.
        cards: files that say what the inputs are.

    Returns:
        Their digests; a file that cannot be read counts as such.
    """
    code = code_folder()
    programs = [*code.glob("pipeline/**/*.py"), *code.glob("methods/**/*.py")]
    recipes = sorted(code.glob("methods/recipes/*.yaml"))
    return Circumstances(
        digest([sources_digest(programs), _digest(recipes)]),
        digest(_deciding(params)),
        _digest(sorted(set(cards))),
    )


def _deciding(params: Params) -> dict[str, object]:
    content: dict[str, object] = params.model_dump(mode="json", exclude={"engines", "tune"})
    if params.grid is not None:
        content["grid"] = params.grid.model_dump(mode="json", exclude={"engine", "workers"})
    return content


def _digest(paths: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in paths:
        found.update(f"{path}\0".encode(errors="surrogateescape"))
        found.update(_content(path))
    return found.hexdigest()[:16]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        # Gone since it was listed, or not ours to read: that is its state, too.
        return type(error).__name__.encode()
