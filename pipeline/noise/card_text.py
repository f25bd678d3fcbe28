"""The noise card as text."""

from collections.abc import Sequence

import numpy as np

from pipeline.noise.noise_card import NoiseCard

_MOST_ROWS = 10


def describe(card: NoiseCard) -> str:
    """A card for reading: facts, then the matrix, or its largest entries where it is too wide.

    Args:
        card: the card.

    Returns:
        Several lines.
    """
    facts = {
        "table": f"{card.dataset} / {card.name}",
        "generator": f"{card.generator}, version {card.version}, seed {_or_none(card.seed)}",
        "convention": card.convention,
        "nominal rate": _or_none(card.nominal_rate),
        "realised rate": _or_none(card.realised_rate),
        "per class": _spread(card),
        "labels": f"{card.n} of {card.n_classes} classes, digest {card.labels_digest}",
        "images": f"digest {card.data_digest}",
        **{name: str(value) for name, value in card.details.items()},
    }
    width = max(map(len, facts))
    lines = [f"{name:{width}s}  {value}" for name, value in facts.items()]
    return "\n".join([*lines, *matrix_lines(card.transition or ())])


def matrix_lines(transition: Sequence[Sequence[float]]) -> list[str]:
    """A matrix T for reading, or its largest flips where it is too wide; nothing for no matrix.

    Args:
        transition: [K][K], rows are clean classes.

    Returns:
        Lines, the first a heading.
    """
    if not transition:
        return []
    if len(transition) <= _MOST_ROWS:
        rows = ("  ".join(f"{share:.3f}" for share in row) for row in transition)
        return ["T[clean, noisy]:", *rows]
    wrong = np.array(transition)
    np.fill_diagonal(wrong, 0.0)
    largest = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_ROWS]
    pairs = zip(*np.unravel_index(largest, wrong.shape), strict=True)
    return ["largest flips:", *(f"{i} -> {j}: {wrong[i, j]:.3f}" for i, j in pairs)]


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def _spread(card: NoiseCard) -> str:
    known = [rate for rate in card.per_class_rates or () if rate is not None]
    return f"{min(known):.4f} to {max(known):.4f}" if known else "not known: no clean labels"
