"""Residual networks of the LRA-Diffusion code, on weights filled by rule (tests/filled_weights).

reference/lra_resnet34_reference.npz and simclr_resnet50_reference.npz: state_keys, state_shapes,
seed, input [2, 3, 32, 32] and out: 512 outputs, and features of length one [2, 2048].
"""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from pipeline.backbones import make_backbone
from pipeline.backbones.simclr_resnet import own_name
from tests.support.filled_weights import filled
from tests.support.paths import REFERENCES


def reference(name):
    found = np.load(REFERENCES / f"{name}_reference.npz")
    shapes = [tuple(map(int, text.split("x"))) if text else () for text in found["state_shapes"]]
    weights = filled(found["state_keys"].tolist(), shapes, found["seed"])
    return weights, torch.from_numpy(found["input"]), torch.from_numpy(found["out"])


@torch.no_grad()
def test_the_diffusion_encoder_is_a_resnet34_with_features_for_classes():
    weights, x, expected = reference("lra_resnet34")
    network = make_backbone("resnet34", 512, 3).eval()
    assert list(network.state_dict()) == list(weights)
    network.load_state_dict(weights)
    torch.testing.assert_close(network(x), expected, rtol=1e-3, atol=1e-4 * expected.abs().max())


@torch.no_grad()
def test_the_simclr_encoder_is_a_resnet50_under_other_names():
    weights, x, expected = reference("simclr_resnet50")
    network = make_backbone("resnet50", 10, 3).eval()
    encoder = {
        own_name(name.removeprefix("f.")): value
        for name, value in weights.items()
        if name.startswith("f.")
    }
    missing = network.load_state_dict(encoder, strict=False)
    assert missing.unexpected_keys == []
    assert missing.missing_keys == ["linear.weight", "linear.bias"]
    found = normalize(network.features(x), dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("resnet18", 11_431_488), ("resnet34", 21_539_648), ("resnet50", 24_549_440)],
)
def test_diffusion_encoders_have_as_many_parameters_as_published(name, parameters):
    with torch.device("meta"):
        network = make_backbone(name, 512, 3)
    assert sum(p.numel() for p in network.parameters()) == parameters
