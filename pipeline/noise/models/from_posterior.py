"""Noise that follows a trained network: its softmax outputs say which samples are confusable."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from pipeline.errors import LabError
from pipeline.noise.arrays import Floats, Labels

_KEEP = {
    "I": lambda d: (1.0 + d**2) / 2.0,
    "II": lambda d: d**3,
    "III": lambda d: (d**3 + d**2 + d) / 3.0,
}
"""Keep probability as a function of the margin, at factor 1 (Zhang et al. 2021, types I to III)."""
_WIDEST = 14.0
"""Factors between exp(-14) and exp(14) are searched."""


def dependent(clean: Labels, average: Floats, rate: float) -> Labels:
    """Flip exactly floor(rate N) samples to their most likely wrong class (Chen et al. 2021).

    Deterministic, and nested: the flips at a lower rate are among those at a higher one.

    Args:
        clean: int64 [N].
        average: float [N, K], softmax outputs averaged over a training on clean labels.
        rate: exact share of flips; 0 flips nothing.

    Returns:
        int64 [N].
    """
    own = np.arange(len(clean))
    wrong = np.array(average)
    wrong[own, clean] = -np.inf
    candidate = wrong.argmax(axis=1)
    n_flips = int(rate * len(clean))
    # Counted from the front: [-0:] would take every sample at rate 0.
    flipped = np.argsort(wrong[own, candidate], kind="stable")[len(clean) - n_flips :]
    noisy = clean.copy()
    noisy[flipped] = candidate[flipped]
    return noisy


@dataclass(frozen=True)
class Margins:
    """What polynomial-margin-diminishing noise needs of a posterior.

    Args:
        first: int64 [n], most likely class.
        second: int64 [n], second most likely class.
        keep: float [n], probability of the first class at factor 1.
    """

    first: Labels
    second: Labels
    keep: Floats


def margins(posterior: Floats, noise_type: str) -> Margins:
    """The two most likely classes of every sample and its keep probability at factor 1.

    Args:
        posterior: float [n, K], rows sum to one.
        noise_type: I, II or III.

    Returns:
        The margins, in the precision of the posterior.
    """
    own = np.arange(len(posterior))
    first = posterior.argmax(axis=1)
    others = np.array(posterior)
    others[own, first] = -np.inf
    second = others.argmax(axis=1)
    margin = posterior[own, first] - posterior[own, second]
    return Margins(first, second, _KEEP[noise_type](margin))


def keep_rates(m: Margins, factor: float) -> Floats:
    """Probability of the first class: keep / factor, at most 1.

    Args:
        m: margins of the posterior.
        factor: above 0; the published ones lie between 1.02 and 3.4.

    Returns:
        float [n], in the precision of the posterior.
    """
    return np.asarray(np.minimum(m.keep / factor, 1.0))


def expected_rate(clean: Labels, m: Margins, factor: float) -> float:
    """Expected share of wrong labels at a factor.

    Args:
        clean: int64 [n].
        m: margins of the posterior.
        factor: above 0.

    Returns:
        The mean over samples of P(label != clean).
    """
    keep = keep_rates(m, factor)
    right = np.where(m.first == clean, keep, 0.0) + np.where(m.second == clean, 1.0 - keep, 0.0)
    return float(1.0 - right.mean(dtype=np.float64))


def calibrate(clean: Labels, m: Margins, rate: float) -> float:
    """The factor at which the expected share of wrong labels is `rate`.

    Args:
        clean: int64 [n].
        m: margins of the posterior.
        rate: wanted share of wrong labels.

    Returns:
        The factor, to a relative precision of 1e-12.

    Raises:
        LabError: if no factor gives that rate.
    """

    def excess(log_factor: float) -> float:
        return expected_rate(clean, m, float(np.exp(log_factor))) - rate

    lowest, highest = excess(-_WIDEST) + rate, excess(_WIDEST) + rate
    if not lowest <= rate <= highest:
        raise LabError(
            f"rate {rate} from this posterior",
            f"a rate between {lowest:.4f} and {highest:.4f}",
            "change `rate`, or give `factor` to leave the rate to the posterior",
        )
    return float(np.exp(brentq(excess, -_WIDEST, _WIDEST, xtol=1e-12)))


def pmd(m: Margins, factor: float, source: np.random.Generator | np.random.RandomState) -> Labels:
    """Keep the first class with probability keep / factor, else take the second.

    The published codes divide the keep probability by the factor (a text beside them says that the
    flip probability is multiplied). One binomial draw per sample, in order.

    Args:
        m: margins of the posterior.
        factor: above 0.
        source: of the draws; a RandomState of seed 123 is PLC's.

    Returns:
        int64 [n].
    """
    kept = source.binomial(1, keep_rates(m, factor))
    return np.where(kept == 1, m.first, m.second).astype(np.int64)
