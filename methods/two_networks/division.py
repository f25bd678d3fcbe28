"""The division of DivideMix: how probably each sample's label is right, by the losses of a network.

After Li, Socher, Hoi (ICLR 2020): a mixture of two Gaussians is fitted to the losses of all
samples, moved to [0, 1]; w is the posterior of the component with the smaller mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from methods.losses.robust import ce
from pipeline.errors import LabError
from pipeline.noise.estimation.mixture import fit_mixture, rescaled
from pipeline.training.context import Context

_KEPT = 5
_INSIDE = 1e-5


class Division(nn.Module):
    """Probabilities of right labels by several networks, in buffers: a resumed run keeps them.

    Args:
        names: of the networks.
        n_train: number of training samples.
        average: fit to the mean of the losses of the last five times, or as many as there are.
    """

    w: Tensor
    history: Tensor
    n_measured: Tensor

    def __init__(self, names: tuple[str, ...], n_train: int, average: bool) -> None:
        super().__init__()
        self._names, self._average = names, average
        self.register_buffer("w", torch.zeros(len(names), n_train))
        n_kept = _KEPT if average else 0
        self.register_buffer("history", torch.zeros(len(names), n_kept, n_train))
        self.register_buffer("n_measured", torch.zeros(len(names), dtype=torch.int64))

    def by(self, name: str) -> Tensor:
        """Probabilities float32 [n_train] by a network; 0 before the first measurement."""
        return self.w[self._names.index(name)]

    def measure(
        self,
        context: Context,
        name: str,
        network: nn.Module,
        samples: Tensor,
        *,
        iterations: int,
        seed: int,
    ) -> None:
        """Measure by one network, in evaluation mode on plain images; all processes take part.

        Args:
            context: of the run.
            name: of the network.
            network: images -> logits.
            samples: int64 [n], positions among the training samples; all where losses are averaged.
            iterations: most steps of the fit.
            seed: of its start, with that of the run, the epoch and the network.

        Raises:
            LabError: for losses that are not finite, or all equal.
        """
        at, y = self._names.index(name), context.y_noisy
        logits = context.predict_train(samples=samples, function=network)
        values = ce(logits, y[samples.to(y.device)], reduction="none").cpu().numpy()
        try:
            values = rescaled(values)
        except LabError as unfit:
            place = f"losses by network {name} in epoch {context.epoch}: "
            raise LabError(place + unfit.given, unfit.allowed, unfit.remedy) from unfit
        if self._average:
            kept = self.history[at].roll(1, dims=0)
            kept[0] = torch.from_numpy(values).to(kept)
            self.history[at] = kept
            self.n_measured[at] += 1
            values = kept[: int(self.n_measured[at])].mean(dim=0).cpu().numpy()
        start = context.method_seed("mixture", seed, context.epoch, name)

        def fitted() -> Tensor:
            return torch.from_numpy(fit_mixture(values, start, max_iterations=iterations).low)

        self.w[at, samples] = context.from_main(fitted, self.w.new_zeros(len(samples)))

    def sides(
        self, name: str, samples: Tensor, threshold: float, keep_both: bool, place: str
    ) -> tuple[Tensor, Tensor]:
        """Samples whose labels are right with more than a threshold, and the others.

        Args:
            name: of the network that has measured.
            samples: int64 [n], to be divided.
            threshold: of the probability.
            keep_both: move the threshold to just inside the range of probabilities.
            place: who learns from it, for the error.

        Returns:
            int64 positions of the labelled and of the unlabelled ones.

        Raises:
            LabError: where one of the sides is empty.
        """
        w = self.by(name)[samples]
        if keep_both:
            least, most = (float(end) for end in w.aminmax())
            threshold = min(max(threshold, least + _INSIDE), most - _INSIDE)
        chosen = (w > threshold).to(samples.device)
        labelled, unlabelled = samples[chosen], samples[~chosen]
        if not len(labelled) or not len(unlabelled):
            raise LabError(
                f"no sample is {'un' if len(labelled) else ''}labelled for {place}: all "
                f"{len(samples)} are on one side of threshold {threshold:g} by network {name}",
                "samples on both sides",
                "--keep-both-sides, another --threshold or a longer --warm-up",
            )
        return labelled, unlabelled
