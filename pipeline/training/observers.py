"""What the training pass itself tells: memorisation, per-sample dynamics and softmax outputs.

No extra forward pass: observers read the logits of each step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.storage.places import artefact_place
from pipeline.training.processes import Processes

_NEVER = -1
_MOST_PARTS = 16
_POSTERIORS = "posteriors"


class Sightings:
    """When each training sample was last seen in the current epoch, and by which process.

    An epoch with streams or phases may see a sample several times, on several processes: what is
    told of it is what the last sighting told, the same on any number of processes.

    Args:
        n: number of training samples.
        processes: of the run.
    """

    def __init__(self, n: int, processes: Processes) -> None:
        self._processes = processes
        # Zero is never. float32, as all that processes add up: exact for a million steps an epoch.
        self.stamps = torch.zeros(n, device=processes.device)

    def note(self, index: Tensor, step: int, part: int) -> None:
        """Note that samples were seen in a step of the epoch, in the given part of its batch."""
        self.stamps[index] = float(step * _MOST_PARTS + part + 1)

    def joined(self, values: Tensor) -> Tensor:
        """What the process that saw a sample last has of it, [N, ...]; zeros where none did."""
        if self._processes.n_processes == 1:
            return values
        mine = self._processes.of_all(self.stamps).argmax(dim=0) == self._processes.rank
        kept = torch.where(mine.view(-1, *[1] * (values.ndim - 1)), values, 0.0)
        return self._processes.sum(kept.contiguous())

    def state(self) -> Tensor:
        """When each sample was last seen by any process."""
        return self._processes.of_all(self.stamps).amax(dim=0)

    def load_state(self, stamps: Tensor) -> None:
        """Go on from `state`, with which the main process goes on alone."""
        self.stamps.copy_(stamps * self._processes.is_main)


class Dynamics:
    """What each training sample's predictions did over the epochs.

    Predictions are those of the training pass: on augmented images, before that step's update. Each
    sample counts once per epoch in which it was seen, by its last sighting there: of several
    networks that train in phases, the last one to see it speaks, or all of them where the method
    hands over joint logits.

    Args:
        y_noisy: int64 [N], given labels.
        y_clean: int64 [N] or None where unknown.
        processes: for exact sums over processes.
    """

    def __init__(self, y_noisy: Tensor, y_clean: Tensor | None, processes: Processes) -> None:
        self._y_noisy, self._y_clean, self._processes = y_noisy, y_clean, processes
        n, device = len(y_noisy), y_noisy.device
        # Of the current epoch, zeros where this process has not seen a sample.
        self._now = torch.zeros(4, n, device=device)  # prediction + 1, loss, margin, seen
        self._sightings = Sightings(n, processes)
        self._totals = torch.zeros(3, n, device=device)  # loss, margin, epochs seen
        self._last = torch.zeros(2, n, device=device)  # prediction + 1, loss
        self._fitted = torch.zeros(n, dtype=torch.bool, device=device)
        self._forgetting = torch.zeros(n, dtype=torch.int16, device=device)
        self._first_fitted = torch.full((n,), _NEVER, dtype=torch.int16, device=device)

    @torch.no_grad()
    def record(self, index: Tensor, logits: Tensor, step: int = 0, part: int = 0) -> None:
        """Take in one batch, or one part of it.

        Args:
            index: int64 [B], positions among the training samples.
            logits: [B, K].
            step: of the epoch, over all its phases.
            part: number of the part of the step's batch.
        """
        self._sightings.note(index, step, part)
        log_p = logits.detach().float().log_softmax(dim=1)
        label = self._y_noisy[index][:, None]
        own = log_p.gather(1, label)
        others = log_p.scatter(1, label, -torch.inf)
        margin = own - others.amax(dim=1, keepdim=True)
        prediction = log_p.argmax(dim=1).float() + 1
        self._now[:, index] = torch.stack(
            [prediction, -own[:, 0], margin[:, 0], torch.ones_like(prediction)]
        )

    def close_epoch(self, epoch: int) -> dict[str, float | None]:
        """Join the processes' parts, update the totals and measure the epoch.

        Args:
            epoch: from 0.

        Returns:
            train_accuracy (share predicted as the given label) and, of the samples whose labels
            are known to be wrong or right, memorised (wrong ones predicted as given), corrected
            (wrong ones predicted as true) and clean_fitted (right ones predicted so). None where
            unknown, or where there are no such samples. All in [0, 1].
        """
        now = self._joined()
        seen = now[3] > 0
        self._totals += torch.stack([now[1], now[2], seen.float()])
        self._last = torch.where(seen, now[:2], self._last)
        prediction = now[0].long() - 1
        fitted = prediction == self._y_noisy
        self._forgetting += (seen & self._fitted & ~fitted).to(torch.int16)
        newly = seen & fitted & (self._first_fitted == _NEVER)
        self._first_fitted[newly] = epoch
        self._fitted = torch.where(seen, fitted, self._fitted)
        self._now.zero_()
        self._sightings.stamps.zero_()
        return self._measures(prediction, seen)

    def _joined(self) -> Tensor:
        return self._sightings.joined(self._now.T).T

    def _measures(self, prediction: Tensor, seen: Tensor) -> dict[str, float | None]:
        def share(hit: Tensor, among: Tensor) -> float | None:
            among = among & seen
            n = int(among.sum())
            return float((hit & among).sum()) / n if n else None

        given = prediction == self._y_noisy
        measures = {"train_accuracy": share(given, seen)}
        if self._y_clean is None or not bool(seen.any()):
            return measures | dict.fromkeys(("memorised", "corrected", "clean_fitted"))
        wrong = self._y_noisy != self._y_clean
        return measures | {
            "memorised": share(given, wrong),
            "corrected": share(prediction == self._y_clean, wrong),
            "clean_fitted": share(given, ~wrong),
        }

    def samples(self) -> dict[str, Tensor]:
        """Per-sample statistics, each [N] on the CPU.

        Returns:
            prediction (last epoch, -1 never seen), mean_loss (nats, against the given label),
            last_loss, mean_margin (logit of the given label less the largest other one: the
            area under the margin of Pleiss et al. 2020),
            forgetting (times fitted and then not), first_fitted (epoch, -1 never).
        """
        n_seen = self._totals[2].clamp(min=1)
        columns = {
            "prediction": self._last[0].long() - 1,
            "mean_loss": self._totals[0] / n_seen,
            "last_loss": self._last[1],
            "mean_margin": self._totals[1] / n_seen,
            "forgetting": self._forgetting,
            "first_fitted": self._first_fitted,
        }
        return {name: column.cpu() for name, column in columns.items()}

    def state(self) -> dict[str, Any]:
        """Everything needed to go on in the middle of an epoch, parts of all processes joined."""
        return {
            "now": self._joined(),
            "sightings": self._sightings.state(),
            "totals": self._totals,
            "last": self._last,
            "fitted": self._fitted,
            "forgetting": self._forgetting,
            "first_fitted": self._first_fitted,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`; the joined part of the epoch is kept by the main process."""
        for name in ("now", "totals", "last", "fitted", "forgetting", "first_fitted"):
            getattr(self, f"_{name}").copy_(state[name])
        self._sightings.load_state(state["sightings"])
        if not self._processes.is_main:
            self._now.zero_()


def posterior_address(key: str) -> str:
    """Folder or address below which the softmax outputs of a run lie."""
    return artefact_place().uri(f"{_POSTERIORS}/{key}")


def has_posterior(key: str) -> bool:
    """Whether the softmax outputs of a run are there."""
    return artefact_place().head(_posterior_name(key, "mean")) is not None


def _posterior_name(key: str, name: str) -> str:
    return f"{_POSTERIORS}/{key}/{name}.npy"


class Posterior:
    """Softmax outputs of every training sample: the last ones, and their mean over the epochs.

    They are those of the training pass: on augmented images, before that step's update. The last
    ones are the posterior of PMD noise (Zhang et al. 2021); their mean replaces the average that
    Chen et al. (2021) draw from separate passes in evaluation mode.

    Each sample counts once per epoch, as in `Dynamics`. Where an epoch leaves samples out, the last
    ones are those of the last epoch that saw the sample, and the mean is over the epochs that saw
    it. A sample that no epoch saw has 1 / K for every class: nothing is known of it.

    Args:
        n: number of training samples.
        n_classes: K.
        processes: for exact sums over processes.
    """

    def __init__(self, n: int, n_classes: int, processes: Processes) -> None:
        self._processes = processes
        # Of this process in the current epoch, the last ones of all, and their sum over epochs.
        self._now, self._last, self._sum = torch.zeros(3, n, n_classes, device=processes.device)
        self._sightings = Sightings(n, processes)
        self._epochs = torch.zeros(n, 1, dtype=torch.int32, device=processes.device)

    @torch.no_grad()
    def record(self, index: Tensor, logits: Tensor, step: int = 0, part: int = 0) -> None:
        """Take in the logits [B, K] of the samples at `index` [B]; see `Dynamics.record`."""
        self._sightings.note(index, step, part)
        self._now[index] = logits.detach().float().softmax(dim=1)

    def close_epoch(self) -> None:
        """Join the processes' parts of the epoch."""
        now = self._sightings.joined(self._now)
        # Probabilities sum to one: a row of zeros was not seen.
        seen = now.sum(dim=1, keepdim=True) > 0
        self._last = torch.where(seen, now, self._last)
        self._sum = self._sum + now
        self._now.zero_()
        self._sightings.stamps.zero_()
        self._epochs += seen

    def save(self, key: str) -> None:
        """Write last.npy and mean.npy, float64 [n, K] with rows that sum to one."""
        never = self._epochs == 0
        mean = self._sum / self._epochs.clamp(min=1)
        for name, values in (("last", self._last), ("mean", mean)):
            exact = values.masked_fill(never, 1.0).cpu().numpy().astype(np.float64)
            with artefact_place().writing(_posterior_name(key, name)) as file:
                np.save(file, exact / exact.sum(axis=1, keepdims=True))

    def state(self) -> dict[str, Tensor]:
        """Everything needed to go on in the middle of an epoch."""
        return {
            "now": self._sightings.joined(self._now),
            "sightings": self._sightings.state(),
            "last": self._last,
            "sum": self._sum,
            "epochs": self._epochs,
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from `state`; the joined part of the epoch is kept by the main process."""
        for name in ("now", "last", "sum", "epochs"):
            getattr(self, f"_{name}").copy_(state[name])
        self._sightings.load_state(state["sightings"])
        if not self._processes.is_main:
            self._now.zero_()
