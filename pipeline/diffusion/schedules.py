"""How much noise each diffusion step adds, and which steps a shortened sampler visits.

A schedule has T steps, counted from 0; step t holds beta_t, alpha_t = 1 - beta_t and
alpha_bar_t = prod_{s <= t} alpha_s. All of them are float32, the product included, as in the
official code: alpha_bar deviates from its closed form where it is tiny.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.errors import LabError, suggest

ScheduleName: TypeAlias = Literal[
    "cosine", "linear", "const", "quad", "jsd", "sigmoid", "cosine_anneal"
]
Spacing: TypeAlias = Literal["uniform", "quad"]

COSINE_OFFSET = 0.008
"""Keeps the first cosine steps from adding next to nothing (Nichol and Dhariwal, 2102.09672)."""

MAX_BETA = 0.999
"""The last cosine step would otherwise destroy everything at once."""


def betas(name: ScheduleName, n_steps: int, start: float = 1e-4, end: float = 0.02) -> Tensor:
    """Variance that each step adds.

    Args:
        name: with u = t / (T - 1): `linear`, start + u (end - start); `quad`, its square root is
            linear; `const`, end; `sigmoid`, start + (end - start) / (1 + exp(6 - 12 u));
            `cosine_anneal`, start + (end - start) (1 - cos(pi u)) / 2; `jsd`, 1 / (T - t);
            `cosine`, min(1 - g((t + 1) / T) / g(t / T), 0.999) with
            g(u) = cos^2(pi / 2 (u + 0.008) / 1.008) (arXiv 2102.09672, equation 17).
        n_steps: T, at least 1.
        start: beta of the first step, in (0, 1); unused by cosine, jsd and const.
        end: beta of the last step, in (0, 1); unused by cosine and jsd.

    Returns:
        float32 [T].

    Raises:
        LabError: for an unknown name or a number outside its range.
    """
    if n_steps < 1 or not (0 < start < 1 and 0 < end < 1):
        raise LabError(
            f"{n_steps} diffusion steps with betas from {start} to {end}",
            "at least one step, betas between 0 and 1",
        )
    if name not in get_args(ScheduleName):
        raise LabError(f"unknown noise schedule {name!r}", *suggest(name, get_args(ScheduleName)))
    match name:
        case "cosine":
            values = torch.tensor([_cosine_beta(t, n_steps) for t in range(n_steps)])
        case "linear":
            values = torch.linspace(start, end, n_steps)
        case "quad":
            values = torch.linspace(start**0.5, end**0.5, n_steps) ** 2
        case "const":
            values = torch.full((n_steps,), end)
        case "sigmoid":
            values = torch.linspace(-6, 6, n_steps).sigmoid() * (end - start) + start
        case "jsd":
            values = 1.0 / torch.linspace(n_steps, 1, n_steps)
        case "cosine_anneal":
            angles = (math.pi * t / max(n_steps - 1, 1) for t in range(n_steps))
            values = torch.tensor([start + (end - start) * (1 - math.cos(a)) / 2 for a in angles])
    return values


def _cosine_beta(t: int, n_steps: int) -> float:
    def kept(u: float) -> float:
        return math.cos((u + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2) ** 2

    return min(1 - kept((t + 1) / n_steps) / kept(t / n_steps), MAX_BETA)


def ddim_times(
    n_sampling: int, n_steps: int, spacing: Spacing = "uniform", *, strict: bool = True
) -> Tensor:
    """The steps that a shortened sampler visits, in ascending order.

    Args:
        n_sampling: S, how many of them.
        n_steps: T.
        spacing: `uniform`, 1 + {0, c, 2c, ...} below T + 1 with the stride c = floor(T / S);
            `quad`, 1 + floor of the squares of S numbers evenly spaced from 0 to sqrt(0.8 T).
        strict: for uniform spacing, take only an S that divides T with a stride of two or more.
            Other counts give more than S steps in the official code, or one that does not exist.

    Returns:
        int64 [S] in [1, T), not always of length S unless `strict`.

    Raises:
        LabError: for a count that is refused, naming those that are allowed.
    """
    allowed = [s for s in range(1, n_steps // 2 + 1) if n_steps % s == 0]
    if strict and spacing == "uniform" and n_sampling not in allowed:
        counts = ", ".join(map(str, allowed))
        raise LabError(f"{n_sampling} sampling steps of {n_steps}", f"one of {counts or 'none'}")
    if not 1 <= n_sampling <= n_steps:
        raise LabError(f"{n_sampling} sampling steps of {n_steps}", f"1 to {n_steps}")
    match spacing:
        case "uniform":
            times = np.arange(0, n_steps, n_steps // n_sampling) + 1
        case "quad":
            times = (np.linspace(0, math.sqrt(0.8 * n_steps), n_sampling) ** 2).astype(int) + 1
    if times[-1] >= n_steps:
        raise LabError(
            f"{n_sampling} sampling steps reach step {times[-1]}", f"steps below {n_steps}"
        )
    return torch.from_numpy(times.astype(np.int64))


@dataclass(frozen=True)
class SamplingSteps:
    """The steps of a shortened sampler (DDIM, arXiv 2010.02502), each [S], ascending.

    Args:
        times: int64, diffusion steps tau_j.
        alpha_bar: float32, at tau_j.
        alpha_bar_before: float32, at tau_{j-1}; alpha_bar of step 0, not 1, for the first.
        sigma: float32, eta sqrt((1 - before) / (1 - at) (1 - at / before)).
    """

    times: Tensor
    alpha_bar: Tensor
    alpha_bar_before: Tensor
    sigma: Tensor


class Schedule(nn.Module):
    """A noise schedule as buffers: it moves with the module that holds it, and is in no checkpoint.

    Args:
        beta: float32 [T], variance added by each step, in (0, 1].
    """

    beta: Tensor
    """[T]"""
    alpha_bar: Tensor
    """[T], share of the signal's variance that is left."""

    def __init__(self, beta: Tensor) -> None:
        super().__init__()
        self.register_buffer("beta", beta, persistent=False)
        self.register_buffer("alpha_bar", (1 - beta).cumprod(dim=0), persistent=False)

    @property
    def n_steps(self) -> int:
        """T."""
        return len(self.beta)

    @property
    def alpha_bar_before(self) -> Tensor:
        """alpha_bar of the step before, [T]; 1 before the first."""
        return torch.cat([torch.ones_like(self.alpha_bar[:1]), self.alpha_bar[:-1]])

    def sampling_steps(self, n_sampling: int, eta: float = 0.0) -> SamplingSteps:
        """The steps of a DDIM sampler of uniform stride.

        Args:
            n_sampling: S; see `ddim_times`.
            eta: >= 0, share of the noise of ancestral sampling; 0 is deterministic.

        Returns:
            Tables on the device of the schedule.

        Raises:
            LabError: for a count of steps that is refused.
        """
        times = ddim_times(n_sampling, self.n_steps).to(self.beta.device)
        at = self.alpha_bar[times]
        before = torch.cat([self.alpha_bar[:1], at[:-1]])
        sigma = eta * ((1 - before) / (1 - at) * (1 - at / before)).sqrt()
        return SamplingSteps(times, at, before, sigma)


def make_schedule(name: ScheduleName = "cosine", n_steps: int = 1000) -> Schedule:
    """The schedule `betas(name, n_steps)`; LRA-Diffusion uses cosine, until May 2023 linear."""
    return Schedule(betas(name, n_steps))
