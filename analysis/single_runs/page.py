"""All that is known of one run: how it went, why it is stored, where it comes from, its epochs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import polars as pl

from analysis.layouts.layout import Cell, Layout, number
from analysis.single_runs.figures import NOTHING, figures_of, percent
from pipeline.installation import as_typed
from pipeline.results.given import AS_GIVEN, shown_noise
from pipeline.results.keys import title
from pipeline.storage.belongings import Belongings

_FEW = 12
"""Epochs that are shown unless all are asked for."""
_CURVES = ("train_loss", "test_accuracy", "averaged_test_accuracy", "val_noisy_accuracy",
           "val_clean_accuracy", "memorised", "corrected")  # fmt: skip

Facts = dict[str, dict[str, str]]
"""Texts by name, in sections."""


def facts_of(
    row: Mapping[str, Any], epochs: pl.DataFrame, left: Belongings, views: Mapping[str, object]
) -> Facts:
    """What is known of a run, in words.

    Args:
        row: of the runs table, its status in words.
        epochs: of the run, in order.
        left: what it left besides its rows.
        views: names of the grids whose views hold it.
    """
    settings = json.loads(row["settings"])
    reached = {name: percent(value) for name, value in figures_of(epochs).items()}
    return {
        "how it went": _without_nothing({
            "status": row["status"],
            "why": row["status_detail"],
            **reached,
            "started": _time(row["started_at"]),
            "ended": _time(row["finished_at"]),
            "took": row["seconds"] and f"{row['seconds']:.1f} s, of which "
            f"{row['seconds_tracking'] or 0:.1f} s in store and tracker",
            "resumed": _counted(row["resumed"], "time", "times"),
            "on": _joined(row["host"], row["device"],
                          _counted(row["n_processes"], "process", "processes")),
        }),
        "why it is stored": _without_nothing({
            "first computed for": row["grid"] and f"grid {row['grid']}",
            "in the views of": ", ".join(views),
            "also asked for as": ", ".join(row["also_named"] or ()),
            "command": row["command"],
        }),
        "where it comes from": _without_nothing({
            "data": _joined(row["dataset"], f"digest {row['data_digest']}", *_counts(row)),
            "labels": f"{shown_noise(row)} ({_noise(row)}), digest {row['labels_digest']}",
            "encoders": row["encoders"] and f"{', '.join(row['encoders'])}, digest "
            f"{row['encoder_digest']}",
            "knows": ", ".join(row["knows"]),
            "method": f"{row['method']}, version {row['version']}",
            "recipe": row["recipe"] and f"{row['recipe']} ({row['recipe_status']})",
            "settings chosen from": _counted(row["n_trials"], "trial", "trials"),
            "code": _joined(row["git_commit"] and f"commit {row['git_commit']}",
                            "differs from it" if row["git_dirty"] else None,
                            row["code_digest"] and f"digest {row['code_digest']}"),
            "Python and torch": _joined(row["python_version"], row["torch_version"]),
            "image": row["image_digest"],
        }),
        "what it left": {
            "weights": left.weights or "none kept; --keep-weights keeps them",
            "model": as_typed(
                f"{left.model}; uv run python -m pipeline.predict {row['key']} FOLDER"
            ) if left.model else "none kept; --keep-weights keeps one",
            "softmax outputs": left.posterior or "none kept; --posterior keeps them",
            **({"checkpoint": left.checkpoint} if left.checkpoint else {}),
        },
        "settings": {name: json.dumps(value) for name, value in sorted(settings.items())},
    }  # fmt: skip


def lines_of(row: Mapping[str, Any], facts: Facts) -> Iterator[str]:
    """The facts as lines of text.

    Args:
        row: of the runs table.
        facts: `facts_of` it.
    """
    yield f"run {row['key']}: {title(row)}"
    for name, section in facts.items():
        if section:
            yield f"\n{name}"
            width = max(map(len, section))
            for what, text in section.items():
                yield f"  {what:{width}}  {' '.join(text.split())}"


def epochs_table(epochs: pl.DataFrame, every: bool) -> Layout:
    """The epochs of a run as a table.

    Args:
        epochs: in order, at least one.
        every: all of them instead of a few that are evenly spread, the last one among them.
    """
    n = len(epochs)
    step = 1 if every else -(-n // _FEW)
    shown = epochs.filter((n - 1 - pl.int_range(n)) % step == 0)
    known = [name for name in _CURVES if epochs[name].null_count() < n]
    rows = [
        [
            Cell(str(one["epoch"])),
            Cell(NOTHING if one["lr"] is None else f"{one['lr']:.3g}"),
            *(Cell(NOTHING if one[name] is None else number(one[name], name)) for name in known),
        ]
        for one in shown.iter_rows(named=True)
    ]
    few = "" if len(shown) == n else f"{len(shown)} of {n} epochs; --every shows all. "
    return Layout(["epoch", "lr", *known], [rows], f"{few}Fractions in percent.")


def _counts(row: Mapping[str, Any]) -> list[str]:
    counts = {"training": row["n_train"], "validation": row["n_val"], "test": row["n_test"]}
    return [f"{n} {part} samples" for part, n in counts.items() if n is not None]


def _noise(row: Mapping[str, Any]) -> str:
    rates = {"asked for": row["nominal_rate"], "realised": row["realised_rate"]}
    kind = "table clean" if shown_noise(row) == AS_GIVEN else row["noise_kind"]
    return ", ".join([kind, *(f"{name} {percent(r)}" for name, r in rates.items()
                                           if r is not None)])  # fmt: skip


def _counted(n: int | None, one: str, several: str) -> str:
    return f"{n} {one if n == 1 else several}" if n else ""


def _without_nothing(facts: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in facts.items() if value}


def _joined(*parts: Any) -> str:
    return ", ".join(str(part) for part in parts if part)


def _time(at: datetime | None) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if at else ""
