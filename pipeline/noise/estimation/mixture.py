"""Two components in one number per sample: which labels the losses of a network speak against."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import beta
from sklearn.mixture import GaussianMixture

from pipeline.errors import LabError
from pipeline.noise.arrays import Floats, Labels

Family = Literal["gaussian", "beta"]
"""Of the two components: normal, or beta for values in [0, 1]."""

_EDGE = 1e-4  # beta densities are 0 or infinite at 0 and 1
_TINY = 1e-300


class Mixture(NamedTuple):
    """Two fitted components, the one with the smaller mean first.

    Args:
        low: float64 [N], posterior probability of the component with the smaller mean.
        means: float64 [2].
        variances: float64 [2].
        weights: float64 [2], shares of the samples, sum 1.
        n_iterations: steps of expectation and maximisation.
    """

    low: Floats
    means: Floats
    variances: Floats
    weights: Floats
    n_iterations: int


def rescaled(values: Floats) -> Floats:
    """Values moved to [0, 1]: (v - min) / (max - min), in their precision.

    Args:
        values: floating [N].

    Raises:
        LabError: where they are not finite, or all equal.
    """
    _check(values)
    span = values.max() - values.min()
    return np.asarray((values - values.min()) / span)


def fit_mixture(
    values: Floats,
    seed: int,
    family: Family = "gaussian",
    max_iterations: int = 10,
    tolerance: float = 1e-2,
    added_variance: float = 5e-4,
    start: Labels | None = None,
) -> Mixture:
    """Fit two components by expectation and maximisation.

    Gaussian: scikit-learn, begun at a k-means division. The defaults are those of DivideMix (Li,
    Socher, Hoi 2020), whose tolerance is loose: the start matters, so it is drawn from `seed`.
    Beta: Arazo et al. (ICML 2019), whose maximisation fits the moments of each component; it begins
    where theirs does, at Beta(1, 2) and Beta(2, 1), and draws nothing.

    Args:
        values: floating [N], one per sample, such as losses; for beta in [0, 1] (`rescaled`), moved
            to [1e-4, 1 - 1e-4].
        seed: of the k-means start.
        family: of the components.
        max_iterations: at most so many steps.
        tolerance: ends the steps when the mean log-likelihood changes by less.
        added_variance: added to the variance of a Gaussian component.
        start: int64 [N] of 0 and 1, a division to begin at instead.

    Returns:
        The fit, a pure function of the arguments on one machine; other processors round otherwise,
        so processes take it from one (`Context.from_main`).

    Raises:
        LabError: where values are not finite, or all equal.
    """
    _check(values)
    if family == "beta":
        return _beta_mixture(np.asarray(values, np.float64), max_iterations, tolerance, start)
    own = {} if start is None else _gaussian_start(values, start, added_variance)
    fitted = GaussianMixture(
        2, max_iter=max_iterations, tol=tolerance, reg_covar=added_variance,
        random_state=seed % 2**32, **own,
    )  # fmt: skip
    column = values[:, None]
    posterior = fitted.fit(column).predict_proba(column)
    order = fitted.means_[:, 0].argsort(kind="stable")
    return Mixture(
        low=np.asarray(posterior[:, order[0]], np.float64),
        means=np.asarray(fitted.means_[order, 0], np.float64),
        variances=np.asarray(fitted.covariances_[order, 0, 0], np.float64),
        weights=np.asarray(fitted.weights_[order], np.float64),
        n_iterations=int(fitted.n_iter_),
    )


def _check(values: Floats) -> None:
    n_strange = int((~np.isfinite(values)).sum())
    if values.ndim != 1 or n_strange:
        raise LabError(
            f"{n_strange} of {values.size} values {list(values.shape)} are NaN or infinite",
            "one finite number per sample",
            "a smaller learning rate, or a longer warm-up",
        )
    if not len(values) or values.max() == values.min():
        raise LabError(
            f"{len(values)} values that are all equal: nothing tells two components apart",
            "at least two different values",
            "a longer warm-up",
        )


def _gaussian_start(values: Floats, start: Labels, added_variance: float) -> dict[str, Floats]:
    """What scikit-learn's maximisation makes of a division, as the point to begin at."""
    parts = [values[start == number].astype(np.float64) for number in (0, 1)]
    counts = np.array([len(part) for part in parts]) + 10 * np.finfo(values.dtype).eps
    means = np.array([part.sum() for part in parts]) / counts
    squares = [((part - mean) ** 2).sum() for part, mean in zip(parts, means, strict=True)]
    variances = np.array(squares) / counts + added_variance
    return {
        "weights_init": counts / counts.sum(),
        "means_init": means[:, None],
        "precisions_init": (1 / variances)[:, None, None],
    }


def _beta_mixture(
    values: Floats, max_iterations: int, tolerance: float, start: Labels | None
) -> Mixture:
    x = values.clip(_EDGE, 1 - _EDGE)
    shapes, weights = np.array([[1.0, 2.0], [2.0, 1.0]]), np.full(2, 0.5)
    if start is not None:
        shapes, weights = _moments(x, np.eye(2)[start])
    likelihood, n = -np.inf, 0
    while n < max_iterations:
        n += 1
        posterior, reached = _expectation(x, shapes, weights)
        shapes, weights = _moments(x, posterior)
        if abs(reached - likelihood) < tolerance:
            break
        likelihood = reached
    posterior, _ = _expectation(x, shapes, weights)
    a, b = shapes.T
    means = a / (a + b)
    variances = means * (1 - means) / (a + b + 1)
    order = means.argsort(kind="stable")
    return Mixture(posterior[:, order[0]], means[order], variances[order], weights[order], n)


def _expectation(x: Floats, shapes: Floats, weights: Floats) -> tuple[Floats, float]:
    """Posterior [N, 2] and mean log-likelihood."""
    joint = weights * beta.pdf(x[:, None], *shapes.T) + _TINY
    total = joint.sum(axis=1, keepdims=True)
    return joint / total, float(np.log(total).mean())


def _moments(x: Floats, posterior: Floats) -> tuple[Floats, Floats]:
    """Shapes [2, 2] with the weighted mean and variance of each component, and their weights."""
    counts = posterior.sum(axis=0) + _TINY
    means = (posterior * x[:, None]).sum(axis=0) / counts
    variances = (posterior * (x[:, None] - means) ** 2).sum(axis=0) / counts
    # Below the largest variance that a mean allows, and above that of a point.
    variances = variances.clip(1e-8, 0.999 * means * (1 - means))
    size = means * (1 - means) / variances - 1
    shapes = np.stack([means * size, (1 - means) * size], axis=1)
    return shapes, counts / counts.sum()
