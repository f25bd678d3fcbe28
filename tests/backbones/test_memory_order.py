"""With the flag --channels-last, weights and activations really are channels-last."""

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from pipeline.backbones import make_backbone
from tests.support.runs import run

LAST = torch.channels_last
CONVOLUTIONAL = [
    "small-cnn", "cnn6", "cnn8", "cnn9", "lenet", "preact18", "resnet18", "resnet50",
    "wrn28-2", "timm/test_resnet",
]  # fmt: skip


def watched(right):
    """A hook that notes, module by module, whether weights and results are in that order."""

    def look(module, given, result):
        del given
        if not list(module.children()) and isinstance(result, torch.Tensor) and result.ndim == 4:
            weights = [w for w in module.parameters(recurse=False) if w.ndim == 4]
            right.append(all(one.is_contiguous(memory_format=LAST) for one in (result, *weights)))

    return look


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_every_activation_of_a_backbone_is_channels_last(name):
    network = make_backbone(name, 3, 3).to(memory_format=LAST)
    side = 160 if name.startswith("timm/") else 32
    right: list[bool] = []
    for module in network.modules():
        module.register_forward_hook(watched(right))
    network(torch.rand(2, 3, side, side)).sum().backward()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(right) >= len(convolutions) > 1
    assert all(right)
    weights = [module.weight for module in convolutions]
    assert all(weight.grad.is_contiguous(memory_format=LAST) for weight in weights)


@pytest.mark.parametrize("flag", [True, False])
def test_the_flag_reaches_training_and_evaluation(lab, flag):
    right: dict[bool, list[bool]] = {True: [], False: []}
    hooks = [watched(right[training]) for training in (False, True)]
    handle = register_module_forward_hook(lambda m, x, y: hooks[m.training](m, x, y))
    try:
        run(epochs=1, execution={"channels_last": flag})
    finally:
        handle.remove()
    for training in (True, False):
        assert len(right[training]) > 3
        assert all(right[training]) == flag
