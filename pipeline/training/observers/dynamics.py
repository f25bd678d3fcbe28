"""What the predictions of each training sample did over the epochs, as numbers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.training.observers.sightings import Sighted

_NEVER = -1

LOSS_MEMORY = 0.9
"""Share of the average so far in the next average of a sample's losses; the first is the first
loss."""


class _Predicted(NamedTuple):
    """What an epoch predicts of all samples; of those it did not see it says nothing."""

    seen: Tensor
    prediction: Tensor
    """-1 where not seen."""
    loss: Tensor
    margin: Tensor
    probability: Tensor
    """Of the given label, float64."""


class Dynamics:
    """What each training sample's predictions did over the epochs.

    Predictions are those of the training pass: on augmented images, before that step's update. Each
    sample counts once per epoch in which it was seen, by its last sighting there: of several
    networks that train in phases, the last one to see it speaks, or all of them where the method
    hands over joint logits.

    All processes take in the same, so that no sum depends on their number.

    Args:
        y_noisy: int64 [N], given labels.
        y_clean: int64 [N] or None where unknown.
    """

    def __init__(self, y_noisy: Tensor, y_clean: Tensor | None) -> None:
        self._y_noisy, self._y_clean = y_noisy, y_clean
        n, device = len(y_noisy), y_noisy.device
        self._totals = torch.zeros(3, n, device=device)  # loss, margin, epochs seen
        self._last = torch.zeros(3, n, device=device)  # prediction + 1, loss, average loss
        self._fitted = torch.zeros(n, dtype=torch.bool, device=device)
        self._forgetting = torch.zeros(n, dtype=torch.int16, device=device)
        self._first_fitted = torch.full((n,), _NEVER, dtype=torch.int16, device=device)
        self._counts = torch.zeros(2, n, dtype=torch.int32, device=device)  # wrong, changes
        # Of the probability of the given label: mean, and sum of squared deviations from it.
        self._probability = torch.zeros(2, n, dtype=torch.float64, device=device)

    @torch.no_grad()
    def close_epoch(self, epoch: int, sighted: Sighted) -> dict[str, float | None]:
        """Update the totals and measure the epoch.

        Args:
            epoch: from 0.
            sighted: what it showed.

        Returns:
            train_accuracy (share predicted as the given label) and, of the samples whose labels
            are known to be wrong or right, memorised (wrong ones predicted as given), corrected
            (wrong ones predicted as true) and clean_fitted (right ones predicted so), all in
            [0, 1]; prediction_changes, the number of samples predicted otherwise than in the last
            epoch that saw them. None where unknown, or where there are no such samples.
        """
        now = self._predicted(sighted)
        seen, before = now.seen, self._last[0].long() - 1
        compared = seen & (before >= 0)
        changed = compared & (now.prediction != before)
        fitted = now.prediction == self._y_noisy
        self._counts += torch.stack([seen & ~fitted, changed])
        self._add(now)
        self._forgetting += (seen & self._fitted & ~fitted).to(torch.int16)
        self._first_fitted[seen & fitted & (self._first_fitted == _NEVER)] = epoch
        self._fitted = torch.where(seen, fitted, self._fitted)
        return self._measures(now, compared, changed)

    def _predicted(self, sighted: Sighted) -> _Predicted:
        logits, seen = sighted
        log_p, label = logits.log_softmax(dim=1), self._y_noisy[:, None]
        own, prediction = log_p.gather(1, label)[:, 0], log_p.argmax(dim=1)
        margin = own - log_p.scatter_(1, label, -torch.inf).amax(dim=1)
        return _Predicted(
            seen, torch.where(seen, prediction, _NEVER), -own, margin, own.double().exp()
        )

    def _add(self, now: _Predicted) -> None:
        """Add an epoch to the sums and averages over epochs."""
        seen, first = now.seen, self._totals[2] == 0
        added = torch.stack([now.loss, now.margin, torch.ones_like(now.loss)])
        self._totals += torch.where(seen, added, 0.0)
        averaged = LOSS_MEMORY * self._last[2] + (1 - LOSS_MEMORY) * now.loss
        latest = [now.prediction.float() + 1, now.loss, torch.where(first, now.loss, averaged)]
        self._last = torch.where(seen, torch.stack(latest), self._last)
        mean, squares = self._probability
        deviation = torch.where(seen, now.probability - mean, 0.0)
        mean += deviation / self._totals[2].clamp(min=1)
        squares += torch.where(seen, deviation * (now.probability - mean), 0.0)

    def _measures(
        self, now: _Predicted, compared: Tensor, changed: Tensor
    ) -> dict[str, float | None]:
        """Counts of an epoch and shares of its samples, of which the host learns all at once."""
        given, nobody = now.prediction == self._y_noisy, torch.zeros_like(now.seen)
        right = wrong = true = nobody
        if self._y_clean is not None:
            wrong, true = self._y_noisy != self._y_clean, now.prediction == self._y_clean
            right = ~wrong
        shares = {
            "train_accuracy": (given, now.seen),
            "memorised": (given, wrong),
            "corrected": (true, wrong),
            "clean_fitted": (given, right),
        }
        counted = [(hit & among & now.seen, among & now.seen) for hit, among in shares.values()]
        masks = torch.stack([mask for pair in [(changed, compared), *counted] for mask in pair])
        (n_changed, n_compared), *rest = masks.sum(dim=1).view(-1, 2).tolist()
        measures: dict[str, float | None] = {
            name: hits / n if n else None for name, (hits, n) in zip(shares, rest, strict=True)
        }
        return measures | {"prediction_changes": n_changed if n_compared else None}

    def samples(self) -> dict[str, Tensor]:
        """Per-sample statistics, each [N].

        Returns:
            prediction (last epoch, -1 never seen), mean_loss (nats, against the given label),
            last_loss, average_loss (moving, see `LOSS_MEMORY`), mean_margin (logit of the given
            label less the largest other one: the area under the margin of Pleiss et al. 2020),
            forgetting (times fitted and then not), first_fitted (epoch, -1 never), seen and
            wrong_events (epochs that saw it, and of these those that predicted another class than
            the given label), prediction_changes (epochs that predicted another class than the last
            one before that saw it), mean_probability and std_probability (of the given label over
            the epochs that saw it, divided by their number). average_loss and the last two are NaN
            where no epoch saw the sample.
        """
        n_seen = self._totals[2].clamp(min=1)
        never = self._totals[2] == 0
        mean, squares = self._probability
        known = {
            "average_loss": self._last[2],
            "mean_probability": mean,
            "std_probability": (squares / n_seen).clamp(min=0).sqrt(),
        }
        return {
            "prediction": self._last[0].long() - 1,
            "mean_loss": self._totals[0] / n_seen,
            "last_loss": self._last[1],
            "mean_margin": self._totals[1] / n_seen,
            "forgetting": self._forgetting,
            "first_fitted": self._first_fitted,
            "seen": self._totals[2].int(),
            "wrong_events": self._counts[0],
            "prediction_changes": self._counts[1],
            **{
                name: values.float().masked_fill(never, torch.nan) for name, values in known.items()
            },
        }

    def state(self) -> dict[str, Tensor]:
        """What is known of the finished epochs."""
        return {
            "totals": self._totals,
            "last": self._last,
            "fitted": self._fitted,
            "forgetting": self._forgetting,
            "first_fitted": self._first_fitted,
            "counts": self._counts,
            "probability": self._probability,
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from `state`."""
        for name, own in self.state().items():
            own.copy_(state[name])
