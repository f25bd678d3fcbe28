"""What the losses share: precision, entries at labels, reduction, refusal of what does not fit."""

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.errors import LabError, suggest

Reduction: TypeAlias = Literal["mean", "none"]


def exact(tensor: Tensor) -> torch.autocast:
    """A context for matrix products of float32: autocast would round their factors."""
    return torch.autocast(tensor.device.type, enabled=False)


def at_least_single(tensor: Tensor) -> Tensor:
    """The tensor in float32 or better."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def widened(logits: Tensor, y: Tensor) -> Tensor:
    """Raise the logits to float32 at least, after a look at the shapes.

    Sums of losses do so before they branch, so that gradients are not added in half precision.
    """
    shapes = {"logits": list(logits.shape), "y": list(y.shape)}
    require(logits.ndim == 2 and logits.shape[1] >= 2, "logits [B, K] with K >= 2", **shapes)
    # A shorter y would pass through `gather` unnoticed.
    expected = logits.shape if y.is_floating_point() else logits.shape[:1]
    require(y.shape == expected, f"y {list(expected)}", **shapes)
    return at_least_single(logits)


def probabilities(logits: Tensor, y: Tensor) -> Tensor:
    """Softmax of the logits in float32 at least, [B, K]."""
    return widened(logits, y).softmax(1)


def at_label(values: Tensor, y: Tensor) -> Tensor:
    """Entry of each row [B, K] at its label, [B]."""
    return values.gather(1, y[:, None]).squeeze(1)


def one_hot(y: Tensor, like: Tensor) -> Tensor:
    """One-hot labels [B, K] in the type of `like`."""
    return functional.one_hot(y, like.shape[1]).to(like.dtype)


def reduce(losses: Tensor, reduction: Reduction) -> Tensor:
    """The batch mean of losses [B], or the losses as they are."""
    if reduction == "mean":
        return losses.mean()
    if reduction == "none":
        return losses
    raise LabError(f"reduction = {reduction}", *suggest(reduction, ("mean", "none"), "mean"))


def weighted_sum(
    logits: Tensor,
    y: Tensor,
    alpha: float,
    first: Callable[..., Tensor],
    beta: float,
    second: Callable[..., Tensor],
    reduction: Reduction,
) -> Tensor:
    """Sum alpha first + beta second of two losses, both weights >= 0."""
    require_weights(alpha=alpha, beta=beta)
    wide = widened(logits, y)
    one, other = (loss(wide, y, reduction=reduction) for loss in (first, second))
    return alpha * one + beta * other


def require_weights(**weights: float) -> None:
    """Refuse weights that are negative or not finite."""
    names = " and ".join(f"{name} >= 0" for name in weights)
    require(all(0 <= weight < math.inf for weight in weights.values()), names, **weights)


def require_clamp(clamp: float) -> None:
    """Refuse a lower end of probabilities outside [0, 1)."""
    require(0 <= clamp < 1, "0 <= clamp < 1", clamp=clamp)


def require_columns(name: str, columns: Tensor, y: Tensor) -> None:
    """Refuse columns [B, N] that do not have a row per label and at least one entry."""
    fits = columns.ndim == 2 and columns.shape[1] >= 1 and y.shape == columns.shape[:1]
    shapes = {name: list(columns.shape), "y": list(y.shape)}
    require(fits, f"{name} [B, N] with N >= 1, y [B]", **shapes)


def require(holds: bool, allowed: str, /, **given: object) -> None:
    """Refuse what was given. Conditions are written so that NaN does not fulfil them."""
    if not holds:
        named = ", ".join(f"{name} = {value}" for name, value in given.items())
        raise LabError(named, allowed, "a value that fulfils this")
