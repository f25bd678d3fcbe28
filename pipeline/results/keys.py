"""Runs as people name them: by the beginning of their key, and by what was run on what."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipeline.errors import LabError, quoted, suggest
from pipeline.results.given import shown_noise
from pipeline.results.schema import SEED_COLUMNS
from pipeline.results.store import Store

_SHOWN = 4


def resolved(store: Store, given: Sequence[str], others: Collection[str] = ()) -> list[str]:
    """The keys of runs that are named by a beginning of theirs that no other run has.

    Args:
        store: of the runs.
        given: beginnings of keys.
        others: further keys that count as known.

    Returns:
        The keys, in the order given.

    Raises:
        LabError: for a run that is unknown, a beginning of several keys, and a run named twice.
    """
    known = sorted({*store.runs().select("key").collect()["key"], *others})
    found = [_resolved(known, word, store) for word in given]
    for number, key in enumerate(found):
        if key in found[:number]:
            raise LabError(f"run {key} is named twice", "each run once", f"{key} once")
    return found


def title(row: Mapping[str, Any]) -> str:
    """What a run is, in words: method, data set, label table and seeds.

    Args:
        row: of the runs table.
    """
    method = " ".join(filter(None, (row["method"], row["variant"])))
    return f"{method}, {row['dataset']}, {shown_noise(row)}, {seeds_in_words(row)}"


def seeds_in_words(row: Mapping[str, Any]) -> str:
    """The root seed of a run, and those of the streams that do not follow it.

    Args:
        row: of the runs table; columns of streams may be missing.
    """
    own = {name.removeprefix("seed_"): row.get(name) for name in SEED_COLUMNS}
    apart = [f"{stream} {seed}" for stream, seed in own.items() if seed is not None]
    return ", ".join([f"seed {row['seed']}", *apart])


def _resolved(known: Sequence[str], word: str, store: Store) -> str:
    first = bisect_left(known, word)
    met: list[str] = []
    while first + len(met) < len(known) and known[first + len(met)].startswith(word):
        met.append(known[first + len(met)])
    if word in met:
        return word
    if len(met) > 1:
        more = f" and {len(met) - _SHOWN} more" if len(met) > _SHOWN else ""
        raise LabError(
            f"{quoted(word)} begins the keys of {len(met)} runs: {', '.join(met[:_SHOWN])}{more}",
            "so much of a key that no other run begins with it",
            met[0],
        )
    if not met:
        raise LabError(
            f"run {quoted(word)} is not in {store.place.address}",
            *suggest(word, known, "uv run python analysis/runs.py list"),
        )
    return met[0]
