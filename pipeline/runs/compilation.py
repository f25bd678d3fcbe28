"""Networks compiled by torch.compile: once for each size that comes again, and said where not.

What is compiled are the networks, not the step of a method around them: a step holds seeds, rates
and numbers of the epoch as Python numbers, any of which would be compiled anew when it changes, and
evaluation never passes it. So every method is compiled alike, training and evaluation alike, and a
network compiles once for each mode, with and without gradient, and each size of batch; further runs
of one program that are of the same sizes use it, too.

Sizes that come again are full batches, one or several joined, and those of evaluation. All other
ones (the last batch of an epoch, the samples that a method selects) run as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.config import Compile
from pipeline.errors import LabError

_MOST = 32
"""Compilations of one function before torch gives up: several networks may share it."""
_earlier: list[Any] = []
"""What the last run of this program compiled for, if one did."""


def compile_networks(
    method: nn.Module, mode: Compile, batch: int, evaluated: Iterable[int], device: torch.device
) -> bool:
    """Compile the networks of a method, in place: the functions that `compiled_functions` names.

    Args:
        method: on its device.
        mode: `default` or `reduce-overhead`.
        batch: samples of a full batch on this process.
        evaluated: samples of the batches of evaluation on this process.
        device: where the method is.

    Returns:
        Whether CUDA graphs are in use: `Processes.batch_begins` has to be called then.
    """
    graphs = mode == "reduce-overhead" and device.type == "cuda"
    # The compiler is told only by this call, which imports it: runs without it make another one.
    torch.use_deterministic_algorithms(
        torch.are_deterministic_algorithms_enabled(),
        warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    if mode == "reduce-overhead" and not graphs:
        _say(f"CUDA graphs on a {device.type}", "a GPU", "--compile; compiled without graphs")
    sizes, found = {batch, *evaluated}, False
    shapes = [(name, parameter.shape) for name, parameter in method.named_parameters()]
    _forget_others((shapes, batch, sizes, graphs), graphs)
    for network in method.modules():
        for name in getattr(network, "compiled_functions", ()):
            setattr(network, name, _Compiled(network, name, batch, sizes, graphs))
            found = True
    if not found:
        _say("compile has nothing to compile", "a method with a network", "leave --compile out")
    return graphs


def _forget_others(kind: Any, graphs: bool) -> None:
    """Forget what earlier runs of this program compiled, unless this one can use it.

    It counts towards the limit, and graphs hold the memory of their networks.
    """
    if graphs or _earlier != [kind]:
        torch.compiler.reset()
        torch._dynamo.config.recompile_limit = _MOST
        _earlier[:] = [kind]


class _Compiled:
    """A function of a network in two forms, of which the size of the batch decides.

    Args:
        network: whose function.
        name: of the function.
        batch: samples of a full batch.
        sizes: further ones that are compiled.
        graphs: whether CUDA graphs are in use.
    """

    def __init__(
        self, network: nn.Module, name: str, batch: int, sizes: set[int], graphs: bool
    ) -> None:
        self._network, self._name, self._graphs = network, name, graphs
        self._batch, self._sizes = batch, sizes
        self._plain: Callable[..., Tensor] = getattr(network, name)
        self._form: Callable[..., Tensor] = torch.compile(
            self._plain,
            # Whole or not at all: torch would otherwise run parts of it as they are, and not say.
            fullgraph=True,
            dynamic=False,
            mode="reduce-overhead" if graphs else "default",
        )

    def __call__(self, x: Tensor, *others: Any) -> Tensor:
        n = len(x)
        if n not in self._sizes and (n % self._batch or not self._network.training):
            return self._plain(x, *others)
        if x.ndim == 4 and x.shape[1] == 1:
            # Grey images in either memory order are alike, but for a stride that torch looks at.
            x = x.flatten(1).view(x.shape)
        try:
            found = self._form(x, *others)
        except torch._dynamo.exc.BackendCompilerFailed as failure:
            cause = failure.inner_exception
            raise LabError(
                f"torch.compile fails: {type(cause).__name__}: {_first_line(cause)}",
                "a C++ compiler, and Triton for a GPU",
                "leave --compile out",
            ) from failure
        except (
            torch._dynamo.exc.TorchDynamoException,
            torch._dynamo.exc.FailOnRecompileLimitHit,
        ) as failure:
            _say(
                f"{type(self._network).__name__}.{self._name} is not compiled: "
                f"{_first_line(failure)}",
                "a function that torch.compile takes whole",
                "leave --compile out; it runs as it is",
            )
            self._form = self._plain
            return self._plain(x, *others)
        # What a graph leaves is overwritten when it runs again; a method may keep features.
        return found.clone() if self._graphs else found


def _first_line(failure: Exception) -> str:
    return next(iter(str(failure).splitlines()), type(failure).__name__)


def _say(given: str, allowed: str, remedy: str) -> None:
    print(f"note: {given}; expected: {allowed}; try: {remedy}", file=sys.stderr)
