"""PES: later layers stop earlier than the first ones, because they are trained anew for less long.

    uv run accelerate launch methods/pes.py
    uv run accelerate launch methods/pes.py --semi
    uv run accelerate launch methods/pes.py --dataset cifar10 --noise instance-40 --recipe paper

Bai, Yang, Han, Yang, Li, Mao, Niu, Liu: Understanding and improving early stopping for learning
with noisy labels (NeurIPS 2021, arXiv 2106.15853). Wrong labels harm later layers first. After
`warm_up` epochs of cross entropy, one epoch makes the network anew from behind: the last stage and
the classifier are replaced and trained alone over `stage_epochs` passes, then the classifier over
`classifier_epochs`. From then on a sample is confident where its label is what the network predicts
on two weak views, and only confident samples train, with weights that make classes count alike.
`--semi`: only the classifier is made anew, and the other samples train as unlabelled ones by
MixMatch. Formulas: methods/objectives/semi_supervised.py.

Where the authors' code differs from the paper, and which switch gives which:
  --no-new-layers-in-optimizer   their optimiser was made before and does not know the new layers:
                                 after the one epoch these stay as they are. All their numbers are
                                 made so; the paper trains all layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import one_hot

from methods import losses
from methods.losses.choice import completed
from methods.objectives import semi_supervised as semi
from methods.parts.network_in_parts import PARTS, NetworkInParts
from methods.parts.warm_up import WarmUpSettings
from pipeline.config import RunSettings
from pipeline.errors import LabError
from pipeline.runs.script import run_script
from pipeline.training.batches import epoch_samples
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem, StepOutput
from pipeline.training.mixing import Mixing
from pipeline.training.phases import WHOLE, Phase, Stream

SEMI: dict[str, dict[str, Any]] = {
    "with semi": {
        "stage_epochs": 0, "weight_cap": 3.0, "unlabelled_weight": 5.0, "weight_ramp": 16.0,
        "temperature": 0.5, "mix_alpha": 4.0, "late_mix_alpha": 0.75,
    },
    "without semi": {"stage_epochs": 7},
}  # fmt: skip
"""Parameters of PES(semi) and PES and their defaults, those of the official CIFAR-10 scripts."""
_TWICE = ("weak", "weak")
_LEAST = 1e-12


class PesSettings(WarmUpSettings):
    """Settings of PES; what concerns MixMatch is None without `semi`."""

    semi: bool = False
    """Whether samples that are not confident train as unlabelled ones (PES(semi))."""
    warm_up: int = Field(25, ge=0, le=100_000)
    """Epochs of cross entropy before layers are made anew (T1), 0 to 100,000; by default a fifth
    of all, 25 at most, 20 with `semi`."""
    stage_epochs: int = Field(7, ge=0, le=1000)
    """Passes that train a new last stage with a new classifier (T2), 0 to 1,000."""
    classifier_epochs: int = Field(5, ge=0, le=1000)
    """Passes that train a new classifier after that (T3), 0 to 1,000."""
    renewal_lr: float = Field(1e-4, gt=0, le=1000)
    """Learning rate of adam in these passes, above 0 and at most 1,000."""
    new_layers_in_optimizer: bool = True
    """Whether new layers train on with the others afterwards."""
    weight_cap: float | None = Field(None, gt=0, le=1e6)
    """Highest weight of a class, above 0 and at most a million."""
    unlabelled_weight: float | None = Field(None, ge=0, le=1e6)
    """Weight of the unlabelled term (lambda_u) in the end, from 0 to a million."""
    weight_ramp: float | None = Field(None, gt=0, le=100_000)
    """Epochs after the warm-up over which that weight rises, up to 100,000."""
    temperature: float | None = Field(None, gt=0, le=100)
    """Of the sharpening of guesses, above 0 and at most 100; 1 for none."""
    mix_alpha: float | None = Field(None, gt=0, le=1000)
    """Parameter of the Beta distribution of mixing shares, above 0 and at most 1,000."""
    late_mix_alpha: float | None = Field(None, gt=0, le=1000)
    """The same in the second half of the epochs."""

    @model_validator(mode="before")
    @classmethod
    def _complete_semi(cls, values: dict[str, Any]) -> dict[str, Any]:
        given = "with" if values.get("semi") else "without"
        return completed(values, "a run", f"{given} semi", SEMI)

    @classmethod
    def usual(cls, epochs: int, values: Mapping[str, Any]) -> dict[str, int]:
        """A fifth of the epochs, at most the warm-up of the authors."""
        return {"warm_up": min(20 if values.get("semi") else 25, epochs // 5)}

    @model_validator(mode="after")
    def _renews(self) -> Self:
        if not self.stage_epochs + self.classifier_epochs:
            raise LabError(
                "stage_epochs 0 and classifier_epochs 0", "at least one pass over new layers",
                "--classifier-epochs 5",
            )  # fmt: skip
        return self


class Pes(NetworkInParts):
    """A network whose later layers are made anew, and which then trains on what it agrees with."""

    Settings = PesSettings
    VERSION: ClassVar[int] = 1
    settings: PesSettings
    predicted: Tensor

    def __init__(self, settings: PesSettings, problem: Problem) -> None:
        super().__init__(settings, problem, with_stage=settings.stage_epochs > 0)
        if settings.stage_epochs and not self.network.last_stage:
            raise LabError(
                f"stage_epochs {settings.stage_epochs} with backbone {settings.backbone}, of which "
                "no last stage is known",
                "a residual network or small-cnn; or a new classifier alone",
                "--backbone resnet18, or --stage-epochs 0",
            )
        # By the mean over two weak views, at the start of the epoch.
        self.register_buffer("predicted", torch.zeros(problem.n_train, problem.n_classes))
        self.epoch, self.confident_share = 0, torch.ones(())
        self.class_weights = torch.ones(problem.n_classes)

    @classmethod
    def variant(cls, settings: RunSettings) -> str:
        """Name pes, or pes-semi."""
        assert isinstance(settings, PesSettings)
        return "pes-semi" if settings.semi else "pes"

    def epoch_start(self, context: Context) -> None:
        """After layers were made anew: find out what the network predicts of all samples."""
        if context.epoch <= self.settings.warm_up or context.resumed:
            return

        def mean_of_two(*views: Tensor) -> Tensor:
            return semi.mean_prediction([self.network(view) for view in views])

        self.predicted.copy_(context.predict_train(views=_TWICE, function=mean_of_two))

    def phases(self, context: Context) -> tuple[str, ...]:
        """One, but for the epoch that makes layers anew: a phase for each of its passes."""
        if context.epoch != self.settings.warm_up:
            return (WHOLE,)
        passes = (self.settings.stage_epochs, self.settings.classifier_epochs)
        return tuple(f"{part} {i}" for part, n in zip(PARTS[1:], passes, strict=True)
                     for i in range(n))  # fmt: skip

    def phase_start(self, context: Context) -> Phase:
        """Say what trains on which samples."""
        self.epoch = context.epoch
        if self.epoch < self.settings.warm_up:
            return Phase()
        return self._divided(context) if context.phase == WHOLE else self._renewing(context)

    def _renewing(self, context: Context) -> Phase:
        """One pass over layers that are new."""
        part, number = context.phase.split()
        new = PARTS[PARTS.index(part) :]
        first = number == "0"
        if first and not context.resumed:
            self.renew(new)
        plain_adam = {
            "optimizer": "adam", "lr": self.settings.renewal_lr, "schedule": "constant",
            "weight_decay": 0.0,
        }  # fmt: skip
        return Phase(
            trains=new, restart=new if first else (), options=dict.fromkeys(new, plain_adam)
        )

    def _divided(self, context: Context) -> Phase:
        """Streams of confident samples and, for MixMatch, of the others."""
        settings, y = self.settings, context.y_noisy
        samples = epoch_samples(settings, context.epoch, y).unique()
        given = y[samples.to(y.device)]
        agrees = self.predicted[samples.to(y.device)].argmax(dim=1) == given
        sure, unsure = samples[agrees.cpu()], samples[~agrees.cpu()]
        counts = given[agrees].bincount(minlength=context.n_classes)
        self.class_weights = semi.balancing_weights(counts, cap=settings.weight_cap or math.inf)
        self.confident_share = agrees.double().mean()
        trains = None if settings.new_layers_in_optimizer else PARTS[:1]
        begins = context.epoch == settings.warm_up + 1 and trains is None
        restart = self.parts[1:] if begins else ()
        if not settings.semi:
            return Phase({"confident": Stream(sure)}, trains=trains, restart=restart)
        sizes = semi.part_sizes(len(sure), len(unsure), settings.batch_size)
        streams = {"labelled": Stream(sure, sizes[0], _TWICE)}
        if len(unsure):
            streams["unlabelled"] = Stream(unsure, sizes[1], _TWICE)
        return Phase(
            streams,
            steps=max(len(samples) // settings.batch_size, 1),
            partition=settings.sampling == "all",
            trains=trains,
            restart=restart,
        )

    def forward(self, batch: Batch) -> StepOutput:
        """Cross entropy, that of confident samples weighted by class, or MixMatch."""
        if "labelled" in batch.parts:
            return self._mixmatch(batch)
        logits = self.network(batch.x)
        if not batch.parts:
            return StepOutput(losses.ce(logits, batch.y_noisy), logits, {})
        weights = self.class_weights[batch.y_noisy]
        each = losses.ce(logits, batch.y_noisy, reduction="none")
        loss = (weights * each).mean() / batch.gather.mean(weights)
        return StepOutput(loss, logits, {"confident_share": self.confident_share})

    def _mixmatch(self, batch: Batch) -> StepOutput:
        x, u = batch.parts["labelled"], batch.parts.get("unlabelled")
        parts, views = [x, x], [*x.views]
        aims = 2 * [one_hot(x.y_noisy, self.n_classes).float()]
        if u is not None:
            parts, views, aims = [*parts, u, u], [*views, *u.views], aims + 2 * [self._guess(u)]
        mix, n = self._mixing(batch.seed, parts), 2 * len(x.index)
        logits = self.network(torch.cat(mix(*views))).float()
        targets = torch.cat(mix(*aims))
        loss = losses.ce(logits[:n], targets[:n] * self.class_weights)
        scalars = {"labelled_loss": loss, "confident_share": self.confident_share}
        terms: dict[str, Tensor] = {}
        if u is not None:
            weight = semi.unlabelled_weight(
                self.epoch + batch.done,
                weight=self.settings.unlabelled_weight or 0.0,
                warmup=self.settings.warm_up,
                ramp=self.settings.weight_ramp or 1.0,
            )
            terms = {"unlabelled": weight * semi.unlabelled_loss(logits[n:], targets[n:])}
        # Mixed images show no sample by itself: what is recorded is what divided the samples.
        seen = {
            name: self.predicted[part.index].clamp(min=_LEAST).log()
            for name, part in batch.parts.items()
        }
        return StepOutput(loss, seen, scalars, terms=terms)

    @torch.no_grad()
    def _guess(self, u: Batch) -> Tensor:
        """Targets of unlabelled samples; each pass moves the statistics of batch norm."""
        guesses = [self.network(view) for view in u.views]
        return semi.co_guessed(guesses, temperature=self.settings.temperature or 1.0)

    @property
    def mix_alpha(self) -> float:
        """Parameter of the Beta distribution in this half of the epochs."""
        late = 2 * self.epoch >= self.settings.epochs
        return (self.settings.late_mix_alpha if late else self.settings.mix_alpha) or 1.0

    def _mixing(self, seed: int, parts: list[Batch]) -> Callable[..., list[Tensor]]:
        """What mixes the rows of all views, each time alike."""
        return Mixing(seed, self.mix_alpha, *parts)


if __name__ == "__main__":
    run_script(Pes)
