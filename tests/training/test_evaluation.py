"""Evaluation and prediction passes: one pass for all labels, the run's precision, equal shares."""

import numpy as np
import pytest
import torch
from torch import distributed

from pipeline.backbones import make_backbone
from pipeline.config import RunSettings
from pipeline.data.views import DeviceImages
from pipeline.training import evaluation
from pipeline.training.evaluation import (
    evaluate,
    evaluate_with_members,
    predictions,
    sizes_at_once,
)
from pipeline.training.method import Problem
from pipeline.training.processes import Processes
from tests.support import small_session
from tests.support.crossings import Watch
from tests.support.every_method import METHODS
from tests.support.tiny_session import Images, Tiny, images_of
from tests.support.toy_methods import Plain, ToyImages
from tests.support.two_processes import on_processes

EVERYONE = torch.arange(12)
PAIRS = ["co_teaching", "dividemix", "elr", "jocor", "promix"]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def counting(method):
    """Count the passes of a method by the samples it sees."""
    seen, predict = [], method.predict
    method.predict = lambda x: (seen.append(len(x)), predict(x))[1]
    return seen


def test_two_sets_of_labels_take_one_pass():
    method = Tiny()
    p = method.eval().predict(images_of(EVERYONE))
    best, seen = p.argmax(dim=1), counting(method)
    labels = {"noisy": (best + 1) % 3, "clean": best}
    found = evaluate(method, Images(), EVERYONE, labels, Processes())
    assert seen == [12]
    assert (found["noisy"].accuracy, found["clean"].accuracy) == (0.0, 1.0)
    assert found["clean"].confusion.diagonal().sum() == 12
    loss = torch.nn.functional.nll_loss(p.log(), labels["noisy"])
    assert found["noisy"].loss == pytest.approx(float(loss.detach()), rel=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_each_network_of_a_pair_predicts_an_image_once(name, monkeypatch):
    monkeypatch.setattr(small_session, "N", 150)
    monkeypatch.setattr(evaluation, "_PIXELS", 64)
    session = small_session.small_session(name, {"plus": True} if name == "elr" else {})
    Watch(session).epoch(0)
    test, method = session.test, session.method.eval()
    alone = {member: probabilities_by(session, p) for member, p in method.members().items()}
    joint = probabilities_by(session, method.predict)
    seen = {member: [] for member in alone}
    for member, peer in method.networks.items():
        first = next(layer for layer in peer.modules() if isinstance(layer, torch.nn.Conv2d))
        first.register_forward_hook(lambda _, x, __, sizes=seen[member]: sizes.append(len(x[0])))
    whole, members = evaluate_with_members(
        method, test.images, test.index, test.y_clean, session.processes
    )
    assert {member: sum(sizes) for member, sizes in seen.items()} == dict.fromkeys(alone, 150)
    assert members.keys() == alone.keys()
    assert whole.confusion.equal(confusion(joint, test.y_clean))
    for member, found in members.items():
        assert found.confusion.equal(confusion(alone[member], test.y_clean))
    assert all("forward" not in vars(peer) for peer in method.networks.values())


def probabilities_by(session, function):
    """All test images at once, by one function of the method."""
    test = session.test
    (batch,) = test.images.batches([test.index], session.method.predict_views, [0])
    with torch.no_grad():
        return function(*batch)


def confusion(p, y):
    """Counts [K, K]: row the label, column the prediction."""
    n_classes = p.shape[1]
    cells = torch.bincount(y * n_classes + p.argmax(dim=1), minlength=n_classes**2)
    return cells.view(n_classes, n_classes)


class Given(Tiny):
    """Predicts what it is given, image by image."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def predict(self, x):
        """The next of the probabilities."""
        head, self.p = self.p[: len(x)], self.p[len(x) :]
        return head


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_calibration_error_is_the_gap_of_each_bin(dtype):
    # One image in (9/15, 10/15], right; two in (4/15, 5/15] or on its upper end, one of them right.
    third = (1 / 3, 1 / 3, 1 / 3)
    p = torch.tensor([(0.65, 0.35, 0.0), third, (0.34, 0.33, 0.33), (0.3, 0.3, 0.4)], dtype=dtype)
    y = torch.tensor([0, 1, 1, 2])
    found = evaluate(Given(p), Images(), EVERYONE[:4], {"clean": y}, Processes())["clean"]
    # Wrong with 1/3, wrong with 0.34, right with 0.65, right with 0.4.
    expected = (abs(0.65 - 1) + 1 / 3 + abs(0.34 + 0.4 - 1)) / 4
    assert found.calibration_error == pytest.approx(expected, abs=1e-6)
    certain = torch.eye(3, dtype=dtype)[[0, 1, 2, 0]]
    found = evaluate(Given(certain), Images(), EVERYONE[:4], {"clean": y}, Processes())["clean"]
    assert found.accuracy == 0.5
    assert found.calibration_error == 0.5


def test_a_view_that_is_asked_for_twice_is_drawn_twice():
    method, seen = Plain(RunSettings(), Problem(3, 13, (4, 4, 1))), []

    def apart(*views):
        seen.extend(views)
        return views[0].flatten(1)

    drawn = predictions(method, ToyImages(), EVERYONE, Processes(), 5, apart, ("weak", "weak"))
    first, second = seen
    assert not torch.equal(first, second)
    (alone,) = next(ToyImages().batches([EVERYONE], ("weak",), [5]))
    assert torch.equal(first, alone)
    assert torch.equal(drawn, alone.flatten(1))


def in_precision(rank, precision):
    """Whether networks compute in bfloat16, in evaluation and in prediction; and the types."""
    method, processes = Tiny(), Processes(precision)
    weights, predict = [], method.predict

    def spied(x):
        weights.append(method.network[2](method.network[1](x)).dtype)
        return predict(x)

    method.predict = spied
    p = predictions(method, Images(), EVERYONE, processes)
    evaluate(method, Images(), EVERYONE, {"clean": EVERYONE % 3}, processes)
    return weights, p.dtype


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_evaluation_has_the_precision_of_training(precision, dtype):
    ((weights, found),) = on_processes(1, in_precision, precision)
    assert weights == [getattr(torch, dtype)] * 2
    assert found == torch.float32


def less_the_mean_of_all(rank, n):
    """A pass in training mode whose function waits for all processes in each batch."""
    method, modes = Tiny(), []

    def centred(x):
        modes.append(method.training)
        x = x.flatten(1)
        sums = torch.cat([x.sum(dim=0), torch.tensor([float(len(x))])])
        if distributed.is_initialized():
            distributed.all_reduce(sums)
        return x - sums[:-1] / sums[-1]

    index = torch.arange(n)
    rows = predictions(
        method, Images(), index, Processes(), function=centred, views=("plain",), training=True
    )
    return rows, modes


@pytest.mark.parametrize("n", [1024, 1025])
def test_a_pass_in_training_mode_does_not_depend_on_the_number_of_processes(n):
    """With 1,025 samples one process has a batch of one sample that the other lacks."""
    expected = torch.cat(
        [x - x.mean(dim=0) for x in images_of(torch.arange(n)).flatten(1).split(512)]
    )
    for rows, modes in on_processes(2, less_the_mean_of_all, n):
        assert modes == [True] * -(-n // 512)
        # Sums of 512 numbers of size 1 in float32, in another order.
        torch.testing.assert_close(rows, expected, rtol=0, atol=512 * 2**-23)


def test_a_pass_leaves_the_method_in_training_mode():
    method = Tiny()
    for training in (False, True):
        predictions(method, Images(), EVERYONE, Processes(), training=training)
        assert method.training


@pytest.mark.parametrize(
    ("n", "side", "device", "expected"),
    [
        (512, 32, CPU, [64] * 8),
        (272, 32, CPU, [64, 64, 64, 80]),
        (127, 32, CPU, [127]),
        (512, 8, CPU, [512]),
        (100, 224, CPU, [32, 32, 36]),
        (512, 32, CUDA, [512]),
    ],
)
def test_a_cpu_takes_as_many_images_at_once_as_its_cache_holds(n, side, device, expected):
    assert sizes_at_once(n, (side, side), device) == expected


def pass_over_many(training=False):
    """What a network sees in a pass over 600 images of 32 x 32, as one number of each."""
    seen, n = [], 600
    pixels = np.arange(n, dtype=np.uint8)[:, None, None, None] + np.zeros((n, 32, 32, 1), np.uint8)
    images = DeviceImages(pixels, (0.0,), (1.0,), CPU)

    def first(x):
        seen.append(len(x))
        return x[:, 0, :1, 0]

    rows = predictions(
        Tiny(), images, torch.arange(n), Processes(), function=first, training=training
    )
    assert (255 * rows[:, 0]).round().equal(torch.arange(n) % 256.0)
    return seen


def test_every_image_is_predicted_once_and_in_its_place():
    assert pass_over_many() == [64] * 8 + [88]


def test_a_batch_in_training_mode_stays_whole():
    assert pass_over_many(training=True) == [512, 88]


@pytest.mark.slow
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("name", "n"),
    [("small-cnn", 512), ("small-cnn", 189), ("lenet", 189), ("cnn8", 129), ("resnet18", 143)],
)
def test_a_network_has_the_same_bits_in_parts_of_a_batch(name, n, precision):
    torch.manual_seed(0)
    network = make_backbone(name, 10, 3).eval().to(memory_format=torch.channels_last)
    x = torch.randn(n, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    sizes = sizes_at_once(n, (32, 32), CPU)
    assert len(sizes) > 1
    with torch.no_grad(), torch.autocast("cpu", precision, enabled=precision != torch.float32):
        parts = torch.cat([network(part) for part in x.split(sizes)])
        assert parts.equal(network(x))


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_the_same_bits_in_parts_of_a_batch(name, monkeypatch):
    monkeypatch.setattr(small_session, "N", 150)
    session = small_session.small_session(name, {})
    Watch(session).epoch(0)
    tested, found = session.test, []
    for pixels in (2**16, 64):
        monkeypatch.setattr(evaluation, "_PIXELS", pixels)
        passed = evaluation.probabilities(
            session.method, tested.images, tested.index, session.processes
        )
        found.append(torch.cat([p for _, p in passed]))
    whole, parts = found
    assert len(whole) == 150
    assert parts.equal(whole)
