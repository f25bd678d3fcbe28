"""The loop on a session without data: records of an epoch, sums across a stop."""

import pytest
import torch

from pipeline.training.batches import Labelled
from pipeline.training.loop import run_epochs
from pipeline.training.stopping import StopRequest
from tests.support.tiny_session import EVERYONE, Images, Y, tiny_session
from tests.support.toy_methods import Plain, to_the_end, toy_session
from tests.support.two_processes import on_processes


def records(session, save_seconds=1e9, write=lambda: None):
    with StopRequest(session.processes, save_seconds, write) as stop:
        return list(run_epochs(session, stop))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ((None, Y), {"val_clean_accuracy"}),
        (((Y + 1) % 3, None), {"val_noisy_accuracy"}),
        (((Y + 1) % 3, Y), {"val_clean_accuracy", "val_noisy_accuracy"}),
    ],
)
def test_noisy_and_clean_accuracy_hold_what_they_say(labels, expected):
    session = tiny_session(epochs=1)
    session.validation = Labelled(Images(), EVERYONE, *labels)
    (record,) = records(session)
    for prefix in ("", "averaged_"):
        columns = {f"{prefix}val_noisy_accuracy", f"{prefix}val_clean_accuracy"}
        filled = {name for name in columns if record[name] is not None}
        assert filled == {prefix + name for name in expected}
    # The test split has the same images, and its labels are the clean ones.
    if "val_clean_accuracy" in expected:
        assert record["val_clean_accuracy"] == record["test_accuracy"]


def test_an_epoch_with_averages_takes_a_pass_per_split_and_network():
    session, passes = tiny_session(epochs=1), []
    session.validation = Labelled(Images(), EVERYONE, (Y + 1) % 3, Y)
    predict = session.method.predict
    session.method.predict = lambda x: (passes.append(len(x)), predict(x))[1]
    records(session)
    assert passes == [12] * 4


def courses(rank, save_seconds):
    """Losses of a run on this process, and how often it saved."""
    saved = []
    session = tiny_session(epochs=3, batch_size=2)
    found = records(session, save_seconds, lambda: saved.append(dict(session.progress.sums)))
    return [record["train_loss"] for record in found], len(saved)


@pytest.mark.slow
def test_saving_changes_no_number_on_two_processes():
    """Sums of an epoch stay with their process: adding them up earlier would round otherwise."""
    never, often = on_processes(2, courses, 1e9), on_processes(2, courses, 0.0)
    assert [n for _, n in never] == [0, 0]
    assert often[0][1] == often[1][1] > 0
    assert torch.equal(torch.tensor(never[0][0]), torch.tensor(often[0][0]))


class Pausing(Plain):
    """Learns from every second batch."""

    def forward(self, batch):
        """As ever, but for what is learned."""
        return super().forward(batch)._replace(learns=batch.done in {0.0, 0.5})


def test_a_step_from_which_nothing_is_learned_moves_nothing():
    """Neither by momentum nor by decay; the step counts."""
    session, courses = toy_session(Pausing, epochs=1, momentum=0.9, clip_norm=1.0), []

    def watched(context):
        weights = [p.detach().clone() for p in session.method.parameters()]
        momentum = [session.optimizer.state[p]["momentum_buffer"].clone()
                    for p in session.method.parameters()]  # fmt: skip
        courses.append(weights + momentum)

    session.method.step_end = watched
    to_the_end(session)
    first, second, third, fourth = courses
    assert all(map(torch.equal, first, second))
    assert all(map(torch.equal, third, fourth))
    assert not any(map(torch.equal, second, third))
    assert session.progress.in_all == 4
