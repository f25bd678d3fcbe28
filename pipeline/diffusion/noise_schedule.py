"""How much noise each diffusion step adds, and which steps a shortened sampler visits.

A schedule has T steps, counted from 0; step t holds beta_t, alpha_t = 1 - beta_t and
alpha_bar_t = prod_{s <= t} alpha_s. All of them are float32, the product included, as in the
official code: alpha_bar deviates from its closed form where it is tiny.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from pipeline.errors import LabError, quoted, suggest

ScheduleName: TypeAlias = Literal["cosine", "linear"]

COSINE_OFFSET = 0.008
"""Keeps the first cosine steps from adding next to nothing (Nichol and Dhariwal, 2102.09672)."""

MAX_BETA = 0.999
"""The last cosine step would otherwise destroy everything at once."""


LINEAR_ENDS = (1e-4, 0.02)
"""First and last beta of the linear schedule (Ho et al., 2006.11239)."""


def betas(name: ScheduleName, n_steps: int) -> Tensor:
    """Variance that each step adds.

    Args:
        name: `linear`, evenly spaced from 1e-4 to 0.02; `cosine`,
            min(1 - g((t + 1) / T) / g(t / T), 0.999) with g(u) = cos^2(pi / 2 (u + 0.008) / 1.008)
            (arXiv 2102.09672, equation 17).
        n_steps: T, at least 1.

    Returns:
        float32 [T].

    Raises:
        LabError: for an unknown name or no steps at all.
    """
    if n_steps < 1:
        raise LabError(f"{n_steps} diffusion steps", "one step or more", "--n-steps 1000")
    match name:
        case "cosine":
            return torch.tensor([_cosine_beta(t, n_steps) for t in range(n_steps)])
        case "linear":
            return torch.linspace(*LINEAR_ENDS, n_steps)
    raise LabError(
        f"unknown noise schedule {quoted(name)}", *suggest(name, get_args(ScheduleName), "cosine")
    )


def _cosine_beta(t: int, n_steps: int) -> float:
    def kept(u: float) -> float:
        return math.cos((u + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2) ** 2

    return min(1 - kept((t + 1) / n_steps) / kept(t / n_steps), MAX_BETA)


def ddim_times(n_sampling: int, n_steps: int, device: torch.device | None = None) -> Tensor:
    """The steps that a shortened sampler visits, in ascending order.

    Args:
        n_sampling: S, how many of them: a divisor of T with a stride of two or more. Other counts
            give more than S steps in the official code, or one that does not exist.
        n_steps: T.
        device: where to; None for the CPU.

    Returns:
        int64 [S] in [1, T): 1 + {0, c, 2c, ...} with the stride c = T / S.

    Raises:
        LabError: for a count that is refused, naming those that are allowed.
    """
    allowed = [s for s in range(1, n_steps // 2 + 1) if n_steps % s == 0]
    if n_sampling not in allowed:
        counts = ", ".join(map(str, allowed))
        near = min(allowed, key=lambda s: abs(s - n_sampling), default=None)
        raise LabError(
            f"{n_sampling} sampling steps of {n_steps}",
            f"one of {counts or 'none'}",
            "--n-steps 1000" if near is None else f"--ddim-steps {near}",
        )
    return 1 + torch.arange(0, n_steps, n_steps // n_sampling, device=device)


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
        times = ddim_times(n_sampling, self.n_steps, self.beta.device)
        at = self.alpha_bar[times]
        before = torch.cat([self.alpha_bar[:1], at[:-1]])
        sigma = eta * ((1 - before) / (1 - at) * (1 - at / before)).sqrt()
        return SamplingSteps(times, at, before, sigma)


def make_schedule(name: ScheduleName = "cosine", n_steps: int = 1000) -> Schedule:
    """The schedule `betas(name, n_steps)`; LRA-Diffusion uses cosine, until May 2023 linear."""
    return Schedule(betas(name, n_steps))
