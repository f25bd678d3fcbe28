"""The parts of a data set of one's own: which names mean training images, which the test."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.errors import LabError, quoted, suggest

_WORDS = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test",
    "val": "val", "valid": "val", "validation": "val",
}  # fmt: skip
_FIRST_WORD = re.compile(r"[a-z]+")
_WORD = re.compile(rf"(?<![a-z])({'|'.join(_WORDS)})(?![a-z])")
_JUNK = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "ehthumbs.db"}


class Parts(NamedTuple):
    """Names of the parts that are read, as they are written; no test part means to hold one out."""

    train: str | None
    test: str | None


def is_junk(name: str) -> bool:
    """Whether a file or folder was left by a system, not by a person: hidden, or a known name."""
    return name.startswith(".") or name.lower() in _JUNK


def part_of(name: str) -> str | None:
    """`train`, `test` or `val`, if a name begins with a word for it in any case, else None."""
    word = _FIRST_WORD.match(name.lower())
    return _WORDS.get(word.group()) if word else None


def is_part(name: str) -> bool:
    """Whether a whole name, in any case, is a usual one of a part."""
    return name.lower() in _WORDS


def speaks_of_parts(name: str) -> bool:
    """Whether a name holds a word for a part, as `seg_train` and `val2017` do."""
    return _WORD.search(name.lower()) is not None


def choose_parts(names: Iterable[str], wanted: str | None, place: str) -> Parts:
    """Decide which part is learned from, and which is tested on.

    Args:
        names: of the parts that are there.
        wanted: name of the part to test on, `none` for none of them, or None for the one that is
            there, `test` before `val`.
        place: where they lie, for messages.

    Returns:
        The parts to read; `train` is None where there is no training part.

    Raises:
        LabError: if there are two of a kind, or the wanted one is not there.
    """
    found = sorted(names)
    train = _only(found, "train", place, "keep one of them at this place")
    if wanted == "none":
        return Parts(train, None)
    if wanted is not None:
        others = [name for name in found if name != train]
        for name in others:
            if name.lower() == wanted.lower():
                return Parts(train, name)
        raise LabError(
            f"test_part {quoted(wanted)}, which is not in {place}", *suggest(wanted, others, "none")
        )
    remedy = "name the one to test on in params.yaml, as in  test_part: {}"
    test = _only(found, "test", place, remedy) or _only(found, "val", place, remedy)
    return Parts(train, test)


def _only(names: list[str], part: str, place: str, remedy: str) -> str | None:
    of_part = [name for name in names if part_of(name) == part]
    if len(of_part) > 1:
        raise LabError(
            f"{' and '.join(of_part)} in {place}",
            f"one part for {'training' if part == 'train' else 'testing'}",
            remedy.format(of_part[0]),
        )
    return of_part[0] if of_part else None
