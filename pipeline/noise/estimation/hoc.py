"""Estimation of T from features and given labels alone: high-order consensus (HOC).

Zhu, Song, Liu: Clusterability as an Alternative to Anchor Points When Learning with Noisy Labels
(arXiv 2102.05291). A sample and its two nearest neighbours most likely share their clean class, so
their three noisy labels are three draws from one row of T. The frequencies of single labels, pairs
and triples are matched by those of a model with T and the clean prior. Constants are those of the
official RRR code (snapshot 6f953a4), which returns the last iterate where it means to return the
best one: `returns` gives either.
"""

import math
from dataclasses import dataclass
from itertools import permutations
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pipeline.errors import LabError, quoted, suggest
from pipeline.identity import seed_stream
from pipeline.noise.arrays import Floats, Labels
from pipeline.noise.estimation.consensus import Moments, consensus

Returns: TypeAlias = Literal["best", "last"]

_MOST_STEPS = 10**6
_FROM_STEP = 6
"""The best iterate is looked for from this step on."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """An estimated transition matrix.

    Args:
        T: float64 [K, K], T[i, j] = P(noisy = j | clean = i); rows sum to one.
        prior: float64 [K], P(clean = i); sums to one.
        objective: distance between observed and modelled frequencies at this T and prior.
    """

    T: Floats
    prior: Floats
    objective: float


def estimate(
    features: Floats | Tensor,
    y_noisy: Labels,
    n_classes: int,
    *,
    rounds: int = 50,
    sample: int = 15_000,
    steps: int = 1500,
    lr: float = 0.1,
    seed: int = 0,
    returns: Returns = "best",
    progress: bool = True,
) -> Estimate:
    """Estimate T and the clean prior from features and given labels (arXiv 2102.05291).

    Neighbours are sought anew within each of `rounds` random parts of the samples. Where all
    samples fit into one part, one round says it all. The random streams are those of `seed` alone.

    Args:
        features: floating [N, D], finite; a tensor is worked on where it lies.
        y_noisy: int64 [N], given labels in [0, K).
        n_classes: K.
        rounds: number of parts to average over.
        sample: samples per part, at least 3; all N where there are fewer.
        steps: evaluations of the objective, the first at the starting point.
        lr: learning rate of Adam on the logits of T and prior.
        seed: of the parts and of the start of the prior.
        returns: the iterate with the smallest objective, or the last one.
        progress: show a bar on a terminal.

    Returns:
        The estimate. It is only as good as the features: neighbours must share their class.

    Raises:
        LabError: for sizes, labels or features that do not fit.
    """
    n = len(y_noisy)
    _check_range("rounds", rounds, 1, 10_000)
    _check_range("sample", sample, 3, 10**9)
    _check_range("seed", seed, 0, 2**63 - 1)
    _check_range("steps", steps, 1, _MOST_STEPS)
    draws, start = (
        np.random.Generator(np.random.PCG64(seed_stream(seed, "hoc", name)))
        for name in ("rounds", "prior")
    )
    parts = [np.arange(n)]
    if sample < n:
        parts = [np.sort(draws.choice(n, sample, replace=False)) for _ in range(rounds)]
    observed = consensus(features, y_noisy, n_classes, parts, progress=progress)
    prior_logits = 1 / n_classes + 0.1 * start.random(n_classes)
    return solve(observed, prior_logits, steps=steps, lr=lr, returns=returns, progress=progress)


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise LabError(f"{name} = {quoted(value)}", f"{low} to {high}", f"--{name} {low}")


def modelled(transition: Tensor, prior: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Frequencies of one, two and three labels that are drawn from the row of one clean class.

    Args:
        transition: [K, K].
        prior: [K].

    Returns:
        sum_i P_i T_ia [K], sum_i P_i T_ia T_ib [K, K], sum_i P_i T_ia T_ib T_ic [K, K, K].
    """
    n_classes = len(prior)
    weighted = prior[:, None] * transition
    three = _pairs(transition).T @ weighted
    return weighted.sum(0), weighted.T @ transition, three.reshape((n_classes,) * 3)


def solve(
    observed: Moments,
    prior_logits: Floats,
    *,
    steps: int = 1500,
    lr: float = 0.1,
    returns: Returns = "best",
    progress: bool = False,
) -> Estimate:
    """Fit T and prior to observed frequencies by Adam, in float64 on the CPU.

    The objective is the sum of the Frobenius norms of the three differences. T starts as the row
    softmax of 4 on the diagonal and -1 elsewhere.

    Args:
        observed: frequencies.
        prior_logits: float [K], start of the logits of the prior.
        steps: evaluations; there is one update less.
        lr: learning rate of Adam.
        returns: the iterate with the smallest objective from step 6 on, or the last one.
        progress: show a bar on a terminal.

    Returns:
        The estimate.

    Raises:
        LabError: for less than one step, or an unknown `returns`.
    """
    if returns not in ("best", "last"):
        raise LabError(
            f"returns = {quoted(returns)}", *suggest(returns, ("best", "last"), "leave it out")
        )
    _check_range("steps", steps, 1, _MOST_STEPS)
    n_classes = len(observed.one)
    objective = _Objective(observed)
    logits = [
        torch.eye(n_classes, dtype=torch.float64) * 5 - 1,
        torch.tensor(prior_logits, dtype=torch.float64),
    ]
    optimizer = torch.optim.Adam(logits, lr=lr)
    lowest, best = np.inf, logits
    for step in tqdm(range(steps), desc="fit of T", disable=None if progress else True):
        if step:
            optimizer.step()
        rows = [part.softmax(-1) for part in logits]
        now, slopes = objective(*rows)
        for part, row, slope in zip(logits, rows, slopes, strict=True):
            part.grad = row * (slope - (row * slope).sum(-1, keepdim=True))
        if returns == "last" or step < _FROM_STEP or now < lowest:
            lowest, best = now, rows
    return Estimate(best[0].numpy(), best[1].numpy(), lowest)


class _Objective:
    """Sum of the Frobenius norms of observed minus modelled frequencies, and its slopes.

    Modelled pairs and triples are symmetric, so only the symmetric part of the observed ones can be
    approached; the rest adds a constant to the squared norm.
    """

    def __init__(self, observed: Moments) -> None:
        parts = [torch.from_numpy(np.asarray(part, np.float64)) for part in observed]
        self.targets = [
            torch.stack([part.permute(order) for order in permutations(range(part.ndim))]).mean(0)
            for part in parts
        ]
        self.constants = [
            float((part - target).square().sum())
            for part, target in zip(parts, self.targets, strict=True)
        ]

    def __call__(self, transition: Tensor, prior: Tensor) -> tuple[float, tuple[Tensor, Tensor]]:
        """Value, and derivatives with respect to T [K, K] and prior [K]."""
        value, directions = 0.0, []
        model = modelled(transition, prior)
        for part, target, constant in zip(model, self.targets, self.constants, strict=True):
            difference = part - target
            norm = math.sqrt(float(difference.square().sum()) + constant)
            value += norm
            directions.append(difference / norm if norm else difference)
        # Each label of a pair or triple alone: what a change of its probability in row i brings.
        one = directions[0].expand_as(transition)
        two = transition @ directions[1]
        three = _pairs(transition) @ directions[2].flatten(1).T
        to_prior = ((one + two + three) * transition).sum(1)
        return value, (prior[:, None] * (one + 2 * two + 3 * three), to_prior)


def _pairs(transition: Tensor) -> Tensor:
    """T_ia T_ib: [K, K^2]."""
    return (transition[:, :, None] * transition[:, None, :]).flatten(1)
