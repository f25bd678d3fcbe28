"""The columns of a label file as they were read, and what a row is called in messages."""

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class FileTable:
    """Columns of one label file.

    Args:
        name: of the file.
        columns: vectors of numbers, booleans or text, by column or key.
        lines: line of each row in a text file, from 1; None for other formats.
        headed: whether the columns have names of their own.
    """

    name: str
    columns: dict[str, npt.NDArray[Any]]
    lines: tuple[int, ...] | None = None
    headed: bool = True

    def place(self, row: int) -> str:
        """What a row is called: its line in a text file, else its number from 0."""
        return f"row {row}" if self.lines is None else f"line {self.lines[row]}"
