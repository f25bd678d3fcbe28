"""A note that a grid is finished, so that finding it so again takes no import of torch.

The note holds for exactly the code, settings, data and labels that it was written under; when any
of them has changed, the cells of the grid are worked out anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.config import read_params
from pipeline.errors import LabError
from pipeline.files import project_root, replacing
from pipeline.results.circumstances import circumstances
from pipeline.results.schema import FINISHED
from pipeline.results.store import Store


def note_finished(view: Path, params: Path, keys: Iterable[str], sources: str = "") -> None:
    """Write the note beside the view of a grid.

    Args:
        view: of the grid, just written.
        params: the params.yaml that defines the grid.
        keys: of its cells.
        sources: digest of what the inputs of the grid were made from, if the caller has one.
    """
    note = {"circumstances": _now(params, sources), "keys": sorted(keys)}
    with replacing(_path(view)) as temporary:
        temporary.write_text(json.dumps(note))


def finished_cells(view: Path, params: Path, store: Store, sources: str = "") -> int:
    """Number of cells of a grid that is known to be finished, 0 if that is not known.

    Args:
        view: of the grid.
        params: the params.yaml that defines the grid.
        store: which must still hold all runs.
        sources: as given to `note_finished`.

    Returns:
        The number. A damaged note, or a store that cannot be read, counts as not known.
    """
    note = _read_note(_path(view))
    if note is None or not view.exists() or note.circumstances != _now(params, sources):
        return 0
    try:
        statuses = store.statuses(note.keys)
    except LabError:
        return 0
    known = all(statuses.get(key) in _FINAL for key in note.keys)
    return len(note.keys) if known else 0


_FINAL = set(FINISHED) - {"failed"}


class _Note(NamedTuple):
    circumstances: list[str]
    keys: list[str]


def _read_note(path: Path) -> _Note | None:
    """The note, None if there is none or it is not as it was written."""
    try:
        note = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(note, dict):
        return None
    circumstances, keys = note.get("circumstances"), note.get("keys")
    if not isinstance(circumstances, list) or not isinstance(keys, list):
        return None
    return _Note(circumstances, keys) if all(isinstance(key, str) for key in keys) else None


def _path(view: Path) -> Path:
    return view.parent.with_name("finished") / f"{view.stem}.json"


def _now(params: Path, sources: str) -> list[str]:
    """Digests of everything that decides which runs a grid consists of."""
    inputs = ("data/*/card.json", "labels/*/*/card.json", "encoders/*/card.json")
    cards = [path for pattern in inputs for path in project_root().glob(pattern)]
    return [*circumstances(read_params(params), cards), sources]
