"""Which calls of a network are compiled, and what is said where none is."""

import pytest
import torch
from torch import nn

from pipeline.backbones import make_backbone
from pipeline.errors import LabError
from pipeline.runs.compilation import compile_networks
from pipeline.training.processes import Processes

BATCH, EVALUATED = 4, (16, 7)
CUDA, CPU = torch.device("cuda"), torch.device("cpu")


class Compiled:
    """Stands in for torch.compile: notes the sizes of compiled calls, and does what is asked."""

    def __init__(self, failure=None):
        self.sizes, self.options, self.failure = [], [], failure
        self.given = self.result = None

    def __call__(self, function, **options):
        """The function, noted."""
        self.options.append(options)

        def form(x):
            self.sizes.append(len(x))
            self.given = x
            if self.failure is not None:
                raise self.failure
            self.result = function(x)
            return self.result

        return form


def compiled_network(monkeypatch, mode="default", device=CPU, failure=None):
    """A network, what stands in for torch.compile, and whether there are graphs."""
    form = Compiled(failure)
    monkeypatch.setattr("pipeline.runs.compilation.torch.compile", form)
    network = make_backbone("small-cnn", 3, 1)
    graphs = compile_networks(nn.Sequential(network), mode, BATCH, EVALUATED, device)
    return network, form, graphs


def test_full_batches_are_compiled_and_all_others_are_not(monkeypatch):
    network, form, _ = compiled_network(monkeypatch)
    sizes = [4, 3, 8, 7, 1, 12, 4]
    for n in sizes:
        network(torch.zeros(n, 1, 8, 8))
    assert form.sizes == [4, 8, 7, 12, 4]
    form.sizes.clear()
    network.eval()
    for n in [4, 8, 7, 16, 12, 3]:
        network(torch.zeros(n, 1, 8, 8))
    assert form.sizes == [4, 7, 16]


def test_features_and_logits_are_those_of_the_network(monkeypatch):
    network, form, _ = compiled_network(monkeypatch)
    x = torch.rand(4, 1, 8, 8)
    expected = type(network).features(network, x)
    assert network.features(x).equal(expected)
    assert network(x).equal(network.linear(expected))
    assert form.sizes == [4, 4]


@pytest.mark.parametrize(
    ("mode", "device", "torchs_mode", "says"),
    [
        ("default", CUDA, "default", ""),
        ("reduce-overhead", CUDA, "reduce-overhead", ""),
        ("reduce-overhead", CPU, "default", "note: CUDA graphs on a cpu; expected: a GPU"),
    ],
)
def test_graphs_are_a_mode_of_gpus(monkeypatch, capsys, mode, device, torchs_mode, says):
    network, form, graphs = compiled_network(monkeypatch, mode, device)
    assert graphs == (torchs_mode == "reduce-overhead")
    assert form.options == [{"fullgraph": True, "dynamic": False, "mode": torchs_mode}]
    assert capsys.readouterr().err.startswith(says)
    found = network.features(torch.zeros(4, 1, 8, 8))
    assert (found.data_ptr() != form.result.data_ptr()) == graphs  # kept, whatever comes after


@pytest.mark.parametrize("kind", ["Unsupported", "FailOnRecompileLimitHit"])
def test_what_is_given_up_is_said_once_and_runs_as_it_is(monkeypatch, capsys, kind):
    failure = getattr(torch._dynamo.exc, kind)("why\nand more")
    network, form, _ = compiled_network(monkeypatch, failure=failure)
    x = torch.rand(4, 1, 8, 8)
    for _ in range(2):
        assert network.features(x).equal(type(network).features(network, x))
    assert form.sizes == [4]
    said = capsys.readouterr().err
    assert said.startswith("note: SmallCNN.features is not compiled: why; expected")
    assert said.count("\n") == 1


def test_a_missing_compiler_ends_the_run(monkeypatch):
    failure = torch._dynamo.exc.BackendCompilerFailed(print, RuntimeError("no g++"), None)
    network, _, _ = compiled_network(monkeypatch, failure=failure)
    with pytest.raises(
        LabError, match=r"fails: RuntimeError: no g\+\+; .*try: leave --compile out"
    ):
        network(torch.zeros(4, 1, 8, 8))


def test_grey_images_in_either_memory_order_are_one_kind_of_call(monkeypatch):
    network, form, _ = compiled_network(monkeypatch)
    x = torch.rand(4, 1, 8, 8)
    other = torch.as_strided(x, x.shape, (64, 1, 8, 1))
    results = [(network.features(each), form.given.stride()) for each in (x, other)]
    assert results[0][0].equal(results[1][0])
    assert results[0][1] == results[1][1]


def test_runs_of_the_same_sizes_share_what_is_compiled(monkeypatch):
    resets = []
    monkeypatch.setattr("torch.compiler.reset", lambda: resets.append(None))
    monkeypatch.setattr("pipeline.runs.compilation._earlier", [])
    n_resets = []
    for batch, device in [(4, CPU), (4, CPU), (8, CPU), (4, CPU), (4, CUDA), (4, CUDA)]:
        network = nn.Sequential(make_backbone("small-cnn", 3, 1))
        compile_networks(network, "reduce-overhead", batch, EVALUATED, device)
        n_resets.append(len(resets))
    assert n_resets == [1, 1, 2, 3, 4, 5]


def test_a_method_without_networks_is_told_so(capsys):
    assert not compile_networks(nn.Linear(2, 2), "default", BATCH, EVALUATED, CPU)
    assert "nothing to compile" in capsys.readouterr().err


def test_a_step_begins_for_graphs_only_where_there_are_some(monkeypatch):
    marks, processes = [], Processes()
    monkeypatch.setattr("torch.compiler.cudagraph_mark_step_begin", lambda: marks.append(None))
    processes.batch_begins()
    processes.uses_graphs = True
    processes.batch_begins()
    assert len(marks) == 1
