"""The curated table of published numbers: facts, each with its source.

`numbers.csv` has a row per number, `sources.csv` a row per source. Values are fractions. An empty
cell is what the source does not say, but for `method` (the laboratory has none), `weights` (as
trained) and `note`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from pipeline.csv_rows import CsvRow, read_csv
from pipeline.errors import LabError, quoted, suggest
from pipeline.results.protocols import PROTOCOLS, Name

Trust = Literal["A", "B", "C", "D"]
"""A: of the authors; B: of the authors, quoted by others; C: run again by others; D: from a note
that nobody has compared with the paper."""
WEIGHTS = ("", "averaged")
METRICS = ("test_accuracy", "test_top5", "ilsvrc_accuracy", "ilsvrc_top5")
CURATED = Path(__file__).with_name("numbers.csv")
SOURCES = Path(__file__).with_name("sources.csv")


class Number(NamedTuple):
    """One published number."""

    source: str
    """Its source, a row of sources.csv."""
    place: str
    """Table, file or folder of the source."""
    trust: Trust
    dataset: str
    noise: str
    """Convention of the labels, as noise cards name it; a question mark at the end where the source
    says no more than the family."""
    rate: float | None
    """Nominal rate in the convention's sense; None where labels have none."""
    name: str
    """What the source calls the method."""
    method: str
    """The row of a table here that is the same method: its variant, or its method script; empty
    where there is none."""
    weights: str
    """averaged, or empty for the weights as trained."""
    settings: str
    """Settings that the source gives for this number, as name=value; name=value."""
    network: str
    """What the source calls the network."""
    backbone: str
    """The same network here; empty where there is none."""
    encoder: str
    """Weights that it starts from or queries: none, imagenet, simclr, clip or cc."""
    epochs: int | None
    n_train: int | None
    """Images that it was trained on."""
    metric: str
    protocol: Name | None
    """Which epoch counts."""
    value: float
    """Mean over the runs."""
    deviation: float | None
    """Standard deviation over the runs."""
    ddof: int | None
    """0 for a population's deviation, 1 for a sample's."""
    n: int | None
    """Runs behind it."""
    note: str


FREE = ("value", "deviation", "ddof", "n", "note", "trust")
"""Columns that do not tell one number from another."""
_KEYS = tuple(name for name in Number._fields if name not in FREE)
_WHAT = "a table of published numbers, with the columns " + ", ".join(Number._fields[:4]) + ", ..."


def read_numbers(paths: Sequence[Path] = (CURATED,)) -> list[Number]:
    """Read tables of published numbers.

    Args:
        paths: CSV files with the columns of `Number`.

    Returns:
        Their rows, in order.

    Raises:
        LabError: for a file that is missing or malformed, a value that a column does not take, and
            two numbers of one key.
    """
    found: list[Number] = []
    places: dict[tuple[object, ...], str] = {}
    for path in paths:
        for row in read_csv(path, _WHAT, Number._fields, Number._fields):
            number = _number(row)
            key = tuple(getattr(number, name) for name in _KEYS)
            if key in places:
                raise LabError(
                    f"{row.place}: the same number as in {places[key]}",
                    "one row for each source, noise, method, setting, network, budget and protocol",
                    "take one of the two out, or say in settings what differs",
                )
            places[key] = row.place
            found.append(number)
    return found


@cache
def curated(classes: tuple[Trust, ...] = ("A", "B", "C")) -> tuple[Number, ...]:
    """The curated numbers from sources of some classes."""
    return tuple(number for number in read_numbers() if number.trust in classes)


def source_names() -> dict[str, str]:
    """What each source of the curated table is, by its name in the table."""
    columns = ("source", "what", "reference")
    rows = read_csv(SOURCES, "the sources of the published numbers", columns, columns)
    return {row.cells["source"]: f"{row.cells['what']} ({row.cells['reference']})" for row in rows}


def settings_of(number: Number) -> dict[str, str]:
    """The settings that a source gives, as text by name."""
    pairs = (pair.partition("=") for pair in number.settings.split(";") if pair.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _number(row: CsvRow) -> Number:
    text = {name: cell.strip() for name, cell in row.cells.items()}
    for name in ("source", "dataset", "noise", "name"):
        if not text[name]:
            raise LabError(f"{row.place}: no {name}", "a word", f"fill in {name}")
    if any("=" not in pair for pair in text["settings"].split(";") if pair.strip()):
        raise LabError(
            f"{row.place}: settings = {quoted(text['settings'])}", "name=value; name=value",
            "sigma=0.5",
        )  # fmt: skip
    _check(row.place, "trust", text["trust"], get_args(Trust))
    _check(row.place, "weights", text["weights"], WEIGHTS)
    _check(row.place, "metric", text["metric"], METRICS)
    _check(row.place, "protocol", text["protocol"], ["", *PROTOCOLS])
    _check(row.place, "ddof", text["ddof"], ("", "0", "1"))
    values = {
        **text,
        "rate": _fraction(row.place, "rate", text["rate"]),
        "value": _fraction(row.place, "value", text["value"]),
        "deviation": _fraction(row.place, "deviation", text["deviation"]),
        "protocol": text["protocol"] or None,
        **{name: _count(row.place, name, text[name]) for name in ("epochs", "n_train", "n")},
        "ddof": int(text["ddof"]) if text["ddof"] else None,
    }
    if values["value"] is None:
        raise LabError(f"{row.place}: no value", "a fraction in [0, 1]", "fill in value")
    return Number(**values)  # type: ignore[arg-type]  # checked cell by cell


def _check(place: str, name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        known = [choice for choice in choices if choice]
        raise LabError(f"{place}: {name} = {quoted(value)}", *suggest(value, known, "mend it"))


def _fraction(place: str, name: str, text: str) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        value = float("nan")
    if value is not None and not 0 <= value <= 1:
        raise LabError(
            f"{place}: {name} = {quoted(text)}", "a fraction in [0, 1]", "divide percentages by 100"
        )
    return value


def _count(place: str, name: str, text: str) -> int | None:
    if text and not (text.isdecimal() and int(text)):
        raise LabError(f"{place}: {name} = {quoted(text)}", "a whole number from 1", "mend it")
    return int(text) if text else None
