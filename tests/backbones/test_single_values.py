"""A step on one sample: layers that would see one value per channel take running statistics."""

import torch
from torch import nn

from pipeline.backbones import make_backbone
from pipeline.backbones.single_values import normalised_by_running_statistics
from tests.support.lab import PARAMS, write_params
from tests.support.runs import row, run


def deep():
    """Its last maps are one pixel at 8 x 8 pixels, and 4 x 4 at 32 x 32."""
    torch.manual_seed(0)
    return make_backbone("resnet18", 10, 3).train()


def norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]


def test_one_small_image_passes_and_the_layers_are_as_before():
    network = deep()
    with normalised_by_running_statistics(network):
        network(torch.randn(1, 3, 8, 8)).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
    first, last = norms(network)[0], norms(network)[-1]
    assert (int(first.num_batches_tracked), int(last.num_batches_tracked)) == (1, 0)
    assert all(layer.training and not layer._forward_pre_hooks for layer in norms(network))


def test_a_layer_that_does_not_learn_stays_so():
    network = deep()
    norms(network)[-1].eval()
    with normalised_by_running_statistics(network):
        network(torch.randn(1, 3, 8, 8))
    assert [layer.training for layer in norms(network)[-2:]] == [True, False]


def test_layers_with_larger_maps_measure_as_always():
    ours, plain, image = deep(), deep(), torch.randn(1, 3, 32, 32)
    with normalised_by_running_statistics(ours):
        logits = ours(image)
    assert torch.equal(logits, plain(image))
    assert torch.equal(norms(ours)[-1].running_var, norms(plain)[-1].running_var)


def test_a_run_whose_last_batch_is_one_sample_ends(lab):
    head = {"kind": "symmetric", "rate": 0.4, "first": 65}
    write_params(lab, PARAMS | {"noise": {"head": head}})
    small = {"backbone": "timm/test_resnet", "batch_size": 64, "epochs": 1, "val_rate": 0.0}
    assert row(run(noise="head", **small).key)["status"] == "done"
