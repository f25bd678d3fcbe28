"""Networks of Co-teaching, Co-teaching+, JoCoR and ELR, on weights filled by rule.

reference/two_network_backbones_reference.npz: per network the names and shapes of its weights, the
seeds of weights and input, and its output in evaluation mode by the official code.
"""

import numpy as np
import pytest
import torch

from pipeline.backbones import make_backbone
from tests.support.filled_weights import filled
from tests.support.reference_arrays import case_of, close_to

LAST = {"l_c1": "linear", "linear1": "linear", "fc3": "linear"}
"""Names of the last layer in the official codes."""


def own_name(name):
    module, _, rest = name.partition(".")
    return f"{LAST.get(module, module)}.{rest}"


@pytest.mark.parametrize(
    ("case", "name", "n_classes"),
    [
        ("coteaching_cnn9_c10", "cnn9", 10), ("coteaching_cnn9_mnist", "cnn9", 10),
        ("jocor_cnn6_c100", "cnn6", 100), ("coteaching_plus_cnn_small_c10", "lenet", 10),
    ],
)  # fmt: skip
def test_outputs_equal_the_official_network(case, name, n_classes):
    stored = case_of("two_network_backbones", case)
    shapes = [shape_of(shape) for shape in stored["state_shapes"]]
    weights = filled(stored["state_keys"], shapes, stored["seed"])
    sizes = tuple(int(n) for n in stored["input_shape"])
    network = make_backbone(name, n_classes, sizes[1]).eval()
    assert sum(p.numel() for p in network.parameters()) == stored["n_params"]
    network.load_state_dict({own_name(key): value for key, value in weights.items()})
    drawn = np.random.default_rng(stored["input_seed"]).standard_normal(sizes)
    with torch.no_grad():
        found = network(torch.tensor(drawn, dtype=torch.float32))
    assert close_to(found, stored["out"], 1e-3)


def shape_of(text):
    return tuple(int(part) for part in str(text).strip("()").split(",") if part)
