"""The description of a run on its page in MLflow, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.results.given import shown_noise
from pipeline.results.keys import seeds_in_words

_FACTS = ("key", "grid", "recipe", "recipe_status", "backbone", "epochs", "batch_size", "encoders",
          "knows", "realised_rate", "device", "n_processes", "command")  # fmt: skip


def description(row: Mapping[str, Any], figures: Mapping[str, tuple[int, float] | None]) -> str:
    """What the run is, how it ended and its figures under each protocol.

    Args:
        row: of the runs table.
        figures: `metric/protocol` -> (epoch, fraction), None where the protocol found no epoch.

    Returns:
        A sentence and a table; everything that a user named stands as code, so none of it is
        markup.
    """
    lines = [f"{_subject(row)}, {seeds_in_words(row)}: {row['status']}."]
    if row.get("status_detail"):
        lines.append(f"\n{_code(row['status_detail'])}")
    if row.get("git_dirty"):
        lines.append("\nThe code differed from its commit.")
    lines += ["", "| | |", "|---|---|"]
    lines += [f"| {name} | {_figure(found)} |" for name, found in figures.items()]
    lines += [f"| {name} | {_code(row[name])} |" for name in _FACTS if row.get(name)]
    return "\n".join(lines)


def description_of_seeds(
    rows: Sequence[Mapping[str, Any]], figures: Mapping[str, tuple[float, float]]
) -> str:
    """What runs are that differ in their seed alone, and their figures under each protocol.

    Args:
        rows: of the runs table.
        figures: `metric/protocol` -> mean and deviation over the seeds, as fractions.

    Returns:
        A sentence and a table.
    """
    seeds = "; ".join(seeds_in_words(row).removeprefix("seed ") for row in rows)
    lines = [
        f"{_subject(rows[0])}: mean and standard deviation over the seeds {seeds}.",
        *("", "| | |", "|---|---|"),
    ]
    lines += [
        f"| {name} | {100 * mean:.2f} ± {100 * deviation:.2f} % |"
        for name, (mean, deviation) in figures.items()
    ]
    return "\n".join(lines)


def _subject(row: Mapping[str, Any]) -> str:
    variant = f" {_code(row['variant'])}" if row.get("variant") else ""
    data = f"data set {_code(row['dataset'])} with labels {_code(shown_noise(row))}"
    return f"Method {_code(row['method'])}{variant} on {data}"


def _figure(found: tuple[int, float] | None) -> str:
    return f"{100 * found[1]:.2f} % (epoch {found[0]})" if found else "not found"


def _code(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    plain = " ".join(text.replace("`", "'").replace("|", "/").split())
    return f"`{plain[:200]}`"
