"""The contract of a method: `forward(batch)`, `predict(images)` and optional hooks."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from pipeline.config import RunSettings
from pipeline.errors import LabError, suggest
from pipeline.files import methods_folder

if TYPE_CHECKING:
    from pipeline.training.context import Context

Knowledge = Literal["noise_rate", "clean_validation", "clean_labels", "extra_features"]
"""What a method may know beyond the noisy labels; undeclared access raises."""


@dataclass(frozen=True)
class Batch:
    """What one process sees of one step.

    Args:
        views: float32 [B, C, H, W] each, in the order of `Method.views`.
        y_noisy: int64 [B], the given labels.
        index: int64 [B], positions among the training samples, in [0, n_train).
    """

    views: tuple[Tensor, ...]
    y_noisy: Tensor
    index: Tensor

    @property
    def x(self) -> Tensor:
        """The first view."""
        return self.views[0]


class StepOutput(NamedTuple):
    """What a method returns for a batch.

    Args:
        loss: scalar, the mean over the batch.
        logits: [B, K] on the first view, from which training dynamics are recorded; None if the
            method predicts no classes while it trains.
        scalars: further named scalars, averaged over the epoch and stored.
    """

    loss: Tensor
    logits: Tensor | None
    scalars: dict[str, Tensor]


class Problem(NamedTuple):
    """What a method is built for: the sizes of the data."""

    n_classes: int
    n_train: int
    image_shape: tuple[int, int, int]
    """Height, width, channels."""


class Method(nn.Module):
    """A way of training under noisy labels.

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
    views: ClassVar[tuple[str, ...]] = ("weak",)
    """Views of each image that a batch holds."""

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

    def predict(self, images: Tensor) -> Tensor:
        """Class probabilities [B, K] of normalised images [B, C, H, W]; subclasses implement it."""
        raise TypeError(f"{type(self).__name__} lacks predict(images)")

    def parameter_groups(self) -> list[dict[str, object]]:
        """Parameter groups for the optimiser; a group may hold an `lr_factor` on the schedule."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def start(self, context: Context) -> None:
        """Called once before the first step of a run (again after a resume)."""

    def epoch_start(self, context: Context) -> None:
        """Called before each epoch (again when a resume enters the middle of one)."""

    def epoch_end(self, context: Context) -> None:
        """Called after the last step of each epoch, before evaluation."""


@cache
def load_method(name: str) -> type[Method]:
    """The method of `methods/NAME.py`.

    Args:
        name: file name without ending.

    Returns:
        The one Method subclass defined there.

    Raises:
        LabError: for a name without such a file.
    """
    known = [
        path.stem
        for path in methods_folder().glob("*.py")
        if path.stem not in {"__init__", "losses"}
    ]
    if name not in known:
        raise LabError(f"unknown method {name!r}", suggest(name, known))
    module = importlib.import_module(f"methods.{name}")
    found = [
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, Method)
        and member.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise LabError(
            f"methods/{name}.py defines {len(found)} methods", "exactly one subclass of Method"
        )
    return found[0]
