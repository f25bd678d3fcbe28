"""The steps and batches of one phase, whether it visits all samples or draws from streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.config import RunSettings, StreamName
from pipeline.data.host import sent
from pipeline.data.randomness import epoch_order
from pipeline.errors import LabError
from pipeline.training.batches import (
    Step,
    TrainSamples,
    batches_of_steps,
    shared_steps,
    steps_of_epoch,
    views_of,
)
from pipeline.training.method import Batch, Method
from pipeline.training.phases import WHOLE, Phase, Stream, check_streams
from pipeline.training.processes import Processes


class Place(NamedTuple):
    """Where in a run a phase stands; what is drawn in it is drawn by this and the seeds."""

    epoch: int
    phase: str

    @property
    def names(self) -> tuple[str, ...]:
        """What the phase adds to the names of random streams: nothing where it is the epoch."""
        return () if self.phase == WHOLE else (self.phase,)

    def __str__(self) -> str:
        phase = f", phase {self.phase}" if self.names else ""
        return f"epoch {self.epoch}{phase}"


class PhaseSteps:
    """What this process does in a phase, a function of the settings, the phase and its place.

    Args:
        phase: as the method asks for it.
        place: of the phase.
        settings: of the run.
        method: whose views are made.
        train: the training samples.
        processes: whose share is taken.

    Raises:
        LabError: for streams that are empty, fill no batch or are no partition where they have to
            be one.
    """

    def __init__(
        self,
        phase: Phase,
        place: Place,
        settings: RunSettings,
        method: Method,
        train: TrainSamples,
        processes: Processes,
    ) -> None:
        self._place, self._method, self._train, self._processes = place, method, train, processes
        self._settings = settings
        self._streams = phase.streams or {}
        if self._streams:
            check_streams(self._streams, len(train.y_noisy), str(place), phase.partition)
            self._steps = self._steps_of_streams(phase.steps)
        else:
            with_partners = bool(method.partner_views)
            steps = steps_of_epoch(
                settings, place.epoch, train.y_noisy, processes, with_partners, *place.names
            )
            self._steps = {WHOLE: steps[: phase.steps]}
        self.main = next(iter(self._steps))
        """Name of the main stream."""

    def __len__(self) -> int:
        return len(self._steps[self.main])

    def _steps_of_streams(self, n: int | None) -> dict[str, list[Step]]:
        """Equally many steps of each stream: `n`, or those of a pass over the first."""
        found: dict[str, list[Step]] = {}
        for name, stream in self._streams.items():
            steps = self._pass(name, stream, 0)
            if not steps:
                size = stream.batch_size or self._settings.batch_size
                raise LabError(
                    f"{len(stream.samples)} samples are {name} in {self._place}, with drop_last",
                    f"at least a batch of {size}",
                    "a smaller batch, or drop_last=False of the stream",
                )
            n = n or len(steps)
            number = 1
            while len(steps) < n:
                steps += self._pass(name, stream, number)
                number += 1
            found[name] = steps[:n]
        return found

    def _pass(self, name: str, stream: Stream, number: int) -> list[Step]:
        settings = self._settings
        order = epoch_order(self._seed("order", name, number), len(stream.samples))
        samples = stream.samples.cpu()[order]
        rows = sent(samples[None].numpy(), self._processes.device)
        drop_last = settings.drop_last if stream.drop_last is None else stream.drop_last
        size = stream.batch_size or settings.batch_size
        steps = shared_steps(rows, size, drop_last, self._processes)
        turns = turns_of(samples).numpy()
        return [
            step._replace(turns=self._own(turns[at * size : (at + 1) * size]), number=number)
            for at, step in enumerate(steps)
        ]

    def _own(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """This process's share of an array of a batch, as `shared_steps` takes it."""
        share = values[self._processes.rank :: self._processes.n_processes]
        return share if len(share) else values[:1]

    def _seed(self, what: StreamName, *names: str | int) -> int:
        place = self._place
        return self._settings.stream(what, place.epoch, *place.names, "stream", *names)

    def batches(self, first: int = 0) -> Iterator[tuple[dict[str, Step], Batch]]:
        """Steps by stream, the main one first, and the batch of each.

        Args:
            first: step to begin with.

        Yields:
            What belongs to one optimiser step.
        """
        made = self._whole(first) if not self._streams else self._joined(first)
        for number, batch in enumerate(made, start=first):
            steps = {name: steps[number] for name, steps in self._steps.items()}
            seed = self.seed_of("method", number)
            yield steps, replace(batch, seed=seed, done=number / len(self))

    def seed_of(self, what: StreamName, number: int, *names: int) -> int:
        """Seed of a random stream of one step."""
        place = self._place
        return self._settings.stream(what, place.epoch, *place.names, number, *names)

    def _whole(self, first: int) -> Iterator[Batch]:
        return batches_of_steps(
            self._steps[WHOLE][first:], self._method, self._train,
            self._settings.root_of("augment"), self._place.epoch, self._processes,
            *self._place.names,
        )  # fmt: skip

    def _joined(self, first: int) -> Iterator[Batch]:
        parts = [self._part(name, self._steps[name][first:]) for name in self._streams]
        for found in zip(*parts, strict=True):
            yield replace(found[0], parts=dict(zip(self._streams, found, strict=True)))

    def _part(self, name: str, steps: list[Step]) -> Iterator[Batch]:
        """The batches of one stream."""
        names = self._streams[name].views or self._method.views
        for number, group in groupby(steps, key=lambda step: step.number):
            of_pass = list(group)
            made = self._views_of_pass(of_pass, names, name, number)
            for step, views in zip(of_pass, made, strict=True):
                gather = self._processes.gather(step.n_samples)
                yield Batch(views, self._train.y_noisy[step.samples], step.samples, gather)

    def _views_of_pass(
        self, steps: list[Step], names: tuple[str, ...], *stream: str | int
    ) -> Iterator[tuple[Tensor, ...]]:
        """Each pass has views of its own, and so has each turn of a sample within it."""
        root = self._settings.root_of("augment")
        place = ("augment", self._place.epoch, *self._place.names, "stream", *stream)

        def made(turn: int, samples: list[Tensor]) -> Iterator[tuple[Tensor, ...]]:
            return views_of(self._train, samples, names, root, *place, turn)

        turns = np.unique(np.concatenate([step.turns for step in steps])).tolist()
        if len(turns) == 1:
            yield from made(turns[0], [step.samples for step in steps])
            return
        # Within a step, samples of the same turn side by side.
        orders = [step.turns.argsort(kind="stable") for step in steps]
        told = sent(np.concatenate(orders), self._processes.device)
        places = told.split([len(order) for order in orders])
        by_turn = [
            step.samples[rows].split([int((step.turns == turn).sum()) for turn in turns])
            for step, rows in zip(steps, places, strict=True)
        ]
        of_turn = [
            made(turn, [samples[column] for samples in by_turn if len(samples[column])])
            for column, turn in enumerate(turns)
        ]
        for rows, samples in zip(places, by_turn, strict=True):
            parts = [next(it) for own, it in zip(samples, of_turn, strict=True) if len(own)]
            back = rows.argsort()
            yield tuple(torch.cat(views)[back] for views in zip(*parts, strict=True))


def turns_of(samples: Tensor) -> Tensor:
    """How often each sample has come before, int64 [n]; 0 everywhere where none comes twice."""
    ordered, places = samples.sort(stable=True)
    first = torch.searchsorted(ordered, ordered)
    turns = torch.empty_like(samples)
    turns[places] = torch.arange(len(samples), device=samples.device) - first
    return turns
