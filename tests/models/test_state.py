"""What of a method makes up its model: no state of single samples, nothing twice, all that fits."""

import pytest
import torch
from torch import nn

from pipeline.config import RunSettings
from pipeline.errors import LabError
from pipeline.models.state import bare_method, model_state, restore, state_of_samples
from pipeline.training.method import Method, Problem
from pipeline.training.optimisation import WeightAverage


class Counting(Method):
    """Remembers samples, shares a layer with its encoder, and looks something up."""

    def __init__(self, settings, problem):
        super().__init__()
        self.features, self.head = nn.Linear(3, 3), nn.Linear(3, problem.n_classes)
        self.register_buffer("seen", torch.zeros(problem.n_train, 3))
        # As many rows as there are samples, and no state of samples.
        self.register_buffer("square", torch.ones(5, 5))
        self.looked_up = torch.zeros(0)

    def encoder_state(self):
        """One layer of the two."""
        return {f"encoder.{name}": value for name, value in self.features.state_dict().items()}

    def memory(self):
        """What it looks up."""
        return {"rows": self.looked_up}

    def remember(self, memory):
        """Take it over."""
        self.looked_up = memory["rows"]


CPU = torch.device("cpu")
PROBLEM = Problem(n_classes=2, n_train=5, image_shape=(1, 1, 1))


@pytest.fixture
def trained():
    torch.manual_seed(0)
    method = Counting(RunSettings(), PROBLEM)
    average = WeightAverage(method, 0.5)
    with torch.no_grad():
        method.features.weight.add_(1)
        method.square.mul_(7)
    average.update()
    method.remember({"rows": torch.arange(4.0)})
    return method, average


def test_a_bare_method_becomes_the_trained_one(trained):
    method, average = trained
    before = torch.get_rng_state()
    bare = bare_method(Counting, RunSettings(), PROBLEM)
    assert torch.equal(torch.get_rng_state(), before)
    left_out = state_of_samples(method, bare)
    assert left_out == ("seen",)
    state = model_state(method, average, left_out)
    assert {name for name in state if name.startswith("state.")} == {
        "state.head.weight", "state.head.bias", "state.square"}  # fmt: skip
    for averaged in (False, True):
        bare = bare_method(Counting, RunSettings(), PROBLEM)
        restore(bare, state, method.encoder_state(), left_out, averaged, CPU)
        assert bare.looked_up.tolist() == [0, 1, 2, 3]
        own, found = method.state_dict(), bare.state_dict()
        if averaged:
            with average.applied():
                own = {name: value.clone() for name, value in method.state_dict().items()}
            assert not torch.equal(own["features.weight"], method.features.weight)
        for name in own.keys() - {"seen"}:
            assert torch.equal(found[name], own[name]), name


def test_a_model_of_another_network_is_refused(trained):
    method, _ = trained
    state = model_state(method, None, ("seen",))
    bare = bare_method(Counting, RunSettings(), PROBLEM._replace(n_classes=3))
    with pytest.raises(LabError, match=r"2 tensors of the model, such as 'head\.bias', do not fit"):
        restore(bare, state, method.encoder_state(), ("seen",), averaged=False, device=CPU)
    bare = bare_method(Counting, RunSettings(), PROBLEM)
    with pytest.raises(LabError, match="1 tensors of the model, such as 'square'"):
        restore(bare, {name: value for name, value in state.items() if name != "state.square"},
                method.encoder_state(), ("seen",), averaged=False, device=CPU)  # fmt: skip
