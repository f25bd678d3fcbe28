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

from pipeline.diffusion.schedules import Schedule
from pipeline.errors import LabError

PredictNoise: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Draw: TypeAlias = Callable[[Tensor], Tensor]
"""Standard normal numbers shaped like a tensor; `torch.zeros_like` switches the noise off."""


def normal_like(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal numbers of the shape, type and device of `like`.

    Args:
        like: any tensor.
        generator: stream on the same device; None for torch's global stream.
    """
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def draw_times(
    n: int,
    n_steps: int,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Antithetic steps of a batch: each drawn step t comes with its mirror T - 1 - t.

    Args:
        n: batch size, at least 1; floor(n / 2) + 1 numbers are drawn.
        n_steps: T.
        generator: stream on `device`; None for torch's global stream.
        device: where they are drawn.

    Returns:
        int64 [n] in [0, T).
    """
    drawn = torch.randint(n_steps, (n // 2 + 1,), generator=generator, device=device)
    return mirrored(drawn, n, n_steps)


def mirrored(drawn: Tensor, n: int, n_steps: int) -> Tensor:
    """The drawn steps followed by their mirrors T - 1 - t, the first n of them."""
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
    draw: Draw = normal_like,
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
    y = start
    for j in reversed(range(n_sampling)):
        noise = predict_noise(y, steps.times[j : j + 1])
        y_0 = clean_estimate(steps.alpha_bar[j], y, noise, f_q)
        before, sigma = steps.alpha_bar_before[j], steps.sigma[j]
        y = _mix(before.sqrt(), y_0, f_q) + (1 - before - sigma**2).clamp(min=0).sqrt() * noise
        if eta and f_q is None:
            y = y + sigma * draw(y)
    return y


@torch.no_grad()
def ddpm_sample(
    predict_noise: PredictNoise,
    schedule: Schedule,
    start: Tensor,
    f_q: Tensor | None = None,
    draw: Draw = normal_like,
) -> Tensor:
    """Reverse process through every step (ancestral sampling, arXiv 2006.11239 and 2206.07275).

    The official code takes sqrt(abar) for sqrt(1 - sqrt(1 - abar)^2) in float32, which is 0 where
    abar is tiny: with the cosine schedule everything becomes NaN from about 200 steps on, and is
    1.4 % off at 30. Here abar itself is used, so results differ from that code by as much.

    Args:
        predict_noise: called once per step, from the noisiest on.
        schedule: on the device of `start`.
        start: float [B, K], drawn from N(f_q, I).
        f_q: float [B, K], conditional mean; None for 0.
        draw: source of the noise of the steps; step 0 adds none.

    Returns:
        float [B, K], the estimate of y_0 at step 0.

    Raises:
        LabError: if nothing of the label is left at the last step (the schedule jsd).
    """
    if schedule.alpha_bar[-1] == 0:
        raise LabError(
            "ancestral sampling along a schedule whose last alpha_bar is 0",
            "one that leaves something of the label, such as cosine",
        )
    y = start
    for t in reversed(range(schedule.n_steps)):
        noise = predict_noise(y, torch.full((1,), t, device=start.device))
        y_0 = clean_estimate(schedule.alpha_bar[t], y, noise, f_q)
        if t == 0:
            return y_0
        mean, variance = posterior(schedule, t, y_0, y, f_q)
        y = mean + variance.sqrt() * draw(y)
    return y


def posterior(
    schedule: Schedule, t: int, y_0: Tensor, y_t: Tensor, f_q: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean [B, K] and variance (scalar) of y_{t-1} given y_t and y_0.

    With abar' at t - 1 and gamma = 1 / (1 - abar):
    mean = gamma (beta sqrt(abar') y_0 + (1 - abar') sqrt(alpha) y_t) + gamma_2 f_q,
    gamma_2 = 1 + gamma (sqrt(abar) - 1)(sqrt(alpha) + sqrt(abar')),
    variance = gamma (1 - abar') beta (arXiv 2006.11239, equation 7; 2206.07275, equation 5).

    Args:
        schedule: on the device of the rest.
        t: step in [1, T).
        y_0: float [B, K].
        y_t: float [B, K].
        f_q: float [B, K], conditional mean; None for 0.
    """
    abar, before, beta = schedule.alpha_bar[t], schedule.alpha_bar[t - 1], schedule.beta[t]
    kept = (1 - beta).sqrt()
    mean = (beta * before.sqrt() * y_0 + (1 - before) * kept * y_t) / (1 - abar)
    if f_q is not None:
        mean = mean + (1 + (abar.sqrt() - 1) * (kept + before.sqrt()) / (1 - abar)) * f_q
    return mean, (1 - before) / (1 - abar) * beta


def decide(y: Tensor) -> Tensor:
    """Class int64 [B] whose entry of y [B, K] is nearest to one; not the largest entry."""
    return (y - 1).abs().argmin(dim=1)


def class_probabilities(y: Tensor) -> Tensor:
    """Probabilities softmax(-(y - 1)^2) [B, K] of sampled labels y; they peak where `decide` says.

    float64, so that entries almost equally near to one keep their order.
    """
    return (-(y.double() - 1).square()).softmax(dim=1)


def _mix(kept: Tensor, y_0: Tensor, f_q: Tensor | None) -> Tensor:
    return kept * y_0 if f_q is None else kept * y_0 + (1 - kept) * f_q
