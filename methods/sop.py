"""Sparse over-parametrisation: each sample has parameters that take a wrong label on (SOP).

    uv run accelerate launch methods/sop.py
    uv run accelerate launch methods/sop.py --plus
    uv run accelerate launch methods/sop.py --dataset cifar10 --noise pair-40 --recipe paper

Liu, Zhu, Qu, You: Robust training under label noise by over-parameterization (ICML 2022, arXiv
2202.14026). Beside the network, sample i has numbers u_i and v_i [K]. The cross entropy is that of
the prediction plus U - V, where U = u_i^2 at the given label and V = v_i^2 at the others; a square
pulls U - V to what a label differs from the predicted class by. Both start at 1e-8 and grow by
factors: where the network agrees with a label they hardly move, where it does not they take the
label on, and the network has nothing left to memorise. `--plus` (SOP+) adds the balance of the
classes over a batch, and the consistency of a second, strongly augmented view; the network sees
both views as one batch. Formulas: methods/objectives/overparametrisation.py.

u and v are trained by SGD without momentum, decay, schedule and clipping, at the rates `--lr-u` and
`--lr-v`. Their gradient is that of the mean over a batch: a rate belongs to a batch size.

Where the authors' code has choices that change the numbers, and which switch gives which:
  --second-normalisation cifar10   their second view has CIFAR-10 statistics on CIFAR-100, too;
  --lr-u 0.1                       on CIFAR-100 with asymmetric noise, since the paper, which has 1;
  --weight-decay 0.001             of SOP+ in their configuration; the paper has 0.0005.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from methods.losses.choice import Choices, completed
from methods.objectives.overparametrisation import class_balance, consistency, label_shifts, sop
from methods.parts.one_network import OneNetwork
from pipeline.config import RunSettings
from pipeline.data.images.augmentation import ViewName
from pipeline.data.views import CONSTANTS
from pipeline.runs.script import run_script
from pipeline.training.method import Batch, Problem, StepOutput
from pipeline.training.peers import seeded

PLUS: Choices = {
    "with plus": {
        "consistency": 0.9, "balance": 0.1, "second_view": "autoaugment-cutout",
        "second_normalisation": "run",
    },
    "without plus": {},
}  # fmt: skip
"""Parameters of SOP+ and their defaults, those of the paper."""


class SopSettings(RunSettings):
    """Settings of SOP; what concerns SOP+ is None without it."""

    lr_u: float = Field(10.0, gt=0, le=1e6)
    """Learning rate of u, above 0 and at most a million."""
    lr_v: float = Field(10.0, gt=0, le=1e6)
    """Learning rate of v, above 0 and at most a million."""
    start_scale: float = Field(1e-8, gt=0, le=1)
    """Standard deviation of u and v at the start, above 0 and at most 1."""
    plus: bool = False
    """Whether a second view and the balance of classes join in (SOP+)."""
    consistency: float | None = Field(None, ge=0, le=1e6)
    """Weight of the divergence of the second view, from 0, which needs none, to a million."""
    balance: float | None = Field(None, ge=0, le=1e6)
    """Weight of the balance of classes over a batch, from 0 to a million."""
    second_view: ViewName | None = None
    """View that the network is to judge like the first."""
    second_normalisation: Literal["run", "cifar10"] | None = None
    """Statistics of the second view: those of the run, or of CIFAR-10."""

    @model_validator(mode="before")
    @classmethod
    def _complete_plus(cls, values: dict[str, Any]) -> dict[str, Any]:
        given = "with" if values.get("plus") else "without"
        return completed(values, "a run", f"{given} plus", PLUS)

    def without_effect(self) -> set[str]:
        """Without weight there is no second view."""
        unused = set() if self.consistency else {"second_view", "second_normalisation"}
        return super().without_effect() | unused


class Sop(OneNetwork):
    """A network, and the numbers of each sample."""

    Settings = SopSettings
    VERSION: ClassVar[int] = 1
    settings: SopSettings
    factor: Tensor
    shift: Tensor

    def __init__(self, settings: SopSettings, problem: Problem) -> None:
        super().__init__(settings, problem)
        if settings.consistency:
            assert settings.second_view is not None
            self.views = ("weak", settings.second_view)
        with seeded(settings, "sop"):
            u, v = shifts_at_start(problem.n_train, problem.n_classes, settings.start_scale)
        self.u, self.v = nn.Parameter(u), nn.Parameter(v)
        if settings.second_normalisation == "cifar10":
            factor, shift = _to_cifar10(problem)
            self.register_buffer("factor", factor, persistent=False)
            self.register_buffer("shift", shift, persistent=False)

    @classmethod
    def variant(cls, settings: RunSettings) -> str:
        """Name sop, or sop+."""
        assert isinstance(settings, SopSettings)
        return "sop+" if settings.plus else "sop"

    def parameter_groups(self) -> list[dict[str, object]]:
        """The network as the run says, u and v at rates of their own."""
        groups: list[dict[str, object]] = [
            {"name": "network", "params": list(self.network.parameters())}
        ]
        for name, rows, rate in (
            ("u", self.u, self.settings.lr_u),
            ("v", self.v, self.settings.lr_v),
        ):
            groups.append({"name": name, "params": [rows], "per_sample": True, "lr": rate})
        return groups

    def forward(self, batch: Batch) -> StepOutput:
        """Loss and logits of a batch, all views of which pass the network at once."""
        settings = self.settings
        first, *others = batch.views
        passed = self.network(torch.cat([first, *map(self._second, others)]))
        logits, *seconds = passed.split(len(first))
        u, v = self.u[batch.index], self.v[batch.index]
        loss, shifted = sop(logits, batch.y_noisy, u=u, v=v)
        for other in seconds:
            loss = loss + (settings.consistency or 0.0) * consistency(logits, other)
        balance = None
        if settings.balance:
            balance = settings.balance * class_balance(batch.gather.rows(shifted))
        above, below = label_shifts(u.detach(), v.detach(), batch.y_noisy)
        scalars = {"label_shift": above.sum(1).mean(), "other_shift": below.sum(1).mean()}
        return StepOutput(loss, logits, scalars, coupled=balance)

    def _second(self, x: Tensor) -> Tensor:
        """A second view in the statistics of the settings; what was cut out of it stays 0."""
        if self.settings.second_normalisation != "cifar10":
            return x
        return (x * self.factor + self.shift).where((x != 0).any(dim=1, keepdim=True), 0)


def shifts_at_start(n: int, n_classes: int, scale: float) -> tuple[Tensor, Tensor]:
    """Normal draws u [n, 1], then v [n, K], of this standard deviation, from torch's stream."""
    return torch.empty(n, 1).normal_(0, scale), torch.empty(n, n_classes).normal_(0, scale)


def _to_cifar10(problem: Problem) -> tuple[Tensor, Tensor]:
    """Factor and shift [C, 1, 1] from the statistics of the run to those of CIFAR-10.

    Grey images get the means over its channels.
    """
    (mean, std), (own_mean, own_std) = (
        torch.tensor(pair)[:, :, None, None]
        for pair in (CONSTANTS["cifar10"], (problem.mean, problem.std))
    )
    if problem.image_shape[2] == 1:
        mean, std = mean.mean(dim=0, keepdim=True), std.mean(dim=0, keepdim=True)
    return own_std / std, (own_mean - mean) / std


if __name__ == "__main__":
    run_script(Sop)
