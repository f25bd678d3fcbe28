"""ResNets as SimCLR codes for CIFAR start them: the 32-pixel stem, torchvision's initialisation.

The networks are those of `resnet`; what differs is the random start. Their module names map to the
ones of published checkpoints, which number torchvision's children: f.0 the stem, f.3 to f.6 the
stages.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from pipeline.backbones.resnet import ResNet

_CHILDREN = {"0": "conv1", "1": "bn1", "3": "layer1", "4": "layer2", "5": "layer3", "6": "layer4"}


def torchvision_start(
    make: Callable[[int, int], ResNet], stem: bool = False
) -> Callable[[int, int], ResNet]:
    """A constructor whose networks start as torchvision's.

    Convolutions of the stages are Kaiming normal by fan-out.

    Args:
        make: (n_classes, n_channels) -> network.
        stem: whether the first convolution is as well; SimCLR codes put theirs in afterwards, with
            PyTorch's default.

    Returns:
        A function of the same form.
    """

    def started(n_classes: int, n_channels: int) -> ResNet:
        network = make(n_classes, n_channels)
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d) and (stem or name.startswith("layer")):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        return network

    return started


def own_name(published: str) -> str | None:
    """Name in our ResNet of a weight of a published SimCLR checkpoint.

    Args:
        published: name without the leading f, such as 4.0.downsample.0.weight.

    Returns:
        Such as layer2.0.shortcut.0.weight; None for a child that has no weights.
    """
    child, _, rest = published.partition(".")
    if child not in _CHILDREN:
        return None
    return f"{_CHILDREN[child]}.{rest}".replace(".downsample.", ".shortcut.")
