"""What a method may ask of the laboratory while it trains; undeclared knowledge raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pipeline.errors import LabError
from pipeline.identity import seed_stream
from pipeline.training.method import Knowledge


@dataclass
class Context:
    """Services for a method: labels, progress, random streams, an ordered prediction pass.

    Args:
        method: name, for errors.
        knows: knowledge that the method declares.
        y_noisy: int64 [n_train], given labels of the training samples, on the device.
        y_clean: int64 [n_train] or None where no clean labels exist.
        n_classes: number of classes.
        n_epochs: length of the run in epochs.
        seed: root seed of the run.
        predict_pass: computes predictions of all training samples, see `predict_train`.
        epoch: the current epoch, from 0.
    """

    method: str
    knows: frozenset[Knowledge]
    y_noisy: Tensor
    y_clean: Tensor | None
    n_classes: int
    n_epochs: int
    seed: int
    predict_pass: Callable[[bool, bool], Tensor]
    epoch: int = 0

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

    def predict_train(self, augmented: bool = False, averaged: bool = False) -> Tensor:
        """Class probabilities of all training samples, in order: float32 [n_train, K].

        Args:
            augmented: of the weak view, drawn for this epoch, instead of the plain images.
            averaged: by the averaged weights; only where the setting `averaging` is on.

        Returns:
            The same on all processes, which share the work.
        """
        return self.predict_pass(augmented, averaged)

    def true_noise_rate(self) -> float:
        """Realised fraction of wrong training labels; only for methods that declare `noise_rate`.

        Returns:
            The rate in [0, 1].

        Raises:
            LabError: when the method does not declare it, or no clean labels exist.
        """
        clean = self._clean("noise_rate")
        return float((clean != self.y_noisy).float().mean())

    def clean_labels(self) -> Tensor:
        """Clean training labels, int64 [n_train]; only for methods that declare `clean_labels`."""
        return self._clean("clean_labels")

    def _clean(self, knowledge: Knowledge) -> Tensor:
        if knowledge not in self.knows:
            raise LabError(
                f"{self.method} asks for {knowledge} without declaring it",
                f"declared: {', '.join(sorted(self.knows)) or 'nothing'}",
                f'add "{knowledge}" to `knows` of the method: tables then mark it',
            )
        if self.y_clean is None:
            raise LabError(
                f"{self.method} needs {knowledge}, but the labels have no clean counterpart",
                "a data set with clean labels",
            )
        return self.y_clean
