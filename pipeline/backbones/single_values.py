"""A step on one sample, where batch norm meets channels of one value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def normalised_by_running_statistics(module: nn.Module) -> Iterator[None]:
    """While this holds, batch norm takes its running statistics where a channel has one value.

    One value has no spread, and torch refuses it. The last batch of a pass can be one sample, and
    in semi-supervised methods that is a matter of luck. Layers with more values per channel, on
    maps of 2 x 2 and up, measure as always; so do those that measure over several processes.

    Args:
        module: with the layers, in training.
    """
    switched: list[nn.Module] = []

    def switch(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (x,) = inputs
        if layer.training and x.numel() == x.shape[1]:
            layer.eval()
            switched.append(layer)

    hooks = [
        layer.register_forward_pre_hook(switch)
        for layer in module.modules()
        if isinstance(layer, _BatchNorm) and not isinstance(layer, nn.SyncBatchNorm)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer in switched:
            layer.train()
