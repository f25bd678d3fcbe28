"""cnn8 and the pre-activation ResNet-18 against the official codes, and their random starts.

reference/cnn8_reference.npz and preact18_reference.npz: networks of the official codes of
epsilon-softmax and SOP on weights filled by rule (tests/support/filled_weights): state_keys,
state_shapes, seed, input and out, logits in evaluation mode. Of cnn8 also the 256 features, and one
pass in training mode with cross entropy on train_labels: logits, loss, two gradients, and a running
mean after it.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pipeline.backbones import make_backbone
from pipeline.errors import LabError
from tests.support.filled_weights import filled
from tests.support.paths import REFERENCES


def loaded(name):
    found = np.load(REFERENCES / f"{name}_reference.npz")
    shapes = [tuple(map(int, text.split("x"))) if text else () for text in found["state_shapes"]]
    weights = filled(found["state_keys"].tolist(), shapes, found["seed"])
    own = {key.replace("fc2.", "linear."): value for key, value in weights.items()}
    network = make_backbone(name, 10, 3)
    assert list(network.state_dict()) == list(own)
    network.load_state_dict(own)
    return network, {key: torch.from_numpy(found[key]) for key in found if "state" not in key}


def close(found, expected):
    tolerance = 1e-3 * expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("cnn8", torch.contiguous_format),
        ("cnn8", torch.channels_last),
        ("preact18", torch.channels_last),
    ],
)
def test_logits_equal_those_of_the_official_code(name, order):
    network, expected = loaded(name)
    network = network.eval().to(memory_format=order)
    close(network(expected["input"].contiguous(memory_format=order)), expected["out"])


def test_a_training_pass_of_cnn8_equals_that_of_the_official_code():
    network, expected = loaded("cnn8")
    with torch.no_grad():
        close(network.eval().features(expected["input"]), expected["features"])
    logits = network.train()(expected["input"])
    loss = cross_entropy(logits, expected["train_labels"])
    loss.backward()
    close(logits.detach(), expected["train_output"])
    close(loss.detach(), expected["train_loss"])
    close(network.linear.weight.grad, expected["train_grad_fc2_weight"])
    close(network.fc1[1].running_mean, expected["train_running_mean_fc1"])
    # Batch norm takes the gradient of this bias away: what is left is rounding.
    gradient = network.block1[0].conv[0].bias.grad
    assert gradient.abs().max() < 1e-6 * network.block1[0].conv[0].weight.grad.abs().max() + 1e-6
    assert expected["train_grad_conv1_bias"].abs().max() < 1e-6


@pytest.mark.parametrize(
    ("name", "n_classes", "parameters"),
    [
        ("cnn8", 10, 1_639_794), ("preact18", 10, 11_171_274), ("preact18", 100, 11_217_444),
        ("resnet34-uniform", 100, 21_328_292),
    ],
)  # fmt: skip
def test_networks_have_as_many_parameters_as_published(name, n_classes, parameters):
    with torch.device("meta"):
        network = make_backbone(name, n_classes, 3)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("name", ["cnn8", "resnet34-uniform"])
def test_weights_start_uniform_within_published_bounds(name):
    torch.manual_seed(0)
    for module in make_backbone(name, 10, 3).modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        n_out, n_in = module.weight.shape[:2]
        fan_in = module.weight[0].numel()
        bound = math.sqrt(6 / fan_in) if module.weight.ndim == 4 else math.sqrt(6 / (n_in + n_out))
        # The largest of n uniform draws lies below (1 - 20 / n) of the bound once in 5e8.
        assert 1 - 20 / module.weight.numel() < module.weight.abs().max() / bound <= 1
        ratio = module.weight.std() / (bound / math.sqrt(3))
        assert ratio.item() == pytest.approx(1, abs=4 / math.sqrt(module.weight.numel()))
        if module.bias is not None:
            assert module.bias.abs().max() <= 1 / math.sqrt(fan_in)
            assert module.bias.abs().max() > 0.5 / math.sqrt(fan_in)


@pytest.mark.parametrize(("name", "stem"), [("resnet18-normal", True), ("resnet18-simclr", False)])
def test_convolutions_start_normal_by_fan_out_with_or_without_the_stem(name, stem):
    torch.manual_seed(0)
    for layer, module in make_backbone(name, 10, 3).named_modules():
        if isinstance(module, nn.Conv2d):
            n_out, _, size, _ = module.weight.shape
            ratio = module.weight.std() * math.sqrt(n_out * size**2 / 2)
            close_to_one = abs(ratio.item() - 1) < 4 / math.sqrt(2 * module.weight.numel())
            assert close_to_one == (stem or layer != "conv1"), layer


@pytest.mark.parametrize(("name", "side"), [("cnn8", 32), ("timm/test_vit", 160)])
@pytest.mark.parametrize("what", ["features", "forward"])
def test_a_network_of_one_size_refuses_images_of_another(name, side, what):
    with pytest.raises(LabError, match=f"28 x 28 pixels for {name}; expected: {side} x {side}"):
        getattr(make_backbone(name, 10, 1), what)(torch.zeros(2, 1, 28, 28))
