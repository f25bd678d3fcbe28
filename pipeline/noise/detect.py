"""Which named convention label counts are compatible with, told from the counts alone."""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincc, ndtri

from pipeline.errors import LabError
from pipeline.noise.arrays import Labels
from pipeline.noise.models.class_maps import named_map

FALSE_ALARM = 1e-5
"""Probability with which a test here rejects labels that do follow the convention."""
_MAPS = ("cifar10", "superclass_next", "next_class", "block5")
TESTABLE = frozenset(
    {"clean", "symmetric", "symmetric-inclusive", "pair", *(f"asymmetric/{m}" for m in _MAPS)}
)
"""Conventions that counts can confirm or rule out; others show as `uneven`."""


@dataclass(frozen=True)
class Detection:
    """What the counts allow.

    Args:
        conventions: names of the compatible conventions, most specific first; `uneven` where flips
            follow neither a map nor a uniform draw (feature-dependent, human or hybrid labels).
        evidence: one line saying why.
    """

    conventions: tuple[str, ...]
    evidence: str


def detect(counts: Labels, nominal_rate: float | None = None) -> Detection:
    """Compare counts with every named convention.

    Args:
        counts: int64 [K, K], rows are clean classes.
        nominal_rate: published rate; it alone tells symmetric from symmetric-inclusive.

    Returns:
        The compatible conventions. Each chi-square and rate test rejects wrongly with probability
        `FALSE_ALARM`.
    """
    flips = counts - np.diag(np.diag(counts))
    if not flips.any():
        return Detection(("clean",), "no label differs")
    targets = _one_target_each(flips)
    if targets is not None:
        return _named_maps(targets)
    p_value = uniformity(counts)
    if p_value < FALSE_ALARM:
        return Detection(("uneven",), f"targets are not uniform (p = {p_value:.1g})")
    evidence = f"targets are uniform (p = {p_value:.2f})"
    if nominal_rate is None:
        return Detection(("symmetric", "symmetric-inclusive"), f"{evidence}, no nominal rate given")
    return _symmetric_kinds(counts, nominal_rate, evidence)


def uniformity(counts: Labels) -> float:
    """p-value of the chi-square test that every class flips equally often to all others.

    Args:
        counts: int64 [K, K], rows are clean classes.

    Returns:
        Upper tail of chi-square with K (K - 2) degrees of freedom, less one block of K - 2 for each
        class without flips, plus the test that the K flip rates are equal (K - 1).
    """
    n_classes = len(counts)
    sizes = counts.sum(axis=1)
    n_flips = sizes - np.diag(counts)
    some = n_flips > 0
    wrong = counts[some][~np.eye(n_classes, dtype=bool)[some]].reshape(-1, n_classes - 1)
    expected = n_flips[some, None] / (n_classes - 1)
    statistic = float(((wrong - expected) ** 2 / expected).sum())
    freedom = int(some.sum()) * (n_classes - 2)
    rate = n_flips.sum() / sizes.sum()
    present = sizes > 0
    if 0 < rate < 1:
        deviation = (n_flips - rate * sizes)[present] ** 2
        statistic += float((deviation / (rate * (1 - rate) * sizes[present])).sum())
        freedom += int(present.sum()) - 1
    return float(gammaincc(freedom / 2.0, statistic / 2.0))


def _one_target_each(flips: Labels) -> Labels | None:
    """The one wrong label of every class (its own id where it has none), or None."""
    if ((flips > 0).sum(axis=1) > 1).any():
        return None
    return np.where(flips.any(axis=1), flips.argmax(axis=1), np.arange(len(flips)))


def _named_maps(targets: Labels) -> Detection:
    n_classes = len(targets)
    own = np.arange(n_classes)
    moved = targets != own
    evidence = f"{moved.sum()} of {n_classes} classes flip, each to one class"
    found = []
    for name in _MAPS:
        defined = (
            name == "next_class"
            or (name, n_classes) in (("cifar10", 10), ("superclass_next", 100))
            or (name == "block5" and n_classes % 5 == 0)
        )
        if defined:
            wanted = named_map(name, n_classes)
            # A class of which nothing flipped by chance does not speak against its map.
            if (targets[moved] == wanted[moved]).all() and (wanted != own)[moved].all():
                found.append(f"asymmetric/{name}")
    if "asymmetric/next_class" in found:
        found.append("pair")
    return Detection(tuple(found) or ("asymmetric",), evidence)


def _symmetric_kinds(counts: Labels, nominal: float, evidence: str) -> Detection:
    n_classes, n = len(counts), int(counts.sum())
    rate = 1.0 - np.diag(counts).sum() / n
    limit = -ndtri(FALSE_ALARM / 2)
    expected = {"symmetric": nominal, "symmetric-inclusive": nominal * (n_classes - 1) / n_classes}

    def distance(name: str) -> float:
        spread = np.sqrt(max(expected[name] * (1 - expected[name]), 1.0 / n) / n)
        return float(abs(rate - expected[name]) / spread)

    fitting = sorted((name for name in expected if distance(name) <= limit), key=distance)
    ranked = ", ".join(f"{name}: {distance(name):.1f} sd" for name in expected)
    return Detection(tuple(fitting) or ("symmetric (other rate)",), f"{evidence}; {ranked}")


def check_stated(stated: str | None, found: Detection, what: str) -> None:
    """Refuse labels whose counts contradict the convention they are said to follow.

    Args:
        stated: the publishers' word; one that names no convention told from counts is believed.
        found: what the counts allow.
        what: where the labels come from, for the error.

    Raises:
        LabError: if the counts rule out the stated convention.
    """
    if stated in TESTABLE and stated not in found.conventions:
        raise LabError(
            f"{what} is said to be {stated}, but {found.evidence}",
            f"compatible: {', '.join(found.conventions)}",
            "correct `convention` (and `rate`) or leave it out",
        )
