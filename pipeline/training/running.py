"""Loss and named scalars of an epoch as they add up, over its steps, phases and processes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pipeline.training.batches import Step
from pipeline.training.method import StepOutput
from pipeline.training.processes import Processes


class Running:
    """Sums of this process; a mean is over the samples of the steps that had the scalar.

    Args:
        sums: of this process so far, by name.
        counts: samples of all processes behind each; counted on in place.
        processes: of the run.
    """

    def __init__(
        self, sums: Mapping[str, float], counts: dict[str, int], processes: Processes
    ) -> None:
        self._counts, self._processes = counts, processes
        self._sums = {
            name: torch.tensor(total, dtype=torch.float64, device=processes.device)
            for name, total in sums.items()
        }

    def add(self, output: StepOutput, steps: Mapping[str, Step]) -> None:
        """Take in a step on one or more streams, the main one first; it weighs as this one does."""
        main = next(iter(steps.values()))
        for name, value in {"loss": output.total, **output.scalars}.items():
            self._add(name, value.detach().double() * main.weight)
            self._counts[name] = self._counts.get(name, 0) + main.n_samples
        for name, term in (output.terms or {}).items():
            share = steps[name].weight * main.n_samples / steps[name].n_samples
            self._add("loss", term.detach().double() * share)

    def _add(self, name: str, value: Tensor) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + value

    def sums(self) -> dict[str, float]:
        """Of this process, as numbers."""
        return {name: float(total) for name, total in self._sums.items()}

    def means(self) -> dict[str, float]:
        """Over all processes."""
        totals = self._processes.sum(torch.stack(list(self._sums.values()))).tolist()
        named = dict(zip(self._sums, totals, strict=True))
        return {name: total / self._counts[name] for name, total in named.items()}
