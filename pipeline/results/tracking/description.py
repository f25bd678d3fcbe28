"""The description of a run on its page in MLflow, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.results.keys import seeds_in_words

_FACTS = ("key", "grid", "recipe", "recipe_status", "backbone", "epochs", "batch_size", "encoders",
          "knows", "realised_rate", "device", "n_processes", "command")  # fmt: skip


def description(row: Mapping[str, Any], figures: Mapping[str, tuple[int, float] | None]) -> str:
    """What the run is, how it ended and its figures under each protocol.

    Args:
        row: of the runs table.
        figures: `metric.protocol` -> (epoch, fraction), None where the protocol found no epoch.

    Returns:
        A sentence and a table; everything that a user named stands as code, so none of it is
        markup.
    """
    variant = f" {_code(row['variant'])}" if row.get("variant") else ""
    lines = [
        f"Method {_code(row['method'])}{variant} on data set {_code(row['dataset'])} "
        f"with labels {_code(row['noise'])}, {seeds_in_words(row)}: {row['status']}.",
    ]
    if row.get("status_detail"):
        lines.append(f"\n{_code(row['status_detail'])}")
    if row.get("git_dirty"):
        lines.append("\nThe code differed from its commit.")
    lines += ["", "| | |", "|---|---|"]
    lines += [f"| {name} | {_figure(found)} |" for name, found in figures.items()]
    lines += [f"| {name} | {_code(row[name])} |" for name in _FACTS if row.get(name)]
    return "\n".join(lines)


def _figure(found: tuple[int, float] | None) -> str:
    return f"{100 * found[1]:.2f} % (epoch {found[0]})" if found else "not found"


def _code(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    plain = " ".join(text.replace("`", "'").replace("|", "/").split())
    return f"`{plain[:200]}`"
