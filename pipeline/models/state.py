"""What of a method makes its predictions: taken from one that was trained, given to a new one.

A folder of kept weights may hold an encoder, too: what is part of it is not written twice.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pipeline.config import RunSettings
from pipeline.encoders.encoder import misfits
from pipeline.errors import LabError, quoted
from pipeline.training.method import Method, Problem
from pipeline.training.optimisation import WeightAverage

_STATE, _AVERAGED, _MEMORY = "state", "averaged", "memory"


def bare_method(kind: type[Method], settings: RunSettings, problem: Problem) -> Method:
    """A method that was not trained and knows of one sample, as which it has room for a model."""
    with torch.random.fork_rng(devices=[]):
        return kind(settings, problem._replace(n_train=1, start=None))


def state_of_samples(method: Method, bare: Method) -> tuple[str, ...]:
    """Names of the tensors of a method that belong to single training samples.

    Args:
        method: trained.
        bare: the same for one sample: what has another shape there belongs to the samples.
    """
    shapes = {name: value.shape for name, value in bare.state_dict().items()}
    return tuple(
        name for name, value in method.state_dict().items() if value.shape != shapes.get(name)
    )


def model_state(
    method: Method, average: WeightAverage | None, left_out: tuple[str, ...]
) -> dict[str, Tensor]:
    """The tensors of a model beyond those of its encoder.

    Args:
        method: trained.
        average: of its weights, if it has one.
        left_out: tensors that are not kept.

    Returns:
        Copies, named state.*, averaged.* (where the average has another value) and memory.*.
    """
    own = {name: value for name, value in method.state_dict().items() if name not in left_out}
    shared = {value.data_ptr() for value in (method.encoder_state() or {}).values()}
    parts = {_STATE: {name: v for name, v in own.items() if v.data_ptr() not in shared}}
    if average is not None:
        with average.applied():
            averaged = method.state_dict()
        parts[_AVERAGED] = {
            name: averaged[name]
            for name, value in own.items()
            if averaged[name].data_ptr() != value.data_ptr()
        }
    parts[_MEMORY] = method.memory()
    return {
        f"{part}.{name}": value.detach().clone()
        for part, tensors in parts.items()
        for name, value in tensors.items()
    }


@torch.no_grad()
def restore(
    method: Method,
    state: Mapping[str, Tensor],
    encoder: Mapping[str, Tensor],
    left_out: tuple[str, ...],
    averaged: bool,
    device: torch.device,
) -> None:
    """Make a bare method the one that was trained.

    Args:
        method: to change and to move; on the CPU.
        state: by `model_state`.
        encoder: weights of its own encoder.
        left_out: tensors that `model_state` left out.
        averaged: whether it predicts by the averaged weights.
        device: where to; in the order of memory in which runs train.

    Raises:
        LabError: when they do not fit.
    """
    own = method.state_dict()
    shared = method.encoder_state() if encoder else {}
    _fill(shared or {}, encoder)
    inside = {value.data_ptr() for value in (shared or {}).values()}
    parts = {part: _part(state, part) for part in (_STATE, _AVERAGED, _MEMORY)}
    due = {name for name, v in own.items() if name not in left_out and v.data_ptr() not in inside}
    _fill({name: value for name, value in own.items() if name in due}, parts[_STATE])
    if averaged:
        kept = parts[_AVERAGED]
        _fill({name: value for name, value in own.items() if name in kept}, kept)
    method.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # of nn.Module
    if parts[_MEMORY]:
        method.remember({name: value.to(device) for name, value in parts[_MEMORY].items()})


def _part(state: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{part}."): value
        for name, value in state.items()
        if name.startswith(f"{part}.")
    }


def _fill(own: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> None:
    wrong = misfits(own, kept)
    if wrong:
        raise LabError(
            f"{len(wrong)} tensors of the model, such as {quoted(min(wrong))}, do not fit its "
            "method as the code has it now",
            "a model of this version of the code",
            "the version that wrote it, or the same run again with --keep-weights --force",
        )
    for name, value in own.items():
        value.copy_(kept[name])
