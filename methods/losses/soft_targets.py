"""Targets that are not the given label alone: perturbed by noise, or corrected by a prediction.

Definitions are those of "Noise against noise: stochastic label noise helps combat inherent label
noise" (SLN, ICLR 2021) and its official code (snapshot 6a10a31). The loss on such targets is `ce`,
which takes them as they are.
"""

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from methods.losses.common import one_hot, require, widened
from methods.losses.robust import ce
from pipeline.errors import LabError, suggest

PseudoLabels: TypeAlias = Literal["hard", "soft"]


def perturbed_targets(y: Tensor, noise: Tensor, *, sigma: float) -> Tensor:
    """One-hot labels under Gaussian noise, onehot(y) + sigma noise.

    They are neither clipped nor normalised: a row sums to 1 in expectation only, and `ce` on them
    may be negative. Its expectation over the noise is `ce` on y.

    Args:
        y: int64 [B], in [0, K).
        noise: floating [B, K], standard normal draws.
        sigma: standard deviation, >= 0.

    Returns:
        Targets [B, K], in the type of the noise.
    """
    require(0 <= sigma < math.inf, "sigma >= 0", sigma=sigma)
    fits = noise.ndim == 2 and y.shape == noise.shape[:1]
    require(fits, "noise [B, K], y [B]", noise=list(noise.shape), y=list(y.shape))
    return one_hot(y, noise) + sigma * noise


def relative_losses(values: Tensor) -> Tensor:
    """Losses [N] on the scale from 0, the smallest of them, to 1, the largest; 0 if all are equal.

    Where all are equal the official code divides zero by zero.
    """
    smallest, largest = values.aminmax()
    width = largest - smallest
    return (values - smallest) / torch.where(width > 0, width, torch.ones_like(width))


def corrected_targets(
    logits: Tensor,
    y: Tensor,
    *,
    current: Tensor | None = None,
    pseudo_labels: PseudoLabels = "hard",
) -> Tensor:
    """Label correction of SLN, w onehot(y) + (1 - w) prediction, w the relative loss of a sample.

    The larger the loss of a sample among all N, the more of its given label stays; the sample of
    the smallest loss gets the prediction. No gradient flows.

    Args:
        logits: [N, K], of all samples at once: weights are relative to the others.
        y: int64 [N], given labels.
        current: floating [N, K], targets against which the loss is taken; None for y.
        pseudo_labels: prediction as the one-hot largest class (hard) or the softmax (soft).

    Returns:
        Targets [N, K], rows not negative and summing to 1, in the type of the logits or float32.
    """
    wide = widened(logits.detach(), y)
    require(len(wide) > 0, "N >= 1", logits=list(wide.shape))
    match pseudo_labels:
        case "hard":
            prediction = one_hot(wide.argmax(1), wide)
        case "soft":
            prediction = wide.softmax(1)
        case _:
            raise LabError(
                f"pseudo_labels = {pseudo_labels}",
                *suggest(pseudo_labels, ("hard", "soft"), "hard"),
            )
    target = y if current is None else current.to(wide)
    weight = relative_losses(ce(wide, target, reduction="none"))[:, None]
    return weight * one_hot(y, wide) + (1 - weight) * prediction
