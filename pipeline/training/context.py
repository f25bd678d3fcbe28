"""What a method may ask of the laboratory while it trains; undeclared knowledge raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass
from typing import Literal, TypeVar

from torch import Tensor

from pipeline.errors import LabError
from pipeline.identity import seed_stream

Knowledge = Literal[
    "noise_rate", "noise_recipe", "clean_validation", "clean_labels", "extra_features"
]
"""What a method may know beyond the noisy labels; undeclared access raises. A `noise_recipe` has
settings that were chosen by the kind or the rate of the noise."""

T = TypeVar("T")


def _of_one_process(make: Callable[[], Tensor], like: Tensor) -> Tensor:
    return make().to(like)


@dataclass
class Context:
    """Services for a method: labels, progress, random streams, an ordered prediction pass.

    Args:
        method: name, for errors.
        knows: knowledge that the method declares.
        y_noisy: int64 [n_train], given labels of the training samples, on the device.
        y_clean: int64 [n_train] or None where no clean labels exist; kept only as far as the
            method declares to know of them, and no attribute afterwards.
        n_classes: number of classes.
        n_epochs: length of the run in epochs.
        seed: root of the method's own random streams.
        predict_pass: computes predictions of training samples, see `predict_train`.
        share_pass: computes something once for all processes, see `from_main`.
        epoch: the current epoch, from 0.
        resumed: whether a resume entered the current epoch in its middle: what a method derived
            from the network at the start of the epoch is then in its buffers already. In
            `phase_start` the same of the phase.
        phase: name of the current phase, where the epoch has several.
        step: optimiser steps that lie behind, in all epochs and phases.
    """

    method: str
    knows: frozenset[Knowledge]
    y_noisy: Tensor
    y_clean: InitVar[Tensor | None]
    n_classes: int
    n_epochs: int
    seed: int
    predict_pass: Callable[..., Tensor]
    share_pass: Callable[[Callable[[], Tensor], Tensor], Tensor] = _of_one_process
    epoch: int = 0
    resumed: bool = False
    phase: str = ""
    step: int = 0

    def __post_init__(self, y_clean: Tensor | None) -> None:
        """Keep of the clean labels what the method declares, and nothing else."""
        self._clean_labels = y_clean if "clean_labels" in self.knows else None
        self._noise_rate: float | None = None
        if y_clean is not None and "noise_rate" in self.knows:
            self._noise_rate = float((y_clean != self.y_noisy).float().mean())

    @property
    def progress(self) -> float:
        """Fraction of the run that lies behind, in [0, 1): epoch / n_epochs."""
        return self.epoch / self.n_epochs

    @property
    def label_counts(self) -> Tensor:
        """Training samples per given label: int64 [K]."""
        return self.y_noisy.bincount(minlength=self.n_classes)

    def method_seed(self, *names: str | int) -> int:
        """Seed of a random stream of the method's own, by name."""
        return seed_stream(self.seed, "method", *names)

    def predict_train(
        self,
        augmented: bool = False,
        averaged: bool = False,
        *,
        samples: Tensor | None = None,
        function: Callable[..., Tensor] | None = None,
        views: tuple[str, ...] | None = None,
        training: bool = False,
    ) -> Tensor:
        """Class probabilities of training samples, in order: float32 [n_train, K].

        Args:
            augmented: of the weak view instead of the plain images.
            averaged: by the averaged weights; only where the setting `averaging` is on.
            samples: int64 [n], positions among the training samples; None for all.
            function: maps the views of a batch to [B, D], without gradient; None for the method's
                `predict`.
            views: of each sample, drawn for this epoch; None for the method's `predict_views`. One
                that is named twice is drawn twice.
            training: in training mode, in batches of 512; otherwise in evaluation mode.

        Returns:
            float32 [n, D], the same on all processes, which share the work.
        """
        return self.predict_pass(augmented, averaged, samples, function, views, training)

    def from_main(self, make: Callable[[], Tensor], like: Tensor) -> Tensor:
        """What one process makes, on all of them.

        Args:
            make: called on the main process only.
            like: a tensor of the shape and type to expect.

        Returns:
            The same on all processes.
        """
        return self.share_pass(make, like)

    def true_noise_rate(self) -> float:
        """Realised fraction of wrong training labels; only for methods that declare `noise_rate`.

        Returns:
            The rate in [0, 1].

        Raises:
            LabError: when the method does not declare it, or no clean labels exist.
        """
        return self._declared("noise_rate", self._noise_rate)

    def clean_labels(self) -> Tensor:
        """Clean training labels, int64 [n_train]; only for methods that declare `clean_labels`."""
        return self._declared("clean_labels", self._clean_labels)

    def _declared(self, knowledge: Knowledge, value: T | None) -> T:
        if knowledge not in self.knows:
            raise LabError(
                f"{self.method} asks for {knowledge} without declaring it",
                f"one of what it declares: {', '.join(sorted(self.knows)) or 'nothing'}",
                f'add "{knowledge}" to `knows` of the method: tables then mark it',
            )
        if value is None:
            raise LabError(
                f"{self.method} needs {knowledge}, but the labels have no clean counterpart",
                "a data set with clean labels",
                "--dataset cifar10, or a method that does not need them",
            )
        return value
