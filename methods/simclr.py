"""SimCLR: an encoder learned from images alone, by telling two views of an image from others.

    uv run accelerate launch methods/simclr.py --dataset cifar10 --noise clean --recipe paper

Chen, Kornblith, Norouzi, Hinton: A Simple Framework for Contrastive Learning of Visual
Representations (arXiv 2002.05709), as the public codes for CIFAR have it: two strong views of each
image, each through network and projection head by itself; the loss is NT-Xent over the global
batch, whose embeddings all processes join with their gradients.

The monitored figure is the accuracy of a weighted vote of nearest neighbours, votes
exp(cosine / temperature) of the k most similar training images by their features. So the
`test_accuracy` of a run is that accuracy. It uses the given labels; published figures use the true
ones: `--noise clean`. Training sees no labels.

Where the authors' code (RRR, main.py) differs: it keeps the epoch that is best on the test set,
here the last one counts; `--head-norm layer` replaces the batch norm of the head, which couples the
samples of a process, so that several processes compute what one does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, field_validator
from torch import Tensor
from torch.nn.functional import normalize

from methods import losses
from pipeline.backbones import make_backbone
from pipeline.backbones.heads import N_PROJECTED, projection_head
from pipeline.config import RunSettings
from pipeline.encoders.knn import NeighbourVote
from pipeline.encoders.start import load_into, network_state
from pipeline.errors import LabError
from pipeline.runs.script import run_script
from pipeline.training.context import Context
from pipeline.training.method import Batch, Method, Problem, StepOutput


class SimclrSettings(RunSettings):
    """Settings of contrastive pretraining."""

    drop_last: bool = True
    """Leave out the last batch of an epoch where it is smaller: its loss would mean another."""
    temperature: float = Field(0.5, gt=0)
    """Temperature of the loss and of the votes of neighbours."""
    n_projected: int = Field(N_PROJECTED, ge=1, le=2**16)
    """Length of the embeddings that the loss compares, 1 to 65,536."""
    head_norm: Literal["batch", "layer"] = "batch"
    """Normalisation in the projection head."""
    k: int = Field(200, ge=1, le=10**6)
    """Neighbours that vote, 1 to a million; all training images where there are fewer."""

    @field_validator("averaging")
    @classmethod
    def _no_average(cls, value: float | None) -> float | None:
        if value is not None:
            raise LabError(
                f"averaging {value:g}, but the neighbours' features are those of the plain weights",
                "null",
                "averaging: null",
            )
        return value


class Simclr(Method):
    """A network with a projection head, trained to recognise views of the same image."""

    Settings = SimclrSettings
    VERSION: ClassVar[int] = 1
    makes_encoder: ClassVar[bool] = True
    views = ("strong", "strong")

    def __init__(self, settings: SimclrSettings, problem: Problem) -> None:
        super().__init__()
        self.settings, self.n_classes = settings, problem.n_classes
        self.network = make_backbone(settings.backbone, 1, n_channels=problem.image_shape[2])
        load_into(self.network, problem.start, settings.backbone)
        for name, parameter in self.network.named_parameters():
            # Nothing is classified: a layer without gradient would hold up several processes.
            parameter.requires_grad_(not self.network.in_classifier(name))
        self.projection = projection_head(
            self.network.n_features, settings.n_projected, settings.head_norm
        )
        self.vote: NeighbourVote | None = None
        """Of the training images, by their features and given labels at the last epoch's end."""

    def encoder_state(self) -> dict[str, Tensor]:
        """Network and projection head."""
        state = network_state(self.network, self.projection)
        return {name: value for name, value in state.items() if not name.startswith("classifier.")}

    def forward(self, batch: Batch) -> StepOutput:
        """NT-Xent of the two views over the batch of all processes."""
        embeddings = [self.projection(self.network.features(view)) for view in batch.views]
        first, second = (batch.gather.rows(rows) for rows in embeddings)
        loss = losses.info_nce(first, second, temperature=self.settings.temperature)
        return StepOutput(loss.new_zeros(()), None, {}, coupled=loss)

    def epoch_end(self, context: Context) -> None:
        """Renew the features of the training images, on which predictions rest."""
        features = context.predict_train(function=self._features)
        self.remember({"features": features, "labels": context.y_noisy})

    def memory(self) -> dict[str, Tensor]:
        """Features and given labels of the training images."""
        return {} if self.vote is None else {"features": self.vote.bank, "labels": self.vote.labels}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Let these training images vote."""
        features, labels = memory["features"], memory["labels"]
        self.vote = NeighbourVote(
            features, labels, self.n_classes, k=min(self.settings.k, len(labels)),
            temperature=self.settings.temperature,
        )  # fmt: skip

    def predict(self, images: Tensor) -> Tensor:
        """Shares of the neighbours' votes; the same for all classes where there are no neighbours.

        That is before the first epoch ends, and once the run has diverged.
        """
        features = self._features(images)
        if self.vote is None or not features.isfinite().all():
            return images.new_full((len(images), self.n_classes), 1 / self.n_classes)
        votes = self.vote(features)
        return votes / votes.sum(dim=1, keepdim=True)

    def _features(self, images: Tensor) -> Tensor:
        return normalize(self.network.features(images).float(), dim=1)


if __name__ == "__main__":
    run_script(Simclr)
