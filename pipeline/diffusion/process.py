"""Noising label vectors, removing the noise step by step, and reading off a class.

Vectors y are [B, K], one-hot at step "before 0" and without scaling. With a conditional mean f_q
[B, K] the process ends at N(f_q, I) instead of N(0, I) (CARD, arXiv 2206.07275); the published
LRA-Diffusion results use none. A noise predictor is called as `predict_noise(y, t)` with t int64
[1] and returns [B, K]: what depends on the image only is computed once, outside.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from pipeline.diffusion.noise_schedule import Schedule

PredictNoise: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Draw: TypeAlias = Callable[[Tensor], Tensor]
"""Standard normal numbers shaped like a tensor; `torch.zeros_like` switches the noise off."""


def mirrored(drawn: Tensor, n: int, n_steps: int) -> Tensor:
    """Antithetic steps of a batch: the drawn ones followed by their mirrors T - 1 - t.

    Args:
        drawn: int64 [n // 2 + 1], steps in [0, T).
        n: batch size, at least 1.
        n_steps: T.

    Returns:
        int64 [n].
    """
    return torch.cat([drawn, n_steps - 1 - drawn])[:n]


def q_sample(
    schedule: Schedule, y_0: Tensor, t: Tensor, noise: Tensor, f_q: Tensor | None = None
) -> Tensor:
    """Noised labels, sqrt(abar) y_0 + (1 - sqrt(abar)) f_q + sqrt(1 - abar) noise, with abar at t.

    Args:
        schedule: on the device of the rest.
        y_0: float [B, K], one-hot or soft labels.
        t: int64 [B] or [1], steps in [0, T).
        noise: float [B, K], standard normal.
        f_q: float [B, K], conditional mean; None for 0.

    Returns:
        float [B, K].
    """
    abar = schedule.alpha_bar[t][:, None]
    return _mix(abar.sqrt(), y_0, f_q) + (1 - abar).sqrt() * noise


def clean_estimate(
    alpha_bar: Tensor, y_t: Tensor, noise: Tensor, f_q: Tensor | None = None
) -> Tensor:
    """The y_0 [B, K] from which `q_sample` with this noise makes y_t.

    Args:
        alpha_bar: scalar or [B, 1], of the step of y_t.
        y_t: float [B, K].
        noise: float [B, K], usually predicted.
        f_q: float [B, K], conditional mean; None for 0.
    """
    kept = alpha_bar.sqrt()
    without = y_t - (1 - alpha_bar).sqrt() * noise
    return (without if f_q is None else without - (1 - kept) * f_q) / kept


@torch.no_grad()
def ddim_sample(
    predict_noise: PredictNoise,
    schedule: Schedule,
    n_sampling: int,
    start: Tensor,
    f_q: Tensor | None = None,
    eta: float = 0.0,
    draw: Draw = torch.randn_like,
) -> Tensor:
    """Reverse process in few steps (DDIM, arXiv 2010.02502, equation 12).

    With y_0 estimated from the predicted noise e, each step gives
    sqrt(before) y_0 + (1 - sqrt(before)) f_q + sqrt(1 - before - sigma^2) e + sigma noise.
    The official code leaves the last term out where f_q is given, and so does this.

    Args:
        predict_noise: called once per step, from the noisiest on.
        schedule: on the device of `start`.
        n_sampling: number of steps, one that divides the schedule's (`ddim_times`).
        start: float [B, K], the noisiest label: LRA-Diffusion takes f_q, or zeros without one.
        f_q: float [B, K], conditional mean; None for 0.
        eta: 0 is deterministic and draws nothing; 1 has the variance of ancestral sampling.
        draw: source of the noise of the steps.

    Returns:
        float [B, K]. As published it is the label at the noise level of step 0, not y_0 itself.

    Raises:
        LabError: for a number of steps that does not divide the schedule's.
    """
    steps = schedule.sampling_steps(n_sampling, eta)
    # Of all steps at once: a small denoiser costs little more than what is around it.
    directions = (1 - steps.alpha_bar_before - steps.sigma**2).clamp(min=0).sqrt().unbind()
    kept = steps.alpha_bar_before.sqrt().unbind()
    times, alpha_bars = steps.times.split(1), steps.alpha_bar.unbind()
    y = start
    for j in reversed(range(n_sampling)):
        noise = predict_noise(y, times[j])
        y_0 = clean_estimate(alpha_bars[j], y, noise, f_q)
        y = _mix(kept[j], y_0, f_q) + directions[j] * noise
        if eta and f_q is None:
            y = y + steps.sigma[j] * draw(y)
    return y


def class_probabilities(y: Tensor) -> Tensor:
    """Probabilities softmax(-(y - 1)^2) [B, K] of sampled labels y.

    They peak at the entry nearest to one, which need not be the largest; float64, so that entries
    almost equally near keep their order.
    """
    return (-(y.double() - 1).square()).softmax(dim=1)


def _mix(kept: Tensor, y_0: Tensor, f_q: Tensor | None) -> Tensor:
    return kept * y_0 if f_q is None else kept * y_0 + (1 - kept) * f_q
