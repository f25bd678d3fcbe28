"""How labels agree with the clean ones: against chance, along the file, under other orders.

A row agrees where its label is the clean one. In the wrong order labels agree by chance alone:
class k is met with the share of labels that say k.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.signal import correlate
from scipy.stats import binom, hypergeom, norm

from pipeline.noise.arrays import Floats, Labels
from pipeline.noise.noise_card import confusion

BY_CHANCE = 0.01
"""Probability with which labels in a random order pass for labels in order."""
FALSE_ALARM = 1e-6
"""Probability with which labels in order are found displaced, where errors are independent."""
_PART = 0.25
"""Part of the expected agreement beyond chance below which rows count as displaced: what is lower
but real (a class or a stretch that is labelled badly) is noise, and no matter of order."""
_LEVELS = np.arange(0.05, 1.0, 0.05)
_SUREST = 0.95
"""Agreement is taken to be no surer than this: a few wrong rows in a clean file are no break."""
_POWER = 6.0
"""Standard deviations between agreement in order and by chance from which a stretch can be judged:
within one class all orders agree alike."""
_LEAST_EXCESS = 0.05
"""Part of the agreement beyond chance below which more labels would not help."""
_MOST_CORRELATED = 16
"""Classes by which a displacement is sought; the most frequent ones."""


class Chance(NamedTuple):
    """Agreement beside that of the same labels in a random order.

    Args:
        n: number of labels.
        found: number that agree.
        expected: number that agree in a random order, on average.
        spread: standard deviation of that number.
        p: probability of as many or more in a random order.
    """

    n: int
    found: int
    expected: float
    spread: float
    p: float

    @property
    def share(self) -> float:
        """Share of labels that agree."""
        return self.found / self.n

    @property
    def chance(self) -> float:
        """Share that agrees in a random order."""
        return self.expected / self.n

    def enough(self) -> int | None:
        """How many labels with this agreement would be told from chance; None if there is none."""
        excess = self.found - self.expected
        if excess < _LEAST_EXCESS * (self.n - self.expected):
            return None
        return int(np.ceil((norm.isf(BY_CHANCE) * self.spread / excess) ** 2 * self.n)) + 1


def against_chance(clean: Labels, other: Labels, n_classes: int) -> Chance:
    """Compare with a random order of the same labels.

    Args:
        clean: int64 [n], n > 0.
        other: int64 [n].
        n_classes: K.

    Returns:
        The comparison; exact for two classes, by the normal distribution for many agreeing rows,
        else by the binomial one.
    """
    n = len(clean)
    ours, theirs = (np.bincount(y, minlength=n_classes).astype(float) for y in (clean, other))
    pairs = float(ours @ theirs)
    found, expected = int((clean == other).sum()), pairs / n
    # Variance of the number of matches under a random permutation (Cohen's kappa, null case).
    variance = (pairs**2 + n**2 * pairs - n * float((ours * theirs) @ (ours + theirs))) / max(
        n**2 * (n - 1), 1
    )
    spread = float(np.sqrt(max(variance, 0.0)))
    if n_classes == 2:
        both = int(((clean == 1) & (other == 1)).sum())
        p = float(hypergeom.sf(both - 1, n, int(ours[1]), int(theirs[1])))
    elif expected >= 10 and spread > 0:
        p = float(norm.sf((found - 0.5 - expected) / spread))
    else:
        p = float(binom.sf(found - 1, n, expected / n))
    return Chance(n, found, expected, spread, p)


@dataclass(frozen=True)
class Displaced:
    """Rows whose labels do not belong to their images, while others do.

    Args:
        start: first row.
        end: row after the last.
        inside: agreement within these rows.
        outside: agreement of the other rows.
    """

    start: int
    end: int
    inside: Chance
    outside: float


def displaced_rows(clean: Labels, other: Labels, n_classes: int) -> Displaced | None:
    """The stretch of a file in which agreement breaks down to chance.

    The stretch that most rows speak for is found first, then the one that most rows speak against,
    each as the segment with the largest sum of log-likelihood ratios (agreement as in the first,
    by class, against agreement by chance). Where labels are in order, such a sum exceeds x in a
    file of n rows with probability below n^2 exp(-x).

    Args:
        clean: int64 [n].
        other: int64 [n].
        n_classes: K.

    Returns:
        The stretch, or None where agreement holds from the first row to the last.
    """
    n = len(clean)
    by_chance = _chance_rates(other, n_classes)
    agree = clean == other
    rates = _rates_in_order(clean, agree, by_chance)
    if rates is None:
        return None
    start, end, score = _best_segment(-_evidence(clean, agree, by_chance, rates))
    if score < np.log(n**2 / FALSE_ALARM):
        return None
    inside = against_chance(clean[start:end], other[start:end], n_classes)
    hoped = float(rates[clean[start:end]].sum()) - inside.expected
    decided = hoped > _POWER * inside.spread and inside.spread > 0
    if not decided or inside.found - inside.expected > _PART * hoped:
        return None
    rest = np.concatenate([agree[:start], agree[end:]])
    return Displaced(start, end, inside, float(rest.mean()) if len(rest) else 0.0)


def shortest_visible(clean: Labels, other: Labels, n_classes: int) -> int | None:
    """About how many displaced rows it takes for `displaced_rows` to see them; None for too many.

    Args:
        clean: int64 [n].
        other: int64 [n], in order.
        n_classes: K.

    Returns:
        The number of rows, if it is below n.
    """
    n = len(clean)
    by_chance, agree = _chance_rates(other, n_classes), clean == other
    rates = _rates_in_order(clean, agree, by_chance)
    if rates is None:
        return None
    q, m = by_chance[clean], rates[clean]
    gained = float((q * np.log(q / m) + (1 - q) * np.log((1 - q) / (1 - m))).mean())
    needed = np.log(n**2 / FALSE_ALARM) / gained if gained > 0 else np.inf
    return int(np.ceil(needed)) if needed < n else None


def _chance_rates(other: Labels, n_classes: int) -> Floats:
    """P(agreement | clean class) in a random order, away from 0 and 1: float64 [K]."""
    n = len(other)
    shares = np.bincount(other, minlength=n_classes) / n
    return np.asarray(np.clip(shares, min(1 / n, 0.5), _SUREST))


def _rates_in_order(
    clean: Labels, agree: npt.NDArray[np.bool_], by_chance: Floats
) -> Floats | None:
    """P(agreement | clean class) where labels are in order [K]; None where no stretch shows it."""
    n, best = len(clean), (0, 0, 0.0, 0.0)
    for level in _LEVELS:
        rates = np.maximum(by_chance, np.minimum(by_chance + level * (1 - by_chance), _SUREST))
        start, end, score = _best_segment(_evidence(clean, agree, by_chance, rates))
        if score > best[2]:
            best = (start, end, score, float(level))
    start, end, score, level = best
    if score < np.log(len(_LEVELS) * n**2 / FALSE_ALARM):
        return None
    inside, kept = clean[start:end], agree[start:end]
    typical = by_chance + level * (1 - by_chance)
    sizes = np.bincount(inside, minlength=len(by_chance))
    hits = np.bincount(inside[kept], minlength=len(by_chance))
    # Classes that the stretch hardly holds are taken to be like the others.
    rates = (hits + 4 * typical) / (sizes + 4)
    return np.asarray(np.clip(rates, by_chance, np.maximum(by_chance, _SUREST)))


def _evidence(
    clean: Labels, agree: npt.NDArray[np.bool_], by_chance: Floats, rates: Floats
) -> Floats:
    """Log-likelihood ratio of each row: in order against by chance, float64 [n]."""
    ratios = np.log(np.stack([(1 - rates) / (1 - by_chance), rates / by_chance]))
    return np.asarray(ratios[agree.astype(int), clean])


def _best_segment(scores: Floats) -> tuple[int, int, float]:
    """Start, end and sum of the segment with the largest sum."""
    sums = np.concatenate([[0.0], np.cumsum(scores)])
    gains = sums - np.minimum.accumulate(sums)
    end = int(gains.argmax())
    return int(sums[: end + 1].argmin()), end, float(gains[end])


def other_class_order(clean: Labels, other: Labels, n_classes: int) -> dict[int, int]:
    """The class ids of a file that numbers some classes in another order.

    The assignment of ids to classes with the largest agreement is taken apart into its cycles. A
    cycle counts where its own ids agree hardly more than by chance and the exchanged ones do.

    Args:
        clean: int64 [n].
        other: int64 [n].
        n_classes: K.

    Returns:
        Id in the file by class id, for the classes that are numbered otherwise; empty where none.
    """
    counts = confusion(clean, other, n_classes)
    # Between equally good assignments the one that leaves a class alone wins.
    _, assigned = linear_sum_assignment(-(2 * counts + np.eye(n_classes, dtype=np.int64)))
    shares = counts.sum(axis=0) / counts.sum()
    found: dict[int, int] = {}
    for cycle in _cycles(assigned):
        targets = assigned[cycle]
        own, exchanged = int(counts[cycle, cycle].sum()), int(counts[cycle, targets].sum())
        sizes = counts[cycle].sum(axis=1)
        beyond = own - float(sizes @ shares[cycle])
        hoped = exchanged - float(sizes @ shares[targets])
        log_p = float(binom.logsf(exchanged - 1, own + exchanged, 0.5))
        if log_p + len(cycle) * np.log(n_classes) < np.log(FALSE_ALARM) and beyond < _PART * hoped:
            found |= {int(k): int(j) for k, j in zip(cycle, targets, strict=True)}
    return found


def _cycles(assigned: Labels) -> list[Labels]:
    """The cycles of a permutation that move something."""
    left, cycles = set(np.flatnonzero(assigned != np.arange(len(assigned))).tolist()), []
    while left:
        cycle = [min(left)]
        while (following := int(assigned[cycle[-1]])) != cycle[0]:
            cycle.append(following)
        cycles.append(np.array(cycle))
        left -= set(cycle)
    return cycles


def offset_of(clean: Labels, part: Labels, start: int, n_classes: int) -> int | None:
    """By how many positions labels come too early (above 0) or too late.

    Args:
        clean: int64 [N], all clean labels.
        part: int64 [n], consecutive labels of a file.
        start: row of the first of them.
        n_classes: K.

    Returns:
        The offset d other than 0 for which `part[i]` belongs to position `start + i + d`, if at
        it labels agree far better than by chance and than where they are; else None.
    """
    frequent = np.argsort(-np.bincount(part, minlength=n_classes), kind="stable")[:_MOST_CORRELATED]
    total = np.zeros(len(clean) + len(part) - 1)
    for k in frequent:
        ours, theirs = ((y == k).astype(np.float32) for y in (clean, part))
        total += correlate(ours - ours.mean(), theirs - theirs.mean(), "full", "fft")
    d = int(total.argmax()) - (len(part) - 1) - start
    rows = np.arange(len(part))
    rows = rows[(rows + start + d >= 0) & (rows + start + d < len(clean))]
    if d == 0 or not len(rows):
        return None
    there = clean[rows + start + d] == part[rows]
    in_file = rows + start
    here = (in_file < len(clean)) & (clean[np.minimum(in_file, len(clean) - 1)] == part[rows])
    if _clearly_better(there, here, len(clean)):
        moved = against_chance(clean[rows + start + d], part[rows], n_classes)
        return d if moved.p < FALSE_ALARM else None
    return None


def reversed_order(clean: Labels, other: Labels) -> bool:
    """Whether labels [n] agree clearly better from the last to the first."""
    return _clearly_better(clean == other[::-1], clean == other, 1)


def _clearly_better(
    there: npt.NDArray[np.bool_], here: npt.NDArray[np.bool_], n_tried: int
) -> bool:
    """Whether of the rows that agree in one of two orders alone hardly any do so here.

    Where a class gets mostly the label of the next one, and images are sorted by class, a shift by
    a whole class agrees better than the true order, but many rows agree in the true one alone.
    """
    only_there, only_here = int((there & ~here).sum()), int((here & ~there).sum())
    log_p = float(binom.logsf(only_there - 1, only_there + only_here, 0.5))
    significant = log_p + np.log(n_tried) < np.log(FALSE_ALARM)
    return bool(significant and only_here < _PART * only_there)
