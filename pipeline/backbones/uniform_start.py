"""The random start of the codes of active passive and asymmetric losses: uniform draws.

Their constructors draw every convolution as Kaiming uniform by fan-in, within +-sqrt(6 / fan-in),
and every linear layer as Xavier uniform; biases and norms keep PyTorch's default.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from pipeline.backbones.backbone import Backbone


def start_uniformly(network: nn.Module) -> None:
    """Draw the weights of convolutions and linear layers anew, from torch's random stream."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)


def uniform_start(make: Callable[[int, int], Backbone]) -> Callable[[int, int], Backbone]:
    """A constructor whose networks start as `start_uniformly` draws them.

    Args:
        make: (n_classes, n_channels) -> network.

    Returns:
        A function of the same form.
    """

    def started(n_classes: int, n_channels: int) -> Backbone:
        network = make(n_classes, n_channels)
        start_uniformly(network)
        return network

    return started
