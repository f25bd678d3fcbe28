"""What frozen features are worth by themselves: a linear classifier, or a vote of neighbours.

    uv run accelerate launch methods/feature_classifier.py --classifier knn

Baselines of methods that use pretrained features, as runs with rows of their own. `linear` is one
layer on features scaled to unit variance, trained by cross entropy on the given labels. `knn` gives
each class the votes of the k nearest training images, one each; of classes with as many votes the
lowest number wins. All it learns is how sure a share of votes is: p = softmax(s share) with s > 0,
which changes no prediction. While training, a sample has no vote of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.config import NOT_IN_KEY, RunSettings
from pipeline.diffusion.retrieval import label_shares
from pipeline.encoders.neighbours import NeighbourSearch
from pipeline.errors import LabError
from pipeline.runs.script import run_script
from pipeline.training.context import Context
from pipeline.training.method import Batch, Method, Problem, StepOutput


class FeatureClassifierSettings(RunSettings):
    """Settings of a classifier of frozen features; what makes networks and views is not used."""

    backbone: str = "small-cnn"
    """Not used: there is no network beside the encoder."""
    crop_padding: int = Field(0, ge=0, le=256)
    """Not used: features are those of plain images."""
    flip: bool = False
    """Not used: features are those of plain images."""
    encoder: str = Field("simclr-digits", json_schema_extra=NOT_IN_KEY)
    """Encoder (params.yaml: encoders) of the features."""
    embedding_dtype: Literal["float32", "float16"] = "float32"
    """Precision in which features are cached."""
    classifier: Literal["linear", "knn"] = "linear"
    """Linear layer or vote of neighbours."""
    k: int = Field(10, ge=1, le=10_000)
    """Neighbours that vote, 1 to 10,000."""

    def without_effect(self) -> set[str]:
        """No network and no augmented image is used; those defaults are what keys have held."""
        unused = {"backbone", "flip", "crop_padding", "rotation", "strong_scale", "normalisation"}
        return super().without_effect() | unused | ({"k"} if self.classifier == "linear" else set())


class FeatureClassifier(Method):
    """A classifier on the embeddings of an encoder."""

    Settings = FeatureClassifierSettings
    VERSION: ClassVar[int] = 1
    views = ("embedding",)
    predict_views = ("embedding",)

    _mean: Tensor
    _std: Tensor

    def __init__(self, settings: FeatureClassifierSettings, problem: Problem) -> None:
        super().__init__()
        if problem.encoder is None:
            raise LabError(
                "feature_classifier without an encoder",
                "the name of an entry of the encoders block of params.yaml",
                "--encoder NAME",
            )
        self.settings, self.n_classes = settings, problem.n_classes
        n_features = problem.encoder.card.n_features
        if settings.classifier == "linear":
            self.linear = nn.Linear(n_features, problem.n_classes)
        else:
            self.log_scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("_mean", torch.zeros(n_features))
        self.register_buffer("_std", torch.ones(n_features))

    @classmethod
    def variant(cls, settings: RunSettings) -> str:
        """The classifier."""
        assert isinstance(settings, FeatureClassifierSettings)
        return settings.classifier

    def start(self, context: Context) -> None:
        """Measure the features of the training samples, or keep them for the votes."""
        features = context.predict_train(views=("embedding",), function=lambda z: z)
        if self.settings.classifier == "linear":
            self._mean.copy_(features.mean(dim=0))
            self._std.copy_(features.std(dim=0, correction=0).clamp(min=1e-6))
        else:
            self.remember({"features": features, "labels": context.y_noisy})

    def memory(self) -> dict[str, Tensor]:
        """Features and given labels of the training samples, where they vote."""
        return {} if self.settings.classifier == "linear" else self._memory

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Let these training samples vote."""
        self._memory, self._y_noisy = dict(memory), memory["labels"]
        # One more than vote: while training, the sample itself is among them.
        self._search = NeighbourSearch(memory["features"], self.settings.k + 1)

    def forward(self, batch: Batch) -> StepOutput:
        """Cross entropy and logits of a batch."""
        logits = self._logits(batch.x, batch.index)
        return StepOutput(cross_entropy(logits, batch.y_noisy), logits, {})

    def predict(self, features: Tensor) -> Tensor:
        """Softmax of the classifier."""
        return self._logits(features).softmax(dim=1)

    def _logits(self, features: Tensor, own: Tensor | None = None) -> Tensor:
        """Logits [B, K] of features; `own` are their rows among the training samples, if any."""
        z = features.float()
        if self.settings.classifier == "linear":
            return self.linear((z - self._mean) / self._std)
        k = self.settings.k
        rows = self._search.nearest(z).row
        if own is None:
            rows = rows[:, :k]
        else:
            # Without its own row; where equal ones crowd it out, without the farthest.
            is_own = rows == own[:, None]
            is_own[:, -1] |= ~is_own.any(dim=1)
            rows = rows.gather(1, is_own.int().argsort(dim=1, stable=True)[:, :k])
        return self.log_scale.exp() * label_shares(self._y_noisy[rows], self.n_classes)


if __name__ == "__main__":
    run_script(FeatureClassifier)
