"""A step makes the host wait for no device: what would is counted on a CPU, for every method."""

import numpy as np
import pytest
import torch

from pipeline.data import views
from pipeline.data.host import constant, fetched, sent
from pipeline.data.images import strong
from pipeline.data.images.augmentation import AUGMENTATIONS
from tests.support.crossings import Crossings, Watch
from tests.support.every_method import METHODS, VARIANTS
from tests.support.fake_device import NoNumber, fake_device, step_of_epoch
from tests.support.small_session import small_session

CPU, MEAN = torch.device("cpu"), (0.5,) * 3
VIEWS = ["plain", "strong", *AUGMENTATIONS]
LAST = 2
"""Number of the epoch that is watched: every method does by then what it is known for."""
ITS_OWN = {
    "dividemix": {"warm_up": 1},
    "pes": {"batch_size": 4},  # few samples are confident so early
    "promix": {"warm_up": 1, "guess_from": 2, "threshold": 0.2, "keep_rate": 0.2},
}
"""Settings with which there are steps of the kind that the method is known for."""
FURTHER = [
    ("co_teaching", {"plus": True, "plus_from": 0, "drop_for_first": True}),
    ("feature_classifier", {"classifier": "knn"}),
    ("lra_diffusion", {"query": "re-encoded"}),
    ("lra_diffusion", {"f_q": "neighbours"}),
    ("robust_loss", {"loss": "dal"}),
    ("robust_loss", {"loss": "nlnl"}),
    ("representation_regularization", {"loss": "elr", "regulariser": "rkd_angle"}),
    ("representation_regularization", {"loss": "dmi"}),
    ("representation_regularization", {"loss": "peer"}),
    ("sln", {"correction": True}),
]
LONG = {"dividemix", "jocor", "pes", "promix", "representation_regularization", "ssr"}
"""Methods whose three epochs take longer."""
ONES = [(name, ITS_OWN.get(name, {})) for name in METHODS]
SLOW = [case for case in ONES if case[0] in LONG]
SLOW += [case for case in [*VARIANTS, *FURTHER] if case not in ONES]
CASES = [case for case in ONES if case not in SLOW]
CASES += [pytest.param(*case, marks=pytest.mark.slow) for case in SLOW]

WAITS = {
    "cores": (1, "whether anything of the batch is kept decides whether the optimiser moves at all,"
                 " momentum and decay included; the host asks when the gradients are under way"),
    "disc": (1, "only samples of a set pass mixed, and batch norm sees as many as there are"),
    "promix": (2, "the same of the samples that each network selects of this batch"),
    "co_teaching plus": (1, "means are over so many samples as the networks disagree about, in an"
                            " order of summation that masks would change"),
    "feature_classifier knn": (2, "an exact search asks how many candidates there are, and which"
                                  " queries are not proven yet"),
    "lra_diffusion re-encoded": (2, "the same search"),
}  # fmt: skip
"""Where the algorithm needs numbers that the device alone knows: how often, and why."""
SENT = {
    "disc": 4, "dividemix": 1, "elr plus": 1, "feature_classifier": 1, "lra_diffusion": 1,
    "pes": 1, "promix": 15, "representation_regularization": 4, "simclr": 4, "sop plus": 1,
    "ssr": 6,
}  # fmt: skip
"""Copies in a step that nobody waits for: operations of a view, pairs to be mixed, FMix's masks,
rows that were chosen, rows of a table of embeddings."""
EPOCH = {"dividemix": 64, "pes": 80, "promix": 20, "ssr": 30, "elr": 20, "co_teaching": 20,
         "jocor": 20, "simclr": 16, "sln": 16}  # fmt: skip
"""Waits of a whole epoch beside those of its steps, per phase, network, stream and pass of one."""
USUAL = 16


def limit_of(table, name, own, otherwise):
    """The entry of a method, or of the words of its settings behind it."""
    words = [f"{name} {word}" for word in [*own, *map(str, own.values())]]
    return next((table[word] for word in [*words, name] if word in table), otherwise)


@pytest.mark.parametrize(("name", "own"), CASES)
def test_a_step_waits_only_where_the_algorithm_must(name, own):
    watch = Watch(small_session(name, own))
    watch.epoch(LAST)
    assert watch.steps
    waits, _ = limit_of(WAITS, name, own, (0, ""))
    for step in watch.steps:
        assert step.waits.total() <= waits, step.waits
        assert step.of_passes.total() == 0, step.of_passes
        assert step.sent.total() <= limit_of(SENT, name, own, 0), step.sent
    # A limit is not larger than what there is.
    assert max(step.waits.total() for step in watch.steps) == waits
    rest = sum((part.waits + part.of_passes for part in watch.rest), start=type(step.waits)())
    assert rest.total() <= limit_of(EPOCH, name, own, USUAL), rest


@pytest.mark.slow
@pytest.mark.parametrize(("name", "own"), CASES)
def test_a_step_mixes_no_devices_and_needs_no_number(name, own, monkeypatch):
    session = small_session(name, own)
    if limit_of(WAITS, name, own, None) and name != "cores":
        with pytest.raises(NoNumber):
            step_of_epoch(session, LAST, monkeypatch)
        return
    output = step_of_epoch(session, LAST, monkeypatch)
    assert output.total.device.type == "cuda"


@pytest.mark.parametrize("name", VIEWS)
def test_the_views_of_a_batch_wait_for_nothing(name):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 9, 9, 3), dtype=np.uint8)
    images = views.DeviceImages(pixels, MEAN, MEAN, CPU, crop_padding=2, flip=True)
    with Crossings() as crossings:
        made = images.batches(torch.arange(64).split(32), (name,), (3,))
        next(made)
        first = crossings.take()
        next(made)
    second = crossings.take()
    assert first.waits.total() == second.waits.total() == second.of_passes.total() == 0
    decided = name == "strong" or (name in AUGMENTATIONS and AUGMENTATIONS[name].has_operations)
    assert (first.of_passes.total(), second.sent.total()) == (int(decided), int(decided))


@pytest.mark.slow
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_made_where_the_images_are(name, monkeypatch):
    pixels, positions = np.zeros((6, 9, 9, 3), np.uint8), np.arange(5)
    monkeypatch.setattr(views, "fetched", lambda parts: [positions] * len(parts))
    # What the host decides for the strong view it works out with numbers, which nothing has below.
    drawn = strong.draw(3, positions, (3, 9, 9), torch.device("cpu"))
    cut = drawn.cut.numpy()
    monkeypatch.setattr(strong, "draw", lambda *_: drawn._replace(cut=sent(cut, device)))
    with fake_device(monkeypatch) as device:
        images = views.DeviceImages(pixels, MEAN, MEAN, device, crop_padding=2, flip=True)
        x = images.view(name, torch.arange(5, device=device), 3)
        assert (x.device.type, x.shape) == ("cuda", (5, 3, 9, 9))


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: float(x.sum()), lambda x: bool(x.any()), lambda x: x.nonzero(),
        lambda x: x[x > 2], lambda x: x.new_tensor([1.0, 2.0]), lambda x: torch.tensor([1, 2]),
        lambda x: x.cpu(), lambda x: x.tolist(), lambda x: x.unique(),
        lambda x: x.long().bincount(), lambda x: x.masked_select(x > 2),
        lambda x: torch.from_numpy(np.arange(3)),
        lambda x: x.clone().index_put_((x > 2,), x[:1].expand(2)), lambda x: torch.equal(x, x),
        lambda x: fetched([x]), lambda x: x.repeat_interleave(x.long()),
    ],
)  # fmt: skip
def test_what_makes_a_host_wait_is_counted(wait):
    with Crossings() as crossings:
        wait(torch.arange(5.0))
    assert crossings.take().waits.total() >= 1


def set_by_a_mask(x):
    x[x > 2] = 0.0


@pytest.mark.parametrize(
    "act",
    [
        lambda x: torch.nn.functional.one_hot(x.long(), 5), lambda x: torch.where(x > 2, x, 0.0),
        lambda x: x[x.argsort()], lambda x: x.new_full((2,), 3.0), set_by_a_mask,
        lambda x: constant((1.0, 2.0), torch.float32, x.device),
    ],
)  # fmt: skip
def test_what_makes_it_wait_on_a_cpu_alone_is_not(act):
    with Crossings() as crossings:
        act(torch.arange(5.0))
    assert not crossings.take().waits


def test_a_copy_that_nobody_waits_for_is_told_apart():
    with Crossings() as crossings:
        sent(np.arange(3), CPU)
    found = crossings.take()
    assert (found.waits.total(), found.sent.total()) == (0, 1)
