"""The contract of a method: `forward(batch)`, `predict(images)` and optional hooks."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from pipeline.config import RunSettings
from pipeline.encoders.encoder import Encoder
from pipeline.training.context import Context, Knowledge
from pipeline.training.gather import ALONE, Gather


class Partners(NamedTuple):
    """Images and labels drawn independently of a batch, and of each other.

    Args:
        views: float32 [B, C, H, W] each, in the order of `Method.partner_views`.
        y_noisy: int64 [B], given labels; of other samples than the images.
    """

    views: tuple[Tensor, ...]
    y_noisy: Tensor


@dataclass(frozen=True)
class Batch:
    """What one process sees of one step.

    Args:
        views: float32 [B, C, H, W] each, in the order of `Method.views`.
        y_noisy: int64 [B], the given labels.
        index: int64 [B], positions among the training samples, in [0, n_train).
        gather: joins what the processes have of this step.
        partners: where the method names `partner_views`.
    """

    views: tuple[Tensor, ...]
    y_noisy: Tensor
    index: Tensor
    gather: Gather = ALONE
    partners: Partners | None = None

    @property
    def x(self) -> Tensor:
        """The first view."""
        return self.views[0]


class StepOutput(NamedTuple):
    """What a method returns for a batch.

    Args:
        loss: scalar, the mean over the batch of this process.
        logits: [B, K] on the first view, from which training dynamics are recorded; None if the
            method predicts no classes while it trains.
        scalars: further named scalars, averaged over the epoch and stored.
        coupled: scalar to be added to the loss, of the batch of all processes: a function of what
            `batch.gather` joined, the same on each of them.
    """

    loss: Tensor
    logits: Tensor | None
    scalars: dict[str, Tensor]
    coupled: Tensor | None = None

    @property
    def total(self) -> Tensor:
        """The loss with the coupled term, detached."""
        loss = self.loss.detach()
        return loss if self.coupled is None else loss + self.coupled.detach()


class Problem(NamedTuple):
    """What a method is built for: the sizes of the data, and the weights it starts from."""

    n_classes: int
    n_train: int
    image_shape: tuple[int, int, int]
    """Height, width, channels."""
    mean: tuple[float, ...] = (0.0,)
    """Per channel, subtracted from pixels / 255 in all views."""
    std: tuple[float, ...] = (1.0,)
    """Per channel, divided by."""
    start: Encoder | None = None
    """Encoder that `start_from` names."""
    encoder: Encoder | None = None
    """Frozen encoder that the setting `encoder` of a method names; the field is marked NOT_IN_KEY,
    because what the name stands for is in the key."""


class Method(nn.Module):
    """A way of training under noisy labels.

    To add one, write `methods/NAME.py` with one subclass and `run_script(Subclass)` under
    `if __name__ == "__main__"`. Nothing else is needed: without a file of recipes it runs on the
    defaults of its settings, and the contract tests find it by themselves.

    A subclass in `methods/NAME.py` declares its settings and version, builds its networks in
    `__init__(settings, problem)` and implements `forward` and `predict`. State per training sample
    is registered as buffers `[n_train, ...]`, so that checkpoints hold it.
    """

    Settings: ClassVar[type[RunSettings]] = RunSettings
    """Settings class; its fields become the flags of the script."""
    VERSION: ClassVar[int] = 1
    """Part of every key: raised when the same settings give other numbers."""
    knows: ClassVar[frozenset[Knowledge]] = frozenset()
    """Knowledge beyond the noisy labels that the method uses."""
    makes_encoder: ClassVar[bool] = False
    """Whether the purpose of the method is an encoder: its weights are always kept, and its
    features are used at unit length."""
    views: tuple[str, ...] = ("weak",)
    """Views of each image that a batch holds: plain, weak, strong or embedding. Instances may
    override this according to their settings."""
    partner_views: tuple[str, ...] = ()
    """Views of further images that come with a batch, see `Partners`."""
    predict_views: tuple[str, ...] = ("plain",)
    """Views that `predict` takes: plain or embedding. It runs in the precision of the run."""

    @classmethod
    def variant(cls, settings: RunSettings) -> str:
        """Short name of the method under these settings, for tables (such as the loss)."""
        del settings
        return cls.name()

    @classmethod
    def name(cls) -> str:
        """File name of the method without ending."""
        return inspect.getfile(cls).rsplit("/", 1)[-1].removesuffix(".py")

    def forward(self, batch: Batch) -> StepOutput:
        """Loss of a batch; subclasses implement it."""
        raise TypeError(f"{type(self).__name__} lacks forward(batch)")

    # Typed so that a subclass may name the views it takes.
    def predict(self, *views: Any, **_: Any) -> Tensor:
        """Class probabilities [B, K] from the `predict_views`; subclasses implement it."""
        raise TypeError(f"{type(self).__name__} lacks predict(images)")

    def encoder_state(self) -> dict[str, Tensor] | None:
        """Weights that an encoder made from this run consists of; None if it makes none."""
        return None

    def idle_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters to be trained that take no part in the loss of the current epoch."""
        return ()

    def parameter_groups(self) -> list[dict[str, object]]:
        """Parameter groups for the optimiser; a group may hold an `lr_factor` on the schedule."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def start(self, context: Context) -> None:
        """Called once before the first step of a run (again after a resume)."""

    def epoch_start(self, context: Context) -> None:
        """Called before each epoch (again when a resume enters the middle of one)."""

    def step_end(self, context: Context) -> None:
        """Called after each optimiser step."""

    def epoch_end(self, context: Context) -> None:
        """Called after the last step of each epoch, before evaluation."""

    def corrected_labels(self) -> Tensor | None:
        """Labels int64 [n_train] that the method itself settled on; None if it does not."""
        return None
