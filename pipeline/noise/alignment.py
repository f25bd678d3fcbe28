"""Whether labels, posteriors and features belong to these samples in this order.

Values in the wrong order look plausible one by one; only their agreement with the clean labels
betrays them. It is judged as a whole, along the file, and against class ids in another order and
rows in another place (`agreement`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import LabError, quoted
from pipeline.noise.agreement import (
    BY_CHANCE,
    FALSE_ALARM,
    Chance,
    Displaced,
    against_chance,
    displaced_rows,
    offset_of,
    other_class_order,
    reversed_order,
    shortest_visible,
)
from pipeline.noise.arrays import Floats, Labels

_IN_ORDER = "labels in the order of the training images"
_MOST_SHOWN = 5
_FEW_BORDERS = 20
"""Borders between classes below which a shift by one row changes too little to be seen."""


@dataclass(frozen=True)
class Rows:
    """How the rows of a file came to their images, and what they are called.

    Args:
        what: where the labels come from, for the error.
        joined: by what the rows were joined: order, index or path.
        trusted: the user vouches for them: what only statistics object to is accepted.
        place: name of a row, for the error.
        class_names: names by class id, where they are known.
    """

    what: str
    joined: str = "order"
    trusted: bool = False
    place: Callable[[int], str] = "row {}".format
    class_names: Sequence[str] = ()


def check_labels(
    clean: Labels, noisy: Labels, n_classes: int, rows: Rows, index: Labels | None = None
) -> str:
    """Refuse labels that do not belong to the clean ones, naming the likely reason.

    Args:
        clean: int64 [N], all clean labels.
        noisy: int64 [n].
        n_classes: K.
        rows: how they were joined.
        index: int64 [n], positions of their samples, ascending; None for the first n.

    Returns:
        One line: how far the labels agree, and what would have been seen.

    Raises:
        LabError: for a wrong length, labels out of range, and, unless they are trusted, labels that
            agree no more than by chance, in a stretch of rows only, or better in another order.
    """
    n = len(noisy)
    if not 0 < n <= len(clean):
        header = n == len(clean) + 1 and noisy[0] == 0
        raise LabError(
            f"{rows.what} holds {n} labels",
            f"1 to {len(clean)} labels, for the first training images in order",
            "remove the first line, the header that pandas writes"
            if header
            else "take the file of this data set",
        )
    ours = clean[:n] if index is None else clean[index]
    _check_range(ours, noisy, n_classes, rows)
    if not rows.trusted:
        _check_order(clean, ours, noisy, n_classes, rows)
    return _evidence(ours, noisy, n_classes, rows)


def _check_range(ours: Labels, noisy: Labels, n_classes: int, rows: Rows) -> None:
    outside = np.flatnonzero((noisy < 0) | (noisy >= n_classes))
    if not len(outside):
        return
    low, high, first = int(noisy.min()), int(noisy.max()), int(outside[0])
    if low >= 1 and high == n_classes:
        if against_chance(ours, noisy - 1, n_classes).p < BY_CHANCE:
            remedy = "they count from 1: subtract 1 from every label"
        else:
            remedy = "subtract 1 from every label if they count from 1"
    elif noisy[first] == -1:
        remedy = (
            "where -1 stands for an image without a label: leave these rows out, and give an index "
            "or path column"
        )
    else:
        remedy = "take the file of this data set"
    raise LabError(
        f"{rows.what} holds labels from {low} to {high} ({rows.place(first)}: {noisy[first]})",
        f"labels from 0 to {n_classes - 1}",
        remedy,
    )


def _check_order(clean: Labels, ours: Labels, noisy: Labels, n_classes: int, rows: Rows) -> None:
    order = other_class_order(ours, noisy, n_classes)
    if order:
        raise _renumbered(order, n_classes, rows)
    if reversed_order(ours, noisy):
        raise LabError(f"{rows.what} has its labels in reversed order", _IN_ORDER, "reverse them")
    broken = displaced_rows(ours, noisy, n_classes)
    if broken is not None:
        raise _broken(broken, clean, noisy, n_classes, rows)
    offset = offset_of(ours, noisy, 0, n_classes)
    if offset is not None:
        raise LabError(
            f"the labels of {rows.what} come {abs(offset)} position(s) too "
            f"{'early' if offset > 0 else 'late'}",
            _IN_ORDER,
            "shift them back, or find the row that was lost or doubled at the start"
            if rows.joined == "order"
            else f"give class names instead of ids, or check the {rows.joined} column; "
            f"{_insist('that labels are meant so')}",
        )
    found = against_chance(ours, noisy, n_classes)
    if found.p > BY_CHANCE and rows.joined != "path":
        raise _undecided(found, rows)
    if len(noisy) < len(clean) and rows.joined == "order" and _sorted_by_class(clean):
        raise LabError(
            f"{rows.what} holds {len(noisy)} labels for {len(clean)} images that are sorted by "
            "class, where the loss of a row cannot be seen",
            f"{len(clean)} labels, or an index or path column",
            f"complete the file; {_insist('that these are the first images')}",
        )


def _renumbered(order: dict[int, int], n_classes: int, rows: Rows) -> LabError:
    names = rows.class_names
    shown = sorted((theirs, ours) for ours, theirs in order.items())
    listed = ", ".join(
        f"id {theirs} is {quoted(names[ours]) if names else f'class {ours}'}"
        for theirs, ours in shown[:_MOST_SHOWN]
    )
    more = ", ..." if len(shown) > _MOST_SHOWN else ""
    known = _named_order(order, n_classes, names)
    return LabError(
        f"{rows.what} numbers {len(order)} classes in another order than this data set: {listed}"
        f"{more}{f' ({known})' if known else ''}",
        "the class ids of this data set, in the order of class_names in its card.json",
        f"give class names instead of ids, or renumber; {_insist('that labels are meant so')}",
    )


def _named_order(order: dict[int, int], n_classes: int, names: Sequence[str]) -> str:
    """What an order of class ids is known as, if it is."""
    own = list(range(n_classes))
    theirs = [order.get(k, k) for k in own]
    known: dict[str, list[int]] = {}
    if names and all(name.isdecimal() for name in names):
        by_number = sorted(own, key=lambda k: int(names[k]))
        known["class names in the order of their numbers"] = by_number
    elif names:
        known["class names in alphabetical order"] = sorted(own, key=lambda k: names[k])
        by_letter = sorted(own, key=lambda k: names[k].casefold())
        known["class names in alphabetical order, whatever their case"] = by_letter
    known["numbers sorted as text: 0, 1, 10, 11, ..."] = sorted(own, key=str)
    known["the classes from last to first"] = own[::-1]
    for text, classes in known.items():
        if [theirs[k] for k in classes] == own:
            return text
    shift = theirs[0]
    if theirs == [(k + shift) % n_classes for k in own]:
        signed = shift if shift <= n_classes // 2 else shift - n_classes
        return f"class ids are shifted by {signed:+d}"
    return ""


def _broken(
    broken: Displaced, clean: Labels, noisy: Labels, n_classes: int, rows: Rows
) -> LabError:
    first, last = rows.place(broken.start), rows.place(broken.end - 1)
    remedy = f"put {first} to {last} into the order of the images"
    if rows.joined == "order":
        part = noisy[broken.start : broken.end]
        offset = offset_of(clean, part, broken.start, n_classes)
        if offset is not None:
            cause = "was lost" if offset > 0 else "is doubled"
            remedy = (
                f"find the row that {cause} near {first}"
                if abs(offset) == 1
                else f"move them: they belong {abs(offset)} positions "
                f"{'further on' if offset > 0 else 'further up'}"
            )
    return LabError(
        f"the labels of {rows.what} leave their images at {first}: to {last} they agree with the "
        f"clean labels in {broken.inside.share:.1%}, as by chance, elsewhere in "
        f"{broken.outside:.1%}",
        _IN_ORDER,
        f"{remedy}; {_insist('the order')}",
    )


def _undecided(found: Chance, rows: Rows) -> LabError:
    agreement = (
        f"{rows.what} agrees with the clean labels in {found.share:.1%}, where a random order "
        f"gives {found.chance:.1%}"
    )
    enough = found.enough()
    if enough is None:
        return LabError(
            f"{agreement}: no more than by chance",
            _IN_ORDER,
            "find out the order of the file (TensorFlow's and PyTorch's CIFAR orders differ), or "
            f"give an index or path column; {_insist('the order')}",
        )
    return LabError(
        f"{agreement} (p = {found.p:.2g}): {found.n} labels are too few to tell",
        f"{_IN_ORDER}; with this agreement about {enough} labels would show it",
        f"give an index or path column; {_insist('the order')}",
    )


def _insist(what: str) -> str:
    return f"where you know {what}: order: trusted (--order trusted)"


def _sorted_by_class(clean: Labels) -> bool:
    return int((np.diff(clean) != 0).sum()) < min(_FEW_BORDERS, len(clean) // 4)


def _evidence(ours: Labels, noisy: Labels, n_classes: int, rows: Rows) -> str:
    found = against_chance(ours, noisy, n_classes)
    shortest = shortest_visible(ours, noisy, n_classes)
    by = {"order": "in the order of the images", "index": "by index", "path": "by path"}
    seen = (
        "no displaced block could be seen"
        if shortest is None
        else f"a displaced block of about {shortest} rows would be seen"
    )
    if _sorted_by_class(ours):
        seen += ", a shift by a few rows would not (the images are sorted by class)"
    weak = "" if found.p < FALSE_ALARM else f" (p = {found.p:.2g})"
    return (
        f"joined {by[rows.joined]}{', trusted' if rows.trusted else ''}; agreement "
        f"{found.share:.3f}, by chance {found.chance:.3f}{weak}; {seen}"
    )


def check_posterior(clean: Labels, posterior: Floats, n_classes: int, what: str) -> None:
    """Refuse a posterior that is no posterior, or belongs to other images or another order.

    Args:
        clean: int64 [N], all clean labels.
        posterior: float [n, K], for the first n samples.
        n_classes: K.
        what: where it comes from, for the error.

    Raises:
        LabError: for a wrong length, rows that are no distributions, or a best class that agrees
            with the clean labels no more than by chance, as a whole or in a stretch of rows.
    """
    if not 0 < len(posterior) <= len(clean):
        raise LabError(
            f"{what} has {len(posterior)} rows",
            f"1 to {len(clean)} rows, for the first training samples in order",
            "compute it on this data set",
        )
    if posterior.min() < 0 or not np.allclose(posterior.sum(axis=1), 1.0, atol=1e-3):
        raise LabError(
            f"{what} has rows that are negative somewhere or do not sum to one",
            "softmax outputs",
            "store probabilities, not logits",
        )
    _check_predictions(clean[: len(posterior)], posterior.argmax(axis=1), n_classes, what)


def check_features(clean: Labels, features: Floats, n_classes: int, what: str) -> None:
    """Refuse features of other images: the nearest class mean must tell classes apart at all.

    Args:
        clean: int64 [N].
        features: float [N, D].
        n_classes: K.
        what: where they come from, for the error.

    Raises:
        LabError: for a wrong length, or a nearest class mean (fitted on the other half of the rows)
            that agrees with the clean labels no more than by chance, as a whole or in a stretch.
    """
    if len(features) != len(clean):
        raise LabError(
            f"{what} has {len(features)} rows",
            f"{len(clean)}, one per training image",
            "compute the features on this data set",
        )
    nearest = np.empty(len(clean), np.int64)
    for half in (0, 1):
        one_hot = np.eye(n_classes, dtype=np.float32)[clean[half::2]]
        centres = one_hot.T @ features[half::2] / np.maximum(one_hot.sum(axis=0), 1)[:, None]
        scores = features[1 - half :: 2] @ centres.T - (centres**2).sum(axis=1) / 2
        nearest[1 - half :: 2] = scores.argmax(axis=1)
    _check_predictions(clean, nearest, n_classes, what)


def _check_predictions(clean: Labels, predicted: Labels, n_classes: int, what: str) -> None:
    """Refuse predictions [n] from values that are not in the order of the images."""
    found = against_chance(clean, predicted, n_classes)
    broken = displaced_rows(clean, predicted, n_classes)
    if broken is not None:
        raise LabError(
            f"{what} leaves its images at row {broken.start}: to row {broken.end - 1} it says no "
            f"more about the clean labels than by chance, elsewhere {broken.outside:.1%} fit",
            "a row per training image, in their order",
            "compute it anew on this data set",
        )
    if found.p > BY_CHANCE:
        raise LabError(
            f"{what} tells the classes apart no better than chance ({found.share:.1%})",
            "values computed on these images, in this order",
            "compute it on this data set",
        )
