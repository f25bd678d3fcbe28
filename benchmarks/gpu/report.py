"""Rows as a short table at once, and all of them in a JSON file that is whole at any time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.gpu.isolation import Row
from pipeline.files import replacing

_HIDDEN = {"traceback", "error", "not_deterministic", "seconds", "refused"}
_NOTES = ("error", "not_deterministic", "refused")


class Report:
    """What is known so far.

    Args:
        path: of the JSON file; None for none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._found = path, dict[str, Any]()

    def note(self, **facts: Any) -> None:
        """Keep facts about the whole."""
        self._found |= facts
        self._write()

    def keep(self, section: str, rows: dict[str, Row], seconds: float) -> None:
        """Keep the rows of a section, whether or not it has ended."""
        sections = self._found.setdefault("sections", {})
        sections[section] = {"seconds": seconds, "rows": rows}
        self._write()

    def _write(self) -> None:
        if self._path is not None:
            with replacing(self._path) as temporary:
                temporary.write_text(json.dumps(self._found, indent=1, default=str))


def table(section: str, rows: dict[str, Row], seconds: float) -> str:
    """The rows of a section as lines of text; what went wrong comes below."""
    columns = list(dict.fromkeys(
        name for row in rows.values() for name in row if name not in _HIDDEN
    ))  # fmt: skip
    cells = [[section, *columns, "s"]]
    cells += [[item, *(shown(row.get(name)) for name in columns), shown(row.get("seconds"))]
              for item, row in rows.items()]  # fmt: skip
    widths = [max(len(line[at]) for line in cells) for at in range(len(cells[0]))]
    lines = [f"== {section}: {seconds:.0f} s"]
    for first, *others in cells:
        numbers = [text.rjust(n) for text, n in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *numbers]))
    lines += [f"  {item}: {name}: {row[name]}" for item, row in rows.items()
              for name in _NOTES if name in row]  # fmt: skip
    return "\n".join(lines)


def shown(value: object) -> str:
    """A value as a cell."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
