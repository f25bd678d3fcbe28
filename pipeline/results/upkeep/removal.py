"""Removing runs: their rows in all tables, and what they left besides.

A run is read from its loose files, or from segments where it has none. Killed anywhere, a removal
leaves each run whole or gone: rows in segments go in one step, by the next manifest, and of loose
files the `runs` row goes first, which hides the others. The same removal again does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import LabError
from pipeline.results.claims import Claim, claim, claims
from pipeline.results.schema import TABLES, Table
from pipeline.results.store import Store
from pipeline.results.tables import index, layout
from pipeline.results.tables.manifest import Manifest, commit, first_manifest, newest
from pipeline.results.tables.segments import less_everywhere, less_runs
from pipeline.results.tables.snapshot import UNREADABLE
from pipeline.storage.belongings import remove_belongings
from pipeline.storage.place import Place

_TRIES = 20
_OTHERS: tuple[Table, ...] = ("epochs", "samples")


def remove(store: Store, keys: Sequence[str]) -> None:
    """Remove runs for good; other programs may go on meanwhile.

    Args:
        store: of the runs.
        keys: of the runs; see `keys.resolved`.

    Raises:
        LabError: for a run that a program computes, before anything is removed; where the store
            cannot be read or written.
    """
    held = _claimed(store.place, keys)
    try:
        for key in keys:
            remove_belongings(store.artefacts, key)
        _remove_loose(store, _merged_twice(store, keys))
        _remove_merged(store, keys)
        _remove_loose(store, keys)
        # A compaction that had read the loose files by now comes too late after this, or is undone.
        _remove_merged(store, keys)
    finally:
        for one in held:
            one.release()


def half_removed(store: Store) -> set[str]:
    """Keys of runs without a row whose other files a killed removal has left."""
    left = {key for table in _OTHERS for key in store.files(table)}
    return left - set(store.statuses(left)) if left else left


def _claimed(place: Place, keys: Sequence[str]) -> list[Claim]:
    """Claims to all runs, so that no program begins to compute one of them."""
    held: list[Claim] = []
    for key in keys:
        mine = claim(place, key)
        if mine is None:
            for one in held:
                one.release()
            holder = next((f" ({one.holder})" for one in claims(place, key)), "")
            raise LabError(
                f"a program computes run {key} at this moment{holder}",
                "runs that no program computes; nothing was removed",
                "stop it first: Ctrl-C, or uv run python -m pipeline.stages.runs --cancel",
                exit_code=1,
            )
        held.append(mine)
    return held


def _merged_twice(store: Store, keys: Sequence[str]) -> list[str]:
    """Runs that lie whole in segments, and of whose loose files a compaction has left some."""
    merged = _found(store, newest(store.place), keys)
    loose = {table: store.files(table, list(merged)) for table in TABLES}
    return [
        key for key in merged if key in loose["runs"] and not all(key in loose[t] for t in _OTHERS)
    ]


def _found(store: Store, state: Manifest, keys: Sequence[str]) -> dict[str, index.Found]:
    try:
        return index.find(store.place, state.of("runs"), keys)
    except UNREADABLE as error:
        raise LabError(
            f"cannot read the runs of {store.place.address}: {error}",
            "files as the store wrote them",
            f"uv run python -m pipeline.results check --store {store.place.address}",
        ) from error


def _remove_merged(store: Store, keys: Sequence[str]) -> None:
    for _ in range(_TRIES):
        base = first_manifest(store.place)
        segments = less_runs(base.segments, _found(store, base, keys))
        if commit(store.place, base, less_everywhere(segments, _OTHERS, keys)) is not None:
            return
    raise LabError(
        f"the manifest of {store.place.address} changes all the time",
        "few compactions at a time",
        "the same once more, when they are over",
        exit_code=1,
    )


def _remove_loose(store: Store, keys: Sequence[str]) -> None:
    for table in ("runs", *_OTHERS):
        store.place.delete([layout.loose(table, key) for key in keys])
