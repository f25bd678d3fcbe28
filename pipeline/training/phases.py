"""What a method may ask of an epoch: phases in turn, and the streams that each draws from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pipeline.errors import LabError

WHOLE = ""
"""Name of the phase that an epoch is where a method names none."""


@dataclass(frozen=True)
class Stream:
    """Training samples that a phase draws batches from, in an order of their own.

    Order and views are drawn by (seed, epoch, phase, stream, pass), the same on any number of
    processes. A pass visits every sample once; a stream that ends before its phase starts another
    one, in another order.

    Args:
        samples: int64 [n], positions among the training samples, the same on all processes. One
            that occurs several times is visited as often, each time with views of its own.
        batch_size: over all processes; None for that of the run.
        views: of each sample; None for those of the method.
        drop_last: leave out the smaller last batch of a pass; None for the setting of the run.
    """

    samples: Tensor
    batch_size: int | None = None
    views: tuple[str, ...] | None = None
    drop_last: bool | None = None


@dataclass(frozen=True)
class Phase:
    """What one phase of an epoch trains; the default is an epoch as it is without phases.

    Args:
        streams: by name; the first one is the main stream, whose part of a step is the batch
            itself. None for one pass over the samples of the epoch.
        steps: how many; None for one pass over the main stream.
        partition: whether the streams are meant to be disjoint and to hold, together, every
            training sample: anything else is then refused.
        trains: names of the parameter groups that move. The others keep their weights, their
            momentum and their weight decay to themselves, whatever the loss depends on. None for
            all.
        restart: names of the groups whose optimiser state (momentum, moments, counts) is
            forgotten when the phase begins.
        options: by name of a group, what its optimiser options are during this phase: `lr`,
            `lr_factor`, `schedule`, `from_epoch`, `over_epochs`, `momentum`, `betas`,
            `weight_decay`, `clipped`, `optimizer`; see `Method.parameter_groups`.
    """

    streams: Mapping[str, Stream] | None = None
    steps: int | None = None
    partition: bool = False
    trains: tuple[str, ...] | None = None
    restart: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names of an epoch's phases; ValueError where there is none, or one occurs twice."""
    if not names or len(set(names)) < len(names):
        raise ValueError(f"phases {list(names)}: an epoch has at least one, each with its own name")
    return tuple(names)


def check_streams(streams: Mapping[str, Stream], n_train: int, place: str, whole: bool) -> None:
    """Refuse streams that cannot be drawn from.

    Args:
        streams: of a phase.
        n_train: number of training samples.
        place: epoch and phase, for errors.
        whole: whether they have to be a partition of the training samples.

    Raises:
        LabError: for an empty stream, and for a partition that is none.
    """
    for name, stream in streams.items():
        if not len(stream.samples):
            raise LabError(
                f"no sample is {name} in {place}",
                f"at least one of {n_train} training samples in every stream",
                "a threshold that leaves both sides some, or a longer warm-up",
            )
    if not whole:
        return
    counts = sum(stream.samples.bincount(minlength=n_train) for stream in streams.values())
    assert isinstance(counts, Tensor)
    missed, shared = int((counts == 0).sum()), int((counts > 1).sum())
    if missed or shared or len(counts) > n_train:
        raise LabError(
            f"streams {', '.join(streams)} of {place} miss {missed} samples and share {shared}",
            f"each of {n_train} training samples in exactly one of them",
            "streams made of a mask and its complement, or partition=False",
        )
