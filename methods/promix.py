"""ProMix: two networks that learn from as many samples as seem rightly labelled.

    uv run accelerate launch methods/promix.py
    uv run accelerate launch methods/promix.py --dataset cifar10 --noise symmetric-20 --recipe paper

Xiao, Dong, Wang, Feng, Wu, Chen, Zhao: ProMix: combating label noise via maximizing clean sample
utility (IJCAI 2023). Each network has two classifiers on its features: a primary one, which
predicts, and a pseudo one, which takes the risk of learning from guesses. After a warm-up each
network selects, before every epoch, the samples of smallest loss of each given label, adds in every
step those on whose given label it is sure and, late in the run, those on whose class both networks
are sure. Selected samples are learned from as they are, strongly augmented and mixed in two ways;
the others by the pseudo classifier, with soft guesses. Both networks train in the same step.
Selection: methods/two_networks/selection.py; margins: methods/two_networks/priors.py.

Where the authors' code has choices that change the numbers, and which switch gives which:
  --stop-at-full-weight  samples that are not selected are learned from only while the weight of
                         their loss rises: their code sets it to 0 once it is full, for 500 of 600
                         epochs. Here it stays;
  --warm-up-penalty      warm-up holds confidence down, as theirs under asymmetric noise: of logits
                         whose negative values count as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import one_hot

from methods import losses
from methods.objectives.semi_supervised import negative_entropy
from methods.parts.warm_up import WarmUpSettings
from methods.two_networks.networks import PEERS, TwoNetworks
from methods.two_networks.priors import soft_guesses, with_margin, without_bias
from methods.two_networks.selection import guessed_too, smallest_of_each_class, sure_of_label
from methods.two_networks.two_classifiers import TwoClassifiers
from pipeline.data.images.augmentation import ViewName
from pipeline.encoders.start import network_state
from pipeline.runs.script import run_script
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem, StepOutput
from pipeline.training.mixing import Mixing, low_frequency_mask

PRIMARY, PSEUDO = 0, 1
"""The classifiers of a network."""
Heads = tuple[Tensor, Tensor]
"""Logits [B, K] by both classifiers."""
_FMIX_ALPHA = 1.0
"""Shares of FMix are uniform."""
_FLOOR = 1e-12
"""Of the logits in the penalty of the warm-up, as in the authors' code."""


class ProMixSettings(WarmUpSettings):
    """Settings of ProMix."""

    warm_up_penalty: bool = False
    """Add the negative entropy of the predictions to the loss of the warm-up, where negative logits
    count as 0."""
    strong_view: ViewName = "promix"
    """Second view of each image."""
    keep_rate: float = Field(0.5, gt=0, le=1)
    """Samples of small loss that are kept of each given label, above 0 and at most 1: this share of
    the training samples over the number of classes."""
    first_keep_rate: float | None = Field(None, gt=0, le=1)
    """That rate in epoch 0, from which it moves over `ramp` epochs; None for keep_rate."""
    threshold: float = Field(0.99, ge=0, lt=1)
    """Probability above which a network is sure."""
    ramp: int = Field(50, ge=1, le=100_000)
    """Epochs over which strong and mixed images gain their weight, 1 to 100,000."""
    guess_from: int = Field(351, ge=0, le=100_000)
    """Epoch, from 0, from which samples that both networks are sure of are selected, too, at most
    100,000; by default after seven twelfths of all."""
    guess_up_to: float = Field(0.9, ge=0, le=1)
    """Share of a batch up to which these are added."""
    margin: float = Field(0.8, ge=0, le=100)
    """Strength of the prior in the logits of a loss, at most 100."""
    target_margin: float = Field(0.8, ge=0, le=100)
    """Strength of the prior in the logits that targets come from, at most 100."""
    prior_momentum: float = Field(0.9999, ge=0, lt=1)
    """Momentum of the priors, from 0 to below 1."""
    temperature: float = Field(0.5, gt=0, le=100)
    """Of the sharpening of soft guesses, above 0 and at most 100; 1 for none."""
    mix_alpha: float = Field(4.0, gt=0, le=1000)
    """Parameter of the Beta distribution of mixing shares, above 0 and at most 1,000."""
    unselected_weight: float = Field(0.1, ge=0, le=1e6)
    """Weight of the loss on samples that are not selected in the end, from 0 to a million."""
    unselected_ramp: int = Field(100, ge=1, le=100_000)
    """Epochs over which that weight rises from 0, 1 to 100,000."""
    stop_at_full_weight: bool = False
    """Leave that loss out once its weight is full, as the authors' code does."""

    @classmethod
    def usual(cls, epochs: int, values: Mapping[str, Any]) -> dict[str, int]:
        """Labels are guessed in the last five twelfths."""
        return super().usual(epochs, values) | {"guess_from": 7 * epochs // 12 + 1}

    def without_effect(self) -> set[str]:
        """Where samples that are not selected have no weight, how it rises means nothing."""
        unused = set() if self.unselected_weight else {"unselected_ramp", "stop_at_full_weight"}
        return super().without_effect() | unused


class ProMix(TwoNetworks):
    """Two networks with two classifiers each."""

    Settings = ProMixSettings
    VERSION: ClassVar[int] = 1
    settings: ProMixSettings
    kept: Tensor

    def __init__(self, settings: ProMixSettings, problem: Problem) -> None:
        n_classes, shape = problem.n_classes, (len(PEERS), problem.n_train)
        super().__init__(settings, problem, around=lambda own: TwoClassifiers(own, n_classes))
        self.register_buffer("kept", torch.ones(shape, dtype=torch.bool))
        self.views = ("weak", settings.strong_view)
        self.epoch = 0

    @property
    def pair(self) -> list[TwoClassifiers]:
        """Both networks."""
        return [peer for peer in self.networks.values() if isinstance(peer, TwoClassifiers)]

    def idle_parameters(self) -> list[nn.Parameter]:
        """The pseudo classifiers in the warm-up."""
        return [p for peer in self.pair for p in peer.pseudo.parameters() if self.warming]

    @property
    def warming(self) -> bool:
        """Whether samples are not selected yet."""
        return self.epoch < self.settings.warm_up

    @property
    def risen(self) -> float:
        """How much of their weight strong and mixed images have, in [0, 1]."""
        return min(self.epoch / self.settings.ramp, 1.0)

    @property
    def unselected_weight(self) -> float:
        """Weight, in this epoch, of the loss on samples that are not selected."""
        share = min(self.epoch / self.settings.unselected_ramp, 1.0)
        stops = self.settings.stop_at_full_weight and share == 1
        return 0.0 if stops else self.settings.unselected_weight * share

    def epoch_start(self, context: Context) -> None:
        """Select the samples of small loss of each given label, each network for itself."""
        self.epoch, last = context.epoch, self.settings.keep_rate
        if self.warming or context.resumed:
            return
        first = self.settings.first_keep_rate or last
        rate = first + (last - first) * self.risen
        for kept, peer in zip(self.kept, self.pair, strict=True):
            logits = context.predict_train(function=peer)
            values = losses.ce(logits, context.y_noisy, reduction="none")
            chosen = smallest_of_each_class(
                values, context.y_noisy, n_classes=self.n_classes, rate=rate
            )
            kept.copy_(chosen)

    def forward(self, batch: Batch) -> StepOutput:
        """Cross entropy in the warm-up, then the loss of both networks on what they select."""
        if self.warming:
            return self._warm_up(batch)
        gathered, momentum = batch.gather, self.settings.prior_momentum
        gather = gathered.rows
        passed = [[peer.both(x) for x in batch.views] for peer in self.pair]
        own = [weak.detach() for (weak, _), _ in passed]
        p, y = [gather(z.softmax(1)) for z in own], gather(batch.y_noisy)
        loss, shares = own[0].new_zeros(()), []
        for at, peer in enumerate(self.pair):
            given, selected = self._selection(at, p, y, gather(batch.index))
            views = [(gather(primary), gather(pseudo)) for primary, pseudo in passed[at]]
            guesses = without_bias(views[0][PRIMARY], peer.prior, self.settings.target_margin)
            labels = torch.where(given, y, guesses.argmax(1))
            targets = one_hot(labels, self.n_classes).to(guesses)
            loss = loss + self._of_selected(peer, views, selected, targets)
            chosen = gathered.chosen(selected)
            if len(chosen.everyone):
                part, aims = batch.part(chosen), targets[chosen.everyone]
                loss = loss + self.risen * self._of_mixed(peer, part, aims, PEERS[at])
            loss = loss + self.unselected_weight * self._of_others(peer, views, ~selected)
            peer.move_priors(p[at], selected, momentum)
            shares.append(selected.double().mean())
        scalars = {"selected_share": torch.stack(shares).mean()}
        joint = torch.stack(own).mean(dim=0)
        return StepOutput(loss.new_zeros(()), joint, scalars, coupled=loss)

    def _selection(
        self, at: int, p: list[Tensor], y: Tensor, index: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Samples that a network takes as labelled, and those it learns from, bool [B] each."""
        settings = self.settings
        given = self.kept[at, index] | sure_of_label(p[at], y, threshold=settings.threshold)
        if self.epoch < settings.guess_from:
            return given, given
        first, second = p
        threshold, up_to = settings.threshold, settings.guess_up_to
        return given, guessed_too(given, first, second, threshold=threshold, up_to=up_to)

    def _warm_up(self, batch: Batch) -> StepOutput:
        passed = [network(batch.x).float() for network in self.networks.values()]
        loss = sum((losses.ce(z, batch.y_noisy) for z in passed), start=passed[0].new_zeros(()))
        if self.settings.warm_up_penalty:
            loss = loss + sum(negative_entropy(z.clamp(min=_FLOOR)) for z in passed)
        return StepOutput(loss, torch.stack(passed).detach().mean(dim=0), {})

    def _of_selected(
        self, peer: TwoClassifiers, views: list[Heads], selected: Tensor, targets: Tensor
    ) -> Tensor:
        """Losses of both classifiers on the selected samples, weak and strong."""
        total = targets.new_zeros(())
        for head in (PRIMARY, PSEUDO):
            weak, strong = (self._loss(view[head], peer.prior, targets) for view in views)
            total = total + _mean(weak, selected) + self.risen * _mean(strong, selected)
        return total

    def _of_mixed(self, peer: TwoClassifiers, part: Batch, targets: Tensor, name: str) -> Tensor:
        """Losses of both classifiers on the selected images, mixed as wholes and in pieces."""
        total, (height, width) = targets.new_zeros(()), part.x.shape[2:]
        for head in (PRIMARY, PSEUDO):
            seeds = [Mixing.named(part, f"{draw} {name} {head}") for draw in ("mixup", "fmix")]
            whole = Mixing(seeds[0], self.settings.mix_alpha, part)
            pieces = Mixing(seeds[1], _FMIX_ALPHA, part, at_least_half=False)
            mask = low_frequency_mask(seeds[1], height, width, pieces.share, device=part.x.device)
            for mixing, (images,) in (whole, whole(part.x)), (pieces, pieces(part.x, mask=mask)):
                logits = part.gather.rows(peer.both(images)[head])
                mixed_targets = mixing.of_all(targets)
                total = total + self._loss(logits, peer.prior, mixed_targets).mean()
        return total

    def _of_others(self, peer: TwoClassifiers, views: list[Heads], others: Tensor) -> Tensor:
        """Loss of the pseudo classifier on the samples that are not selected, weak and strong."""
        prior, settings = peer.prior_of_others, self.settings
        targets = soft_guesses(
            views[0][PRIMARY], prior, settings.target_margin, temperature=settings.temperature
        )
        weak, strong = (self._loss(view[PSEUDO], prior, targets) for view in views)
        return _mean(weak, others) + self.risen * _mean(strong, others)

    def _loss(self, logits: Tensor, prior: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy [B] of logits with the margins of a prior."""
        wide = with_margin(logits, prior, self.settings.margin)
        return losses.ce(wide, targets, reduction="none")

    def predict(self, images: Tensor) -> Tensor:
        """Softmax of the mean of the logits of both primary classifiers."""
        logits = [network(images) for network in self.networks.values()]
        return torch.stack(logits).mean(dim=0).softmax(dim=1)

    def encoder_state(self) -> dict[str, Tensor]:
        """The first network with its own classifier."""
        return network_state(self.pair[0].network)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen ones of some values [B]; 0, with a gradient of 0, where there is none."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)


if __name__ == "__main__":
    run_script(ProMix)
