"""What a row of a table is called: the method, and the settings in which its runs differ."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

_DIGESTS = ("data_digest", "labels_digest", "encoder_digest")
_OF_ENTRY = "entry_labels_digest"
FACTS = ("group", "method", "variant", "dataset", "noise", "settings", "version", *_DIGESTS,
         _OF_ENTRY)  # fmt: skip
"""Columns of the runs table from which labels are made."""
_NO_DIFFERENCE = frozenset({"dataset", "noise", "seed", "seeds", "recipe"})
"""Settings that name the place of a run, its draws, or where its other settings came from."""


def row_labels(runs: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Name the groups of runs that differ in nothing but the seeds.

    A group is called by its variant, or by its method if there is none. Where several groups of one
    name meet in one place of a table, the settings in which they differ there follow, as in
    `gce (q=0.5)`: runs of different settings are never averaged.

    Args:
        runs: at least the columns `FACTS` and those of `by`.
        by: columns that separate the places of the table, besides data set and noise.

    Returns:
        Columns group and label, one row per group.
    """
    groups = runs.select({*FACTS, *by}).unique("group", keep="first", maintain_order=True)
    rows = groups.sort("group").to_dicts()
    methods = defaultdict(set)
    for row in rows:
        methods[row["variant"] or row["method"]].add(row["method"])
    families = defaultdict(list)
    for row in rows:
        name = row["variant"] or row["method"]
        families[name if len(methods[name]) == 1 else f"{row['method']}/{name}"].append(row)
    labels: dict[str, str] = {}
    for name, family in families.items():
        labels |= _family_labels(name, family, ("dataset", "noise", *by))
    return pl.DataFrame(
        {"group": list(labels), "label": list(labels.values())},
        schema={"group": pl.String, "label": pl.String},
    )


def _family_labels(name: str, rows: list[dict[str, Any]], place: Sequence[str]) -> dict[str, str]:
    """Labels of the groups of one name, by group."""
    places = defaultdict(list)
    for row in rows:
        places[tuple(row[column] for column in place)].append(row["group"])
    if len(places) == len(rows):
        return {row["group"]: name for row in rows}
    facts = {row["group"]: _facts(row) for row in rows}
    differing = sorted(
        {fact for met in places.values() for fact in _differing([facts[group] for group in met])}
    )
    labels = {}
    for group, own in facts.items():
        differences = ", ".join(f"{fact}={own.get(fact)}" for fact in differing)
        labels[group] = f"{name} ({differences})" if differences else name
    for met in places.values():
        called = Counter(labels[group] for group in met)
        for group in met:
            if called[labels[group]] > 1:
                labels[group] += f" [{group[:6]}]"
    return labels


def _facts(row: dict[str, Any]) -> dict[str, str]:
    """What can tell one group from another, as text by name."""
    settings = {
        name: _text(value)
        for name, value in _flat(json.loads(row["settings"]))
        if name.partition(".")[0] not in _NO_DIFFERENCE
    }
    digests = {name: row[name] for name in _DIGESTS}
    digests["labels_digest"] = row[_OF_ENTRY] or row["labels_digest"]
    shown = {name: str(value)[:6] for name, value in digests.items()}
    return {**shown, "version": str(row["version"]), **settings}


def _differing(facts: Sequence[dict[str, str]]) -> set[str]:
    """Names of the facts that are not the same everywhere."""
    values = defaultdict(set)
    names = {name for own in facts for name in own}
    for own in facts:
        for name in names:
            values[name].add(own.get(name))
    return {name for name, seen in values.items() if len(seen) > 1}


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Nested settings with dotted names."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else json.dumps(value).strip('"')
