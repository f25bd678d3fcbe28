"""A note that a grid is finished, so that finding it so again takes no import of torch.

The note holds for exactly the code, settings, data and labels that it was written under; when any
of them has changed, the cells of the grid are worked out anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from pipeline.files import methods_folder, project_root, replacing
from pipeline.results.schema import FINISHED
from pipeline.results.store import Store


def note_finished(view: Path, params: Path, keys: Iterable[str]) -> None:
    """Write the note beside the view of a grid.

    Args:
        view: of the grid, just written.
        params: the params.yaml that defines the grid.
        keys: of its cells.
    """
    note = {"circumstances": _circumstances(params), "keys": sorted(keys)}
    with replacing(_path(view)) as temporary:
        temporary.write_text(json.dumps(note))


def finished_cells(view: Path, params: Path, store: Store) -> int:
    """Number of cells of a grid that is known to be finished, 0 if that is not known.

    Args:
        view: of the grid.
        params: the params.yaml that defines the grid.
        store: which must still hold all runs.

    Returns:
        The number.
    """
    try:
        note = json.loads(_path(view).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return 0
    if not view.exists() or note["circumstances"] != _circumstances(params):
        return 0
    statuses = store.statuses(note["keys"])
    known = all(statuses.get(key) in _FINAL for key in note["keys"])
    return len(note["keys"]) if known else 0


_FINAL = set(FINISHED) - {"failed"}


def _path(view: Path) -> Path:
    return view.parent.with_name("finished") / f"{view.stem}.json"


def _circumstances(params: Path) -> str:
    """Digest of everything that decides which runs a grid consists of."""
    code = methods_folder().parent
    sources = [*code.glob("pipeline/**/*.py"), *code.glob("methods/**/*.py"),
               *code.glob("methods/recipes/*.yaml")]  # fmt: skip
    inputs = ("data/*/card.json", "labels/*/*/card.json", "encoders/*/card.json")
    cards = [path for pattern in inputs for path in project_root().glob(pattern)]
    content = hashlib.sha256()
    for path in (params, *sorted(sources), *sorted(cards)):
        content.update(f"{path}\0".encode())
        content.update(path.read_bytes())
    return content.hexdigest()
