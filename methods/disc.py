"""Dynamic instance-specific selection and correction, by a threshold of each sample's own (DISC).

    uv run accelerate launch methods/disc.py
    uv run accelerate launch methods/disc.py --dataset cifar10 --noise instance-40 --recipe paper

Li, Han, Shan, Chen: DISC: learning from noisy labels via dynamic instance-specific selection and
correction (CVPR 2023). The network sees a weak and a strong view of each sample, and each view has
a threshold per sample that follows its confidence. Whenever an epoch ends, samples are divided by
what was predicted of them in training: clean, where both views are surer of the given label than
the threshold; hard, where one is; corrected, where neither is and both together are much surer of
one class. After `warm_up` epochs of cross entropy, clean samples are learned with cross entropy,
hard ones with generalised cross entropy, and all three, corrected ones with their new labels, by
mixup. Formulas: methods/objectives/dynamic_selection.py.

Where the authors' code has choices that change the numbers, and which switch gives the others:
  --sigma 0.3        how much surer a correction is than a selection: 0.5 in their code, and meant
                     to be 0.3 where few labels are wrong (issue 7 of their repository);
  --optimizer adam   at high rates of noise, with a first decay (late_beta1) that changes once the
                     learning rate falls: here from that epoch on, there one epoch later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import one_hot

from methods import losses
from methods.objectives.dynamic_selection import divided, moved_threshold, of_clean_and_hard
from methods.parts.late_decay import LateDecaySettings
from methods.parts.one_network import OneNetwork
from methods.parts.warm_up import WarmUpSettings
from pipeline.data.images.augmentation import ViewName
from pipeline.runs.script import run_script
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem, StepOutput
from pipeline.training.mixing import Mixing
from pipeline.training.phases import Phase

SETS = ("clean", "hard", "corrected")
"""What a sample can belong to, at most one of them."""
_GROUP = "network"


class DiscSettings(WarmUpSettings, LateDecaySettings):
    """Settings of DISC."""

    LEAST_WARM_UP: ClassVar[int] = 1
    warm_up: int = Field(20, ge=1, le=100_000)
    """Epochs of cross entropy before samples are told apart, 1 to 100,000; by default a fifth of
    all, 20 at most."""
    weak_view: ViewName = "weak-reflect"
    """First view; by default a crop whose border is a mirror image, and a flip."""
    strong_view: ViewName = "disc"
    """Second view; by default the first one with two random operations and a grey square."""
    threshold_momentum: float = Field(0.99, ge=0, lt=1)
    """Share of a threshold that an epoch leaves (m), from 0 to below 1."""
    sigma: float = Field(0.5, ge=0, le=1)
    """By how much a correction has to be surer than a selection, 0 to 1."""
    hard_weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of hard samples (lambda_h), from 0 to a million."""
    mix_alpha: float = Field(5.0, gt=0, le=1000)
    """Parameter of the Beta distribution of mixing shares, above 0 and at most 1,000."""


class Disc(OneNetwork):
    """A network with two views of each sample, and the sets that they divide samples into."""

    Settings = DiscSettings
    VERSION: ClassVar[int] = 1
    settings: DiscSettings
    p: Tensor
    thresholds: Tensor
    clean: Tensor
    hard: Tensor
    corrected: Tensor
    labels: Tensor

    def __init__(self, settings: DiscSettings, problem: Problem) -> None:
        super().__init__(settings, problem)
        self.views = (settings.weak_view, settings.strong_view)
        n = problem.n_train
        # As last seen in training, on the weak and on the strong view; zero before.
        self.register_buffer("p", torch.zeros(2, n, problem.n_classes))
        self.register_buffer("thresholds", torch.full((2, n), 1 / n))
        for name in SETS:
            self.register_buffer(name, torch.zeros(n, dtype=torch.bool))
        self.register_buffer("labels", torch.zeros(n, dtype=torch.int64))
        self.epoch = 0

    def parameter_groups(self) -> list[dict[str, object]]:
        """The network, by a name that a phase can speak of."""
        return [{"name": _GROUP, "params": list(self.network.parameters())}]

    def epoch_start(self, context: Context) -> None:
        """Note where the run stands; labels are the given ones until some are corrected."""
        self.epoch = context.epoch
        if context.epoch == 0:
            self.labels.copy_(context.y_noisy)

    def phase_start(self, context: Context) -> Phase:
        """An epoch as it is, but for the late decay of adam."""
        return self.settings.phase_of(context.epoch, (_GROUP,))

    @property
    def warming(self) -> bool:
        """Whether samples are not told apart yet."""
        return self.epoch < self.settings.warm_up

    def forward(self, batch: Batch) -> StepOutput:
        """Loss and logits of a batch, both views of which pass the network at once."""
        y, index, everyone = batch.y_noisy, batch.index, batch.gather.rows(batch.index)
        weak, strong = self.network(torch.cat(batch.views)).split(len(y))
        for view, logits in enumerate((weak, strong)):
            # A sample is on another process in the next epoch: all keep all predictions.
            self.p[view, everyone] = batch.gather.rows(logits.detach().float().softmax(dim=1))
        if self.warming:
            return StepOutput(losses.ce(weak, y) + losses.ce(strong, y), weak, {})
        mixes = (self.clean | self.hard | self.corrected)[everyone]
        loss = of_clean_and_hard(
            weak,
            strong,
            y,
            clean=self.clean[index],
            hard=self.hard[index],
            hard_weight=self.settings.hard_weight,
        )
        chosen = batch.gather.chosen(mixes)
        if not len(chosen.everyone):
            return StepOutput(loss, weak, self._shares(), learns=False)
        part = batch.part(chosen)
        mixed = [self._mixup(part, images, str(view)) for view, images in enumerate(part.views)]
        return StepOutput(loss, weak, self._shares(), torch.stack(mixed).sum())

    def _mixup(self, part: Batch, images: Tensor, name: str) -> Tensor:
        """Soft cross entropy of mixed images of one view, over the samples of all processes."""
        mix = self._mixing(part, name)
        target = mix(one_hot(self.labels[part.index], self.n_classes).float())
        logits = self._logits(mix(images))
        return losses.ce(part.gather.rows(logits.float()), part.gather.rows(target))

    def _mixing(self, part: Batch, name: str) -> Callable[[Tensor], Tensor]:
        """What mixes the rows of one view, each time alike."""
        mixing = Mixing(Mixing.named(part, name), self.settings.mix_alpha, part)
        return lambda rows: mixing(rows)[0]

    def _logits(self, images: Tensor) -> Tensor:
        """Logits of one or more images: batch norm takes no single row of features in training."""
        if len(images) > 1:
            return self.network(images)
        return self.network(torch.cat([images, images]))[:1]

    def _shares(self) -> dict[str, Tensor]:
        """How many samples are in each set."""
        return {f"{name}_share": getattr(self, name).double().mean() for name in SETS}

    def epoch_end(self, context: Context) -> None:
        """Divide the samples by the thresholds as they are, then move these."""
        sets = divided(
            self.p[0],
            self.p[1],
            context.y_noisy,
            weak_threshold=self.thresholds[0],
            strong_threshold=self.thresholds[1],
            sigma=self.settings.sigma,
        )
        for name in SETS:
            getattr(self, name).copy_(getattr(sets, name))
        given = torch.where(sets.clean | sets.hard, context.y_noisy, self.labels)
        self.labels.copy_(torch.where(sets.corrected, sets.predicted, given))
        for own, p in zip(self.thresholds, self.p, strict=True):
            own.copy_(moved_threshold(own, p, momentum=self.settings.threshold_momentum))

    def corrected_labels(self) -> Tensor | None:
        """Labels that mixup learns from; None before it does."""
        return None if self.warming else self.labels


if __name__ == "__main__":
    run_script(Disc)
