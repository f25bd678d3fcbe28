"""Reading the text files that list images and labels, whatever their line ends."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.data.listed import SplitLines
from pipeline.errors import LabError

_SHOWN = 5


class Line(NamedTuple):
    """A line that is not blank: its number from 1, and its text without the white space around."""

    number: int
    text: str


def require(files: Iterable[Path]) -> None:
    """Refuse to go on without these files.

    Raises:
        LabError: naming where the missing ones must lie.
    """
    missing = [file for file in files if not os.path.isfile(file)]
    if missing:
        folder = Path(os.path.commonpath([file.parent for file in missing]))
        names = [file.relative_to(folder).as_posix() for file in missing]
        rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise LabError(
            f"{len(names)} file(s) missing in {folder}: {', '.join(names[:_SHOWN])}{rest}",
            "the published lists at just these places",
            "unpack them there, or name their folder with root: in params.yaml or --root",
        )


def read_lines(file: Path) -> list[Line]:
    """Lines that are not blank; CRLF, a byte order mark and a missing last line end do no harm.

    Raises:
        LabError: if the file is not UTF-8 text.
    """
    expected = "a text file in UTF-8"
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise LabError(
            f"{file} line {line} cannot be read ({error})", expected, f"fetch {file.name} again"
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        # UTF-16 of plain English passes for UTF-8 with a zero beside every letter.
        raise LabError(
            f"{file} line {line} holds a zero byte", expected, f"fetch {file.name} again"
        )
    # Not splitlines(), which also breaks at signs that a file name may hold.
    stripped = (line.strip() for line in text.split("\n"))
    return [Line(number, line) for number, line in enumerate(stripped, start=1) if line]


def labelled_lines(
    file: Path, lines: SplitLines, header: bool = False
) -> Iterator[tuple[int, str, int]]:
    """Number, path and label of every line `path label`; the label follows the last space.

    Args:
        file: the list. Paths may hold commas and spaces.
        lines: takes note of the lines of another shape.
        header: whether the first line may hold words instead.
    """
    for number, text in read_lines(file):
        path, _, label = text.replace("\t", " ").rpartition(" ")
        if path and is_label(label):
            yield number, path.rstrip(), int(label)
        elif number > 1 or not header:
            lines.refuse("not of the form 'path label'", file.name, number)


def is_label(text: str) -> bool:
    """Whether a text is a whole number, of at most nine digits."""
    return text.removeprefix("-").isdecimal() and len(text) < 10


def aligned_lines(paths: Path, labels: Path) -> Iterator[tuple[Line, Line]]:
    """Lines of a list of paths beside those of a list of their labels.

    Raises:
        LabError: if one has more lines than the other.
    """
    both = read_lines(paths), read_lines(labels)
    if len(both[0]) != len(both[1]):
        raise LabError(
            f"{paths} has {len(both[0])} entries, {labels} has {len(both[1])}",
            "as many labels as images",
            "fetch both lists again",
        )
    yield from zip(*both, strict=True)
