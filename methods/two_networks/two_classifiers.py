"""A network with two classifiers on its features, of which ProMix trains two."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from methods.losses.common import at_least_single
from methods.two_networks.priors import moved_prior
from pipeline.backbones import Backbone


class TwoClassifiers(nn.Module):
    """A network whose own classifier predicts, while a pseudo one may learn from guesses.

    Args:
        network: images -> logits.
        n_classes: K.
    """

    prior: Tensor
    """Running mean prediction [K] of the samples that are selected, even at first."""
    prior_of_others: Tensor
    """That of the samples that are not."""

    def __init__(self, network: Backbone, n_classes: int) -> None:
        super().__init__()
        self.network = network
        self.pseudo = nn.Linear(network.n_features, n_classes)
        for name in ("prior", "prior_of_others"):
            self.register_buffer(name, torch.full((n_classes,), 1 / n_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, K] by the network's own classifier."""
        logits: Tensor = self.network(images)
        return logits

    def both(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, K] by its own and by the pseudo classifier, in float32 or better."""
        features = self.network.features(images)
        own, pseudo = self.network.classify(features), self.pseudo(features)
        return at_least_single(own), at_least_single(pseudo)

    def move_priors(self, p: Tensor, selected: Tensor, momentum: float) -> None:
        """Move both priors by the predictions [B, K] of a step, of which some are selected."""
        self.prior = moved_prior(self.prior, p, selected, momentum=momentum)
        self.prior_of_others = moved_prior(self.prior_of_others, p, ~selected, momentum=momentum)
