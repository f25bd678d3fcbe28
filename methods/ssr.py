"""SSR: neighbours choose the samples to learn from, and the network relabels what it is sure of.

    uv run accelerate launch methods/ssr.py
    uv run accelerate launch methods/ssr.py --consistency-weight 0           # SSR without the +
    uv run accelerate launch methods/ssr.py --dataset cifar10 --noise pair-40 --recipe paper

Feng, Tzimiropoulos, Patras: SSR: an efficient and robust framework for learning with unknown label
noise (BMVC 2022, arXiv 2111.11288). Before every epoch one pass over a weak view of all samples
gives features and predictions. A prediction of more than `relabel_above` becomes the label of its
sample for this epoch, all others keep the given one. A sample is selected where its label has, of
all classes, the largest share of votes among its `neighbours` nearest samples, votes counting less
the more frequent their label is. The network learns from two mixed strong views of the selected
samples, rare labels being repeated; SSR+ pulls its features of a strong view of every sample
towards those of a weak one.

Where the authors' code has choices that change the numbers:
  --strong-view            AutoAugment after crop and flip, on CIFAR the policy of CIFAR-10, on
                           Clothing1M and WebVision that of ImageNet;
  --consistency-weight 0   SSR. The code then still passes both views of all samples, which moves
                           the statistics of batch norm; here it passes the weak one.
`relabel_above` is 0.9, and 0.8 under CIFAR-100 symmetric noise of 50 % and more (README).
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import one_hot

from methods import losses
from methods.losses.common import at_label
from methods.parts.one_network import OneNetwork
from pipeline.backbones.heads import projection_head
from pipeline.config import RunSettings
from pipeline.data.balanced import repeated_to_balance
from pipeline.data.images.augmentation import ViewName
from pipeline.encoders.knn import NeighbourVote
from pipeline.runs.script import run_script
from pipeline.training.batches import epoch_samples
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem, StepOutput
from pipeline.training.mixing import Mixing
from pipeline.training.phases import Phase, Stream


class SsrSettings(RunSettings):
    """Settings of SSR+; `batch_size` counts selected samples, and as many of all."""

    drop_last: bool = True
    """Leave out the last batch of a pass where it is smaller."""
    relabel_above: float = Field(0.9, ge=0, le=1)
    """A prediction of more than this probability becomes the label (theta_r); 1 for none."""
    select_from: float = Field(1.0, ge=0, le=1)
    """Least vote for the label of a selected sample, as a share of the largest (theta_s)."""
    neighbours: int = Field(200, ge=1, le=10**6)
    """Voters of a sample, itself among them; 1 to a million, all samples where there are fewer."""
    mix_alpha: float = Field(4.0, gt=0, le=1000)
    """Parameter of the Beta distribution of mixing shares, above 0 and at most 1,000."""
    consistency_weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the features' consistency (lambda), from 0 (SSR) to a million."""
    strong_view: ViewName = "weak-autoaugment"
    """View that the network learns from (docs/datasets.md)."""
    n_hidden: int = Field(256, ge=1, le=2**16)
    """Length between the layers of both heads, 1 to 65,536."""
    n_projected: int = Field(128, ge=1, le=2**16)
    """Length of what the heads give, 1 to 65,536."""
    projection_norm: Literal["batch", "layer"] = "batch"
    """Normalisation in the heads."""

    def without_effect(self) -> set[str]:
        """Without consistency there are no heads."""
        heads = {"n_hidden", "n_projected", "projection_norm"}
        return super().without_effect() | (set() if self.consistency_weight else heads)


class Ssr(OneNetwork):
    """One network, and what its features say about the labels."""

    Settings = SsrSettings
    VERSION: ClassVar[int] = 1
    settings: SsrSettings
    labels: Tensor
    selected: Tensor

    def __init__(self, settings: SsrSettings, problem: Problem) -> None:
        super().__init__(settings, problem)
        self.views = (settings.strong_view, settings.strong_view)
        if settings.consistency_weight:
            shape = settings.n_projected, settings.projection_norm, settings.n_hidden
            self.projection = projection_head(self.network.n_features, *shape, bias=True)
            self.prediction = projection_head(settings.n_projected, *shape, bias=True)
        # Of the epoch, for a run that is resumed within it.
        self.register_buffer("labels", torch.zeros(problem.n_train, dtype=torch.int64))
        self.register_buffer("selected", torch.zeros(problem.n_train, dtype=torch.bool))

    @classmethod
    def variant(cls, settings: RunSettings) -> str:
        """Name ssr+, or ssr without consistency."""
        assert isinstance(settings, SsrSettings)
        return "ssr+" if settings.consistency_weight else "ssr"

    def phase_start(self, context: Context) -> Phase:
        """Relabel and select; a step has selected samples and as many of all."""
        settings = self.settings
        samples = epoch_samples(settings, context.epoch, context.y_noisy).unique()
        if not context.resumed:
            self._look(context, samples.to(self.labels.device))
        chosen = samples[self.selected[samples].cpu()]
        seed = context.method_seed("balance", context.epoch)
        places = repeated_to_balance(self.labels[chosen].cpu().numpy(), seed)
        strong = (settings.strong_view,) if settings.consistency_weight else ()
        streams = {
            "selected": Stream(chosen[torch.from_numpy(places)]),
            "all": Stream(samples, views=("weak", *strong)),
        }
        size = settings.batch_size
        rounded = math.floor if settings.drop_last else math.ceil
        return Phase(streams, steps=rounded(len(samples) / size))

    def _look(self, context: Context, samples: Tensor) -> None:
        """One pass over the samples, and what follows from it."""
        passed = context.predict_train(views=("weak",), samples=samples, function=self._features)
        features, logits = passed.split([self.network.n_features, self.n_classes], dim=1)
        labels = relabelled(logits, context.y_noisy[samples], above=self.settings.relabel_above)

        def made() -> Tensor:
            k = min(self.settings.neighbours, len(samples))
            votes = balanced_votes(features, labels, self.n_classes, k=k)
            return agrees(votes, labels, share=self.settings.select_from)

        self.labels.copy_(context.y_noisy)
        self.labels[samples] = labels
        self.selected.zero_()
        self.selected[samples] = context.from_main(made, self.selected[samples])

    def _features(self, x: Tensor) -> Tensor:
        """Features and logits side by side."""
        features = self.network.features(x)
        return torch.cat([features, self.network.classify(features)], dim=1)

    def forward(self, batch: Batch) -> StepOutput:
        """Cross entropy of mixed samples, and consistency of features."""
        mixing = Mixing(batch.seed, self.settings.mix_alpha, batch, batch)
        targets = one_hot(self.labels[batch.index], self.n_classes).float()
        images, aims = mixing(*batch.views), mixing(targets, targets)
        logits = self.network(torch.cat(images))
        loss = losses.ce(logits, torch.cat(aims))
        scalars = {
            "selected_share": self.selected.double().mean(),
            "mixed_loss": loss.detach(),
        }
        weak, *strong = batch.parts["all"].views
        with torch.no_grad():
            features = self.network.features(weak)
            seen = self.network.classify(features)
        terms = {}
        for view in strong:
            consistency = self._consistency(self.network.features(view), features)
            terms["all"] = self.settings.consistency_weight * consistency
            scalars["consistency_loss"] = consistency.detach()
        return StepOutput(loss, {"all": seen}, scalars, terms=terms)

    def _consistency(self, strong: Tensor, weak: Tensor) -> Tensor:
        with torch.no_grad():
            target = self.projection(weak)
        return losses.negative_cosine(self.prediction(self.projection(strong)), target)

    def corrected_labels(self) -> Tensor:
        """Labels of this epoch."""
        return self.labels


def relabelled(logits: Tensor, y: Tensor, *, above: float) -> Tensor:
    """Predicted classes where they have more than a probability, else the given ones.

    Args:
        logits: [N, K].
        y: int64 [N], given labels.
        above: the probability (theta_r).

    Returns:
        int64 [N].
    """
    probability, predicted = logits.softmax(dim=1).max(dim=1)
    return torch.where(probability > above, predicted, y)


def balanced_votes(features: Tensor, labels: Tensor, n_classes: int, *, k: int) -> Tensor:
    """Votes of each sample's nearest samples by cosine, divided by how frequent a label is.

    Args:
        features: floating [N, D], finite.
        labels: int64 [N].
        n_classes: K.
        k: voters, the sample itself among them.

    Returns:
        float64 [N, K], rows summing to 1.
    """
    # At an infinite temperature all neighbours count alike.
    count = NeighbourVote(features, labels, n_classes, k=k, temperature=math.inf)
    votes = count(features).double()
    votes = votes / labels.bincount(minlength=n_classes).clamp(min=1)
    return votes / votes.sum(dim=1, keepdim=True)


def agrees(votes: Tensor, labels: Tensor, *, share: float) -> Tensor:
    """Whether labels have at least a share of the largest vote: bool [N].

    Args:
        votes: floating [N, K].
        labels: int64 [N].
        share: in [0, 1] (theta_s); 1 for a label that no other one beats.
    """
    return at_label(votes, labels) / votes.max(dim=1).values >= share


if __name__ == "__main__":
    run_script(Ssr)
