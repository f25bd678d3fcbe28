"""What every backbone offers: features of a known length, and a classifier on them."""

import pytest
import torch

from pipeline.backbones import make_backbone
from pipeline.encoders.start import network_state
from pipeline.errors import LabError


@pytest.mark.parametrize(
    ("name", "n_features"),
    [
        ("small-cnn", 64), ("cnn6", 256), ("cnn8", 256), ("cnn9", 128), ("lenet", 84),
        ("preact18", 512), ("resnet18", 512), ("resnet34-simclr", 512), ("resnet50-simclr", 2048),
        ("wrn28-2", 128), ("timm/test_vit", 64), ("timm/test_resnet", 96),
    ],
)  # fmt: skip
def test_logits_are_the_classifier_of_the_features(name, n_features):
    torch.manual_seed(0)
    network = make_backbone(name, 7, 3).eval()
    side = 160 if name.startswith("timm/") else 32
    images = torch.rand(2, 3, side, side)
    found = []
    classifier = network.get_submodule(network.classifier_names[0])
    classifier.register_forward_hook(lambda _, given, logits: found.append((given[0], logits)))
    with torch.no_grad():
        features, logits = network.features(images), network(images)
    assert features.shape == (2, n_features)
    assert network.n_features == n_features
    given, expected = found[-1]
    torch.testing.assert_close(features, given)
    torch.testing.assert_close(logits, expected)
    parts = network_state(network)
    of_classifier = {key for key in parts if key.startswith("classifier.")}
    assert len(of_classifier) == 2
    assert len(parts) == len(network.state_dict())


def test_an_unknown_timm_model_is_answered_with_near_ones():
    with pytest.raises(LabError, match="try: resnet50") as failure:
        make_backbone("timm/resnet5", 10, 3)
    assert len(str(failure.value)) < 300
