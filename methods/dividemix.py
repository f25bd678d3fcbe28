"""DivideMix: two networks divide the samples for each other and learn as from half-labelled data.

    uv run accelerate launch methods/dividemix.py
    uv run accelerate launch methods/dividemix.py --dataset cifar10 --noise pair-40 --recipe paper
    uv run accelerate launch methods/dividemix.py --start-from simclr-digits     # C2D

Li, Socher, Hoi: DivideMix: learning with noisy labels as semi-supervised learning (ICLR 2020).
After `warm_up` epochs of cross entropy, a mixture of two Gaussians is fitted to the losses of all
samples by each network; w is the probability that a sample's label is right. Where w by the other
network is above `threshold` a network takes the sample as labelled, else as unlabelled, and trains
by MixMatch: targets are refined or guessed, images and targets are mixed. In an epoch the first
network trains, then the second. From pretrained weights this is C2D (Zheltonozhskii et al.:
Contrast to divide, WACV 2022), whose recipe is `c2d`. Formulas:
methods/objectives/semi_supervised.py; mixture: methods/two_networks/division.py.

Where the authors' codes have choices that change the numbers, and which switch gives which:
  --divide before_each   each network learns from what the other one is just then (C2D); both_first:
                         both divisions are made before either learns (DivideMix);
  --average-losses       losses are averaged over five epochs; the codes do so at a rate of 0.9;
  --warm-up-penalty      warm-up holds confidence down; DivideMix does so under asymmetric noise;
  --labelled-only        only labelled rows pass the network (Clothing1M, WebVision; C2D without
                         unlabelled term);
  --keep-both-sides      the threshold is moved so that both sides get a sample (C2D);
  --mixture-iterations   10, in C2D 200; --clip-warm-up limits gradients in warm-up only (C2D).
The codes start the mixture from an unseeded stream; here it is drawn by (seed, epoch, network).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from methods import losses
from methods.objectives import semi_supervised as semi
from methods.parts.warm_up import WarmUpSettings
from methods.two_networks.division import Division
from methods.two_networks.networks import PEERS, TwoNetworks
from pipeline.config import RunSettings
from pipeline.errors import LabError
from pipeline.runs.script import run_script
from pipeline.training.batches import epoch_samples
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem, StepOutput
from pipeline.training.mixing import Mixing
from pipeline.training.phases import Phase, Stream


class DivideMixSettings(WarmUpSettings):
    """Settings of DivideMix; `batch_size` counts labelled samples, warm-up takes twice as many."""

    batch_size: int = Field(64, ge=1, le=2**19)
    """Labelled samples of a step, and as many unlabelled ones; 1 to 524,288."""
    warm_up_penalty: bool = False
    """Add the negative entropy of the predictions to the loss of the warm-up."""
    clip_warm_up: bool = False
    """Apply clip_norm in the warm-up only."""
    threshold: float = Field(0.5, ge=0, lt=1)
    """A sample whose label is right with more than this probability is labelled."""
    keep_both_sides: bool = False
    """Move the threshold to just inside the range of probabilities, so that no side is empty."""
    divide: Literal["both_first", "before_each"] = "both_first"
    """When samples are divided: for both networks before the first learns, or before each."""
    average_losses: bool = False
    """Fit the mixture to the mean of the last five epochs' losses."""
    mixture_iterations: int = Field(10, ge=1, le=100_000)
    """Most steps of the mixture fit, 1 to 100,000."""
    mixture_seed: int = Field(0, ge=0, lt=2**31)
    """Another one starts the mixture elsewhere."""
    unlabelled_weight: float = Field(25.0, ge=0, le=1e6)
    """Weight of the unlabelled term (lambda_u) in the end, from 0 to a million."""
    weight_ramp: float = Field(16.0, gt=0, le=100_000)
    """Epochs after the warm-up over which that weight rises, up to 100,000."""
    labelled_only: bool = False
    """Pass only the labelled rows, mixed with any: there is no unlabelled term then."""
    penalty: bool = True
    """Hold the mean prediction near the uniform one."""
    temperature: float = Field(0.5, gt=0, le=100)
    """Of the sharpening of targets, above 0 and at most 100; 1 for none."""
    mix_alpha: float = Field(4.0, gt=0, le=1000)
    """Parameter of the Beta distribution of mixing shares, above 0 and at most 1,000."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.average_losses and self.sampling != "all":
            raise LabError(
                f"average_losses with sampling {self.sampling}: losses of other samples each epoch",
                "sampling all",
                "--no-average-losses",
            )
        return self

    def without_effect(self) -> set[str]:
        """Where only labelled rows pass there is no unlabelled term."""
        unused = {"unlabelled_weight", "weight_ramp"} if self.labelled_only else set()
        return super().without_effect() | unused | ({"clip_warm_up"} - self._clips)

    @property
    def _clips(self) -> set[str]:
        return set() if self.clip_norm is None else {"clip_warm_up"}


class DivideMix(TwoNetworks):
    """Two networks that divide the samples for each other."""

    Settings = DivideMixSettings
    VERSION: ClassVar[int] = 1
    settings: DivideMixSettings
    n_steps: Tensor

    def __init__(self, settings: DivideMixSettings, problem: Problem) -> None:
        super().__init__(settings, problem)
        self.division = Division(PEERS, problem.n_train, settings.average_losses)
        # Of the phase, for a run that is resumed within it.
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.int64))
        self.learner, self.epoch, self.step, self.n_batches = PEERS[0], 0, 0, 1

    @classmethod
    def variant(cls, settings: RunSettings) -> str:
        """dividemix, or c2d from pretrained weights."""
        return "dividemix" if settings.start_from is None else "c2d"

    def phases(self, context: Context) -> tuple[str, ...]:
        """One network after the other."""
        del context
        return PEERS

    def phase_start(self, context: Context) -> Phase:
        """Divide the samples, and say which network learns from which of them."""
        settings, self.epoch, self.learner = self.settings, context.epoch, context.phase
        self.networks.train_only(self.learner)
        if not context.resumed:
            self.n_steps.zero_()
        self.step = int(self.n_steps)
        samples = epoch_samples(settings, context.epoch, context.y_noisy).unique()
        if self.warming:
            every = Stream(samples, 2 * settings.batch_size, ("weak",))
            return Phase({"all": every}, trains=(self.learner,))
        if not context.resumed:
            self._measure_for_phase(context, samples)
        sides = self.division.sides(
            self.other, samples, settings.threshold, settings.keep_both_sides,
            f"network {self.learner} in epoch {context.epoch}",
        )  # fmt: skip
        self.n_batches = len(sides[0]) // settings.batch_size + 1
        names = ("labelled", "unlabelled")
        streams = {
            n: Stream(part, views=("weak", "weak")) for n, part in zip(names, sides, strict=True)
        }
        options = {name: {"clipped": False} for name in PEERS if settings.clip_warm_up}
        whole = settings.sampling == "all"
        return Phase(streams, partition=whole, trains=(self.learner,), options=options)

    @property
    def other(self) -> str:
        """The network that does not learn."""
        return PEERS[1 - PEERS.index(self.learner)]

    @property
    def warming(self) -> bool:
        """Whether samples are not divided yet."""
        return self.epoch < self.settings.warm_up

    def _measure_for_phase(self, context: Context, samples: Tensor) -> None:
        if self.settings.divide == "before_each":
            self._measure(context, samples, self.other)
        elif self.learner == PEERS[0]:
            for name in PEERS:
                self._measure(context, samples, name)

    def _measure(self, context: Context, samples: Tensor, name: str) -> None:
        settings, network = self.settings, self.networks[name]
        limits = {"iterations": settings.mixture_iterations, "seed": settings.mixture_seed}
        self.division.measure(context, name, network, samples, **limits)

    def epoch_end(self, context: Context) -> None:
        """Where losses are averaged before each phase, those of the warm-up count (C2D)."""
        if self.warming and self.settings.average_losses and self.settings.divide == "before_each":
            for name in PEERS:
                self._measure(context, torch.arange(len(context.y_noisy)), name)

    def step_end(self, context: Context) -> None:
        """Count the steps of the phase."""
        del context
        self.step += 1
        self.n_steps += 1

    def forward(self, batch: Batch) -> StepOutput:
        """Cross entropy in the warm-up, then MixMatch."""
        if not self.warming:
            return self._mixmatch(batch.parts["labelled"], batch.parts["unlabelled"], batch.seed)
        logits = self.networks[self.learner](batch.x)
        loss = losses.ce(logits, batch.y_noisy)
        if self.settings.warm_up_penalty:
            loss = loss + semi.negative_entropy(logits)
        return StepOutput(loss, logits, {})

    def _mixmatch(self, x: Batch, u: Batch, seed: int) -> StepOutput:
        settings, network = self.settings, self.networks[self.learner]
        w = self.division.by(self.other)
        with torch.no_grad():
            # In this order each pass moves the statistics of batch norm of the one that learns.
            guesses = [network(view) for view in u.views]
            guesses += [self.networks[self.other](view) for view in u.views]
            own = [network(view) for view in x.views]
            sharpening = settings.temperature
            of_x = semi.co_refined(own, x.y_noisy, w[x.index], temperature=sharpening)
            of_u = semi.co_guessed(guesses, temperature=sharpening)
        mix, parts = self._mixing(x, u, seed), [x, x, u, u]
        images, targets = mix(*x.views, *u.views), mix(of_x, of_x, of_u, of_u)
        if settings.labelled_only:
            parts, images, targets = parts[:2], images[:2], targets[:2]
        passed = network(torch.cat(images)).float().split([len(part) for part in images])
        # A function of the batch of all processes: the penalty is one of its mean prediction.
        rows = [part.gather.rows(z) for part, z in zip(parts, passed, strict=True)]
        aims = [part.gather.rows(t) for part, t in zip(parts, targets, strict=True)]
        weight = semi.unlabelled_weight(
            self.epoch + self.step / self.n_batches,
            weight=settings.unlabelled_weight,
            warmup=settings.warm_up,
            ramp=settings.weight_ramp,
        )
        loss, labelled, unlabelled = semi.mixmatch(
            torch.cat(rows),
            torch.cat(aims),
            n_labelled=len(rows[0]) + len(rows[1]),
            weight=weight,
            penalty=settings.penalty,
        )
        scalars = {"labelled_loss": labelled, "unlabelled_loss": unlabelled}
        scalars["labelled_share"] = (w > settings.threshold).double().mean()
        logits = {"labelled": own[0], "unlabelled": guesses[0]}
        return StepOutput(loss.new_zeros(()), logits, scalars, coupled=loss)

    def _mixing(self, x: Batch, u: Batch, seed: int) -> Callable[..., list[Tensor]]:
        """What mixes the rows of both views of both parts, each time alike."""
        return Mixing(seed, self.settings.mix_alpha, x, x, u, u)

    def predict(self, images: Tensor) -> Tensor:
        """Softmax of the sum of the logits."""
        logits = [network(images) for network in self.networks.values()]
        return torch.stack(logits).sum(dim=0).softmax(dim=1)


if __name__ == "__main__":
    run_script(DivideMix)
