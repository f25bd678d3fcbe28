"""Softmax outputs of the training pass, kept for label noise that a trained network decides on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.files import replacing, results_folder
from pipeline.training.devices import Devices


def posterior_folder(key: str) -> Path:
    """Where the softmax outputs of a run lie."""
    return results_folder() / "posteriors" / key


class Posterior:
    """Softmax outputs of every training sample: of the last epoch, and their mean over epochs.

    They are those of the training pass: on augmented images, before that step's update. The last
    epoch's are the posterior of PMD noise (Zhang et al. 2021); their mean takes the place of the
    average that Chen et al. (2021) draw from separate passes in evaluation mode.

    Args:
        n: number of training samples.
        n_classes: K.
        devices: for exact sums over processes.
    """

    def __init__(self, n: int, n_classes: int, devices: Devices) -> None:
        self._devices = devices
        # Of this process in the current epoch, of all in the last one, and the sum over epochs.
        self._now, self._last, self._sum = torch.zeros(3, n, n_classes, device=devices.device)
        self._epochs = 0

    @torch.no_grad()
    def record(self, index: Tensor, logits: Tensor) -> None:
        """Take in the logits [B, K] of the samples at `index` [B]."""
        self._now[index] = logits.detach().float().softmax(dim=1)

    def close_epoch(self) -> None:
        """Join the processes' parts of the epoch."""
        self._last = self._devices.sum(self._now)
        self._sum = self._sum + self._last
        self._now = torch.zeros_like(self._now)
        self._epochs += 1

    def save(self, key: str) -> None:
        """Write last.npy and mean.npy, float64 [n, K] with rows that sum to one."""
        for name, values in (("last", self._last), ("mean", self._sum / self._epochs)):
            exact = values.cpu().numpy().astype(np.float64)
            with (
                replacing(posterior_folder(key) / f"{name}.npy") as temporary,
                temporary.open("wb") as file,
            ):
                np.save(file, exact / exact.sum(axis=1, keepdims=True))

    def state(self) -> dict[str, Tensor | int]:
        """Everything needed to go on in the middle of an epoch."""
        return {
            "now": self._devices.sum(self._now),
            "last": self._last,
            "sum": self._sum,
            "epochs": self._epochs,
        }

    def load_state(self, state: dict[str, Tensor | int]) -> None:
        """Go on from `state`; the joined part of the epoch is kept by the main process."""
        for name, value in state.items():
            setattr(self, f"_{name}", value)
        if not self._devices.is_main:
            self._now = torch.zeros_like(self._now)
