"""PES as a method: steps of the official code, and what holds for any training.

reference/pes_reference.npz (ec5290d): `confident` and the sizes of batches by probabilities and
labels, class weights with and without their cap, single steps of MixMatch with a linear network
(`step_`), the ramp, and which parameters `renewN` replaces: 0 the classifier, 1 the last stage too.
"""

import pytest
import torch
from torch import nn

from methods.objectives.semi_supervised import balancing_weights, part_sizes, unlabelled_weight
from methods.pes import Pes, PesSettings
from pipeline.errors import LabError
from pipeline.training.checkpoints import resume
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem
from tests.support.recorded_mixing import recorded_mixing
from tests.support.reference_arrays import case_of, cases, close_to
from tests.support.toy_methods import KEY, everything, to_the_end, toy_session

SPLITS = [name for name in cases("pes") if name[0] in "abc"]


def method_for(n_classes, n_train, **settings):
    values = {"backbone": "small-cnn", "warm_up": 0, "epochs": 9} | settings
    torch.manual_seed(0)
    return Pes(PesSettings(**values), Problem(n_classes, n_train, (8, 8, 1)))


def context_of(method, y, epoch=1, **more):
    n_classes = method.predicted.shape[1]
    return Context("pes", frozenset(), y, None, n_classes, 9, 0, torch.empty, epoch=epoch, **more)


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("semi", [False, True])
def test_the_division_equals_that_of_the_official_code(name, semi):
    case = case_of("pes", name)
    p, y = case["probabilities"], case["noisy"]
    method = method_for(p.shape[1], len(y), semi=semi, batch_size=case["batch_size"])
    method.predicted.copy_(p)
    phase = method.phase_start(context_of(method, y))
    streams = list(phase.streams.values())
    assert streams[0].samples.equal(case["confident"])
    weights = case["class_weights_semi" if semi else "class_weights_cs"]
    torch.testing.assert_close(method.class_weights, weights, rtol=1e-6, atol=0)
    if semi:
        assert streams[1].samples.equal(case["unconfident"])
        sizes = [stream.batch_size for stream in streams]
        assert sizes == [case["labelled_batch"], case["unlabelled_batch"]]
        assert phase.partition
        assert phase.steps == len(y) // case["batch_size"]


def test_weights_of_classes_that_are_rare_are_capped():
    counts = torch.tensor([1, 10, 0, 19])
    assert balancing_weights(counts).tolist() == pytest.approx([10, 1, 0, 10 / 19])
    assert balancing_weights(counts, cap=3.0).tolist() == pytest.approx([3, 1, 0, 10 / 19])


class Linear(nn.Module):
    """The network of the recorded steps."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def forward(self, x):
        """Logits of vectors."""
        return x @ self.weight.T


@pytest.mark.parametrize("name", cases("pes", "step_"))
def test_a_step_of_mixmatch_equals_the_official_code(name):
    case = case_of("pes", name)
    n, n_classes = len(case["labels"]), len(case["W"])
    epoch = int(case["hp.epoch"])
    method = method_for(
        n_classes, n + len(case["u1"]), semi=True, epochs=int(case["hp.num_epochs"]),
        warm_up=int(case["hp.T1"]), temperature=case["hp.T"], mix_alpha=case["hp.alpha"],
        unlabelled_weight=case["hp.lambda_u"],
    )  # fmt: skip
    method.network, method.class_weights = Linear(case["W"]), case["class_weights"]
    method.epoch = epoch
    assert method.mix_alpha == case["alpha_used"]
    method._mixing = lambda *_: recorded_mixing(case["beta_draw"], case["perm"])
    labelled = Batch((case["x1"], case["x2"]), case["labels"], torch.arange(n))
    others = torch.arange(n, n + len(case["u1"]))
    parts = {"labelled": labelled, "unlabelled": Batch((case["u1"], case["u2"]), others, others)}
    output = method(Batch(labelled.views, labelled.y_noisy, labelled.index, parts=parts))
    weight = unlabelled_weight(epoch, weight=case["hp.lambda_u"], warmup=int(case["hp.T1"]))
    assert output.loss.item() == pytest.approx(case["loss_x"], rel=1e-5)
    assert output.terms["unlabelled"].item() == pytest.approx(weight * case["loss_u"], rel=1e-5)
    total = output.loss + output.terms["unlabelled"]
    assert total.item() == pytest.approx(case["loss"], rel=1e-5)
    total.backward()
    assert close_to(method.network.weight.grad, case["grad_W"], 1e-5)


def test_the_weight_of_the_unlabelled_term_rises_as_in_the_official_code():
    case = case_of("pes", "ramp")
    found = [unlabelled_weight(e, weight=15.0, warmup=20) for e in case["epochs"].tolist()]
    expected = case["T1_20_lambda15"]
    torch.testing.assert_close(torch.tensor(found).double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("semi", "name"), [(True, "renew0"), (False, "renew1")])
def test_the_layers_of_the_official_code_are_made_anew(semi, name):
    torch.manual_seed(0)
    method = Pes(
        PesSettings(backbone="resnet18", semi=semi, warm_up=0), Problem(10, 20, (32, 32, 3))
    )
    before = {key: value.clone() for key, value in method.network.state_dict().items()}
    y = torch.arange(20) % 10
    part = method.phases(context_of(method, y, epoch=0))[0]
    phase = method.phase_start(context_of(method, y, epoch=0, phase=part))
    parameters = dict(method.network.named_parameters())
    moving = {id(p) for g in method.parameter_groups() if g["name"] in phase.trains
              for p in g["params"]}  # fmt: skip
    replaced = set(case_of("pes", name)["replaced"].tolist())
    assert {key for key, value in parameters.items() if id(value) in moving} == replaced
    # Batch norm starts at one and zero, before and after.
    drawn = {key for key in replaced if "bn" not in key and "shortcut.1" not in key}
    changed = {key for key, p in parameters.items() if not torch.equal(p, before[key])}
    assert changed == drawn


def session_of(semi, **settings):
    usual = {"backbone": "small-cnn", "epochs": 5, "warm_up": 1, "classifier_epochs": 2,
             "lr": 0.05, "renewal_lr": 0.01, "stage_epochs": 0 if semi else 1}  # fmt: skip
    return toy_session(Pes, **(usual | settings), semi=semi)


def trained(stop_at=None, **settings):
    """Step by step the weights of each part, and its optimiser."""
    session, found = session_of(**settings), []
    step_end = session.method.step_end

    def noting(context):
        groups = {group["name"]: group for group in session.optimizer.param_groups}
        weights = {name: torch.cat([p.detach().flatten().clone() for p in group["params"]])
                   for name, group in groups.items()}  # fmt: skip
        kinds = {name: group["optimizer"] for name, group in groups.items()}
        found.append((context.epoch, context.phase, weights, kinds))
        step_end(context)

    session.method.step_end = noting
    to_the_end(session, stop_at)
    return session, found


def in_place(found, epoch, phase=""):
    """First and last weights and optimisers of a phase."""
    steps = [(weights, kinds) for e, name, weights, kinds in found if (e, name) == (epoch, phase)]
    return steps[0], steps[-1]


@pytest.mark.parametrize("semi", [False, True])
def test_new_layers_train_alone_and_then_with_the_others(semi):
    _, found = trained(semi=semi)
    new = "classifier" if semi else "stage"
    (_, before), (first, during) = in_place(found, 0)[1], in_place(found, 1, f"{new} 0")[0]
    assert before[new] == "sgd"
    assert during[new] == "adam"
    last = in_place(found, 1, "classifier 1")[1][0]
    assert torch.equal(first["body"], last["body"])
    assert not torch.equal(first["classifier"], last["classifier"])
    start, (end, kinds) = in_place(found, 4)
    assert set(kinds.values()) == {"sgd"}
    assert all(not torch.equal(start[0][part], end[part]) for part in end)


@pytest.mark.parametrize("semi", [False, True])
def test_new_layers_stay_as_they_are_where_the_optimiser_does_not_know_them(semi):
    _, found = trained(semi=semi, new_layers_in_optimizer=False)
    left, (end, _) = in_place(found, 1, "classifier 1")[1][0], in_place(found, 4)[1]
    assert not torch.equal(left["body"], end["body"])
    assert all(torch.equal(left[part], end[part]) for part in end if part != "body")


@pytest.mark.parametrize("semi", [False, True])
def test_a_stop_in_any_kind_of_phase_changes_no_bit(lab, semi):
    whole, found = trained(semi=semi)
    places = [step[:2] for step in found]
    begun = [places.index(place) for place in dict.fromkeys(places)]
    # Within the warm-up and each way that follows, and before the first of new layers.
    for done in (1, begun[1], *(first + 1 for first in begun[1:5])):
        trained(done, semi=semi)
        again = session_of(semi=semi)
        assert resume(again, KEY)
        to_the_end(again)
        expected, there = everything(whole)["method"], everything(again)["method"]
        assert all(torch.equal(expected[key], there[key]) for key in expected)


def test_each_sample_is_shown_by_two_draws():
    method = method_for(3, 6)
    asked = {}

    def predict(augmented, _averaged, samples, function, views, training):
        asked.update(augmented=augmented, views=views, training=training, samples=samples)
        return function(torch.ones(6, 1, 8, 8), torch.zeros(6, 1, 8, 8))

    context = Context("pes", frozenset(), torch.zeros(6).long(), None, 3, 9, 0, predict, epoch=1)
    method.epoch_start(context)
    assert asked == {
        "augmented": False, "views": ("weak", "weak"), "training": False, "samples": None,
    }  # fmt: skip
    both = [method.network(x(6, 1, 8, 8)).softmax(1) for x in (torch.ones, torch.zeros)]
    torch.testing.assert_close(method.predicted, (both[0] + both[1]) / 2)


def test_where_all_samples_are_confident_none_is_unlabelled():
    method, y = method_for(3, 12, semi=True, batch_size=4), torch.arange(12) % 3
    method.predicted.copy_(nn.functional.one_hot(y, 3))
    streams = method.phase_start(context_of(method, y)).streams
    assert list(streams) == ["labelled"]
    x = torch.sin(torch.arange(4 * 64.0)).view(4, 1, 8, 8)
    part = Batch((x, x.flip(3)), y[:4], torch.arange(4))
    output = method(Batch(part.views, part.y_noisy, part.index, parts={"labelled": part}))
    assert output.loss.isfinite()
    assert not output.terms


@pytest.mark.parametrize("n", [1, 2, 3, 64])
def test_a_step_has_samples_of_both_kinds(n):
    for sizes in ((1, 999), (999, 1), (500, 500)):
        assert min(part_sizes(*sizes, n)) >= 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"warm_up": 3, "epochs": 3}, "--warm-up 1"),
        ({"stage_epochs": 0, "classifier_epochs": 0}, "--classifier-epochs 5"),
        ({"mix_alpha": 4.0}, "without semi takes no mix_alpha"),
        ({"backbone": "lenet"}, "--stage-epochs 0"),
    ],
)
def test_settings_that_do_not_fit(settings, words):
    with pytest.raises(LabError, match=words):
        Pes(PesSettings(**settings), Problem(3, 12, (32, 32, 1)))
