"""Softmax outputs of every training sample: their mean over the epochs, and the last ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.storage.belongings import posterior_folder
from pipeline.storage.places import artefact_place
from pipeline.training.observers.sightings import Sighted


def posterior_address(key: str) -> str:
    """Folder or address below which the softmax outputs of a run lie."""
    return artefact_place().uri(posterior_folder(key))


def has_posterior(key: str) -> bool:
    """Whether the softmax outputs of a run are there."""
    return artefact_place().head(_posterior_name(key, "mean")) is not None


def _posterior_name(key: str, name: str) -> str:
    return f"{posterior_folder(key)}/{name}.npy"


class Posterior:
    """Softmax outputs of every training sample: their mean over the epochs, on request the last.

    They are those of the training pass: on augmented images, before that step's update. The last
    ones are the posterior of PMD noise (Zhang et al. 2021); their mean replaces the average that
    Chen et al. (2021) draw from separate passes in evaluation mode.

    Each sample counts once per epoch, as in `Dynamics`. Where an epoch leaves samples out, the last
    ones are those of the last epoch that saw the sample, and the mean is over the epochs that saw
    it.

    Args:
        n: number of training samples.
        n_classes: K.
        device: of the logits.
        keeps_last: whether the last ones are kept, too.
    """

    def __init__(self, n: int, n_classes: int, device: torch.device, keeps_last: bool) -> None:
        self._sum = torch.zeros(n, n_classes, device=device)
        self._epochs = torch.zeros(n, 1, dtype=torch.int32, device=device)
        self._last = torch.zeros_like(self._sum) if keeps_last else None

    @property
    def keeps_last(self) -> bool:
        """Whether `save` may be called."""
        return self._last is not None

    @torch.no_grad()
    def close_epoch(self, sighted: Sighted) -> None:
        """Take in what an epoch showed."""
        p, seen = sighted.logits.softmax(dim=1), sighted.seen[:, None]
        if self._last is not None:
            self._last = torch.where(seen, p, self._last)
        self._sum += p.mul_(seen)
        self._epochs += seen

    def mean(self) -> Tensor:
        """Mean over the epochs that saw each sample, float32 [n, K]; NaN where none did."""
        return self._sum / self._epochs

    def save(self, key: str) -> None:
        """Write last.npy and mean.npy, float64 [n, K] with rows that sum to one.

        A sample that no epoch saw has 1 / K for every class: nothing is known of it.
        """
        for name, values in {"last": self._last, "mean": self.mean()}.items():
            if values is None:
                raise ValueError("the last softmax outputs were not kept")
            known = values.masked_fill(self._epochs == 0, 1.0)
            exact = known.cpu().numpy().astype(np.float64)
            with artefact_place().writing(_posterior_name(key, name)) as file:
                np.save(file, exact / exact.sum(axis=1, keepdims=True))

    def state(self) -> dict[str, Tensor]:
        """What is known of the finished epochs."""
        last = {} if self._last is None else {"last_p": self._last}
        return {"sum_p": self._sum, "epochs": self._epochs, **last}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from `state`."""
        for name, own in self.state().items():
            own.copy_(state[name])
