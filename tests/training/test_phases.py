"""Phases, streams and peers in the loop: who moves, what is seen, and a stop at any step."""

from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from pipeline.errors import LabError
from pipeline.training.checkpoints import resume
from pipeline.training.phases import Phase, Stream
from tests.support.toy_methods import (
    EVERYONE,
    KEY,
    Divided,
    DividedAlike,
    K,
    N,
    Plain,
    everything,
    to_the_end,
    toy_session,
)
from tests.support.two_processes import on_processes

STEPS = 4 + 4 + 2 * 2 * 3
"""Of a run of `Divided`: two passes over 13 samples, then two epochs of two passes over 9 or 10."""


def equal(one, other):
    """The same bits everywhere."""
    if torch.is_tensor(one):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name, value in one.items():
            equal(value, other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for value, expected in zip(one, other, strict=True):
            equal(value, expected)
    else:
        assert one == other


ADAM = {"optimizer": "adam", "averaging": 0.9}
SOME = (6, 8, 10, 13)
"""Within the second peer's phase, at its end, and within streams that have begun again."""


@pytest.mark.parametrize(
    ("settings", "numbers"),
    [
        ({}, SOME),
        (ADAM, SOME),
        pytest.param({}, range(1, STEPS + 1), marks=pytest.mark.slow),
        pytest.param(ADAM, range(1, STEPS + 1), marks=pytest.mark.slow),
    ],
)
def test_a_stop_at_a_step_changes_no_bit(lab, settings, numbers):
    whole = toy_session(Divided, posterior=True, **settings)
    assert to_the_end(whole)
    assert whole.progress.in_all == STEPS
    for number in numbers:
        assert not to_the_end(toy_session(Divided, posterior=True, **settings), number)
        again = toy_session(Divided, posterior=True, **settings)
        assert resume(again, KEY)
        assert to_the_end(again)
        equal(everything(again), everything(whole))


def stopped_runs(rank, numbers):
    """On one of two processes: a whole run, and runs that were stopped."""
    whole = toy_session(Divided)
    to_the_end(whole)
    found = []
    for number in numbers:
        to_the_end(toy_session(Divided), number)
        again = toy_session(Divided)
        resume(again, KEY)
        to_the_end(again)
        found.append(everything(again))
    return everything(whole), found


@pytest.mark.slow
def test_a_stop_on_two_processes_changes_no_bit(lab):
    for whole, found in on_processes(2, stopped_runs, (2, 4, *SOME, 15)):
        for again in found:
            equal(again, whole)


def run_alike(rank, method):
    session = toy_session(method, posterior=True, batch_size=4)
    to_the_end(session)
    return everything(session)


@pytest.mark.slow
def test_two_processes_train_what_one_trains(lab):
    """Without batch norm over less than the batch: divisions, mixing and parameters per sample."""
    alone = run_alike(0, DividedAlike)
    pair = on_processes(2, run_alike, DividedAlike)
    equal(pair[0]["method"], pair[1]["method"])
    for found in (pair[0], alone):
        del found["samples"]["mean_probabilities"]  # in the ledger, not rounded to float16
    for name in ("method", "samples", "ledger"):
        assert_close(pair[0][name], alone[name], rtol=1e-4, atol=1e-5)
    for record, expected in zip(pair[0]["records"], alone["records"], strict=True):
        assert record["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-4)
        share = record["scalars"].get("share")
        assert share == pytest.approx(expected["scalars"].get("share"))
    assert not torch.equal(alone["method"]["shift"], torch.zeros(N, K))


def measured_between_phases(rank):
    """Running statistics of the first peer as the second phase begins, on one of two processes."""
    session, found = toy_session(Divided), []
    phase_start = session.method.phase_start

    def noting(context):
        if context.phase == "b":
            found.append(session.method.peers["a"][0].running_mean.clone())
        return phase_start(context)

    session.method.phase_start = noting
    to_the_end(session)
    return found


@pytest.mark.slow
def test_what_is_measured_between_phases_is_the_same_on_two_processes():
    one, other = on_processes(2, measured_between_phases)
    equal(one, other)


def test_a_method_knows_where_it_is():
    session, places = toy_session(Divided), []
    method, epoch_start, forward = (
        session.method,
        session.method.epoch_start,
        session.method.forward,
    )

    def at_epoch(context):
        places.append((context.epoch, context.phase, context.step))
        epoch_start(context)

    def at_step(batch):
        if session.context.phase == "b":
            places.append((batch.done, session.context.step))
        return forward(batch)

    method.epoch_start, method.forward = at_epoch, at_step
    to_the_end(session)
    first = [(0, "", 0), *((done / 4, 4 + done) for done in range(4)), (1, "", 8)]
    assert places[: len(first)] == first


def test_a_peer_is_still_while_the_other_trains():
    """Weights, momentum and running statistics, with weight decay on."""
    session, courses = toy_session(Divided), {"a": [], "b": []}
    step_end = session.method.step_end

    def watched(context):
        state = session.method.state_dict()
        momentum = {
            name: [session.optimizer.state[p]["momentum_buffer"].clone()
                   for p in session.method.peers[name].parameters()
                   if p in session.optimizer.state]
            for name in "ab"
        }  # fmt: skip
        for name in "ab":
            own = [v.clone() for k, v in state.items() if k.startswith(f"peers.{name}.")]
            courses[name].append((context.phase, own + momentum[name]))
        step_end(context)

    session.method.step_end = watched
    to_the_end(session)
    for name, course in courses.items():
        for (_, before), (phase, after) in pairwise(course):
            same = len(before) == len(after) and all(map(torch.equal, before, after))
            assert same == (phase != name)


class Trap(Divided):
    """The loss depends on both peers, whichever trains."""

    def forward(self, batch):
        """As ever, and the size of both outputs."""
        output = super().forward(batch)
        both = [peer(batch.x) for peer in self.peers.values()]
        return output._replace(loss=output.loss + torch.stack(both).square().mean())


def test_a_frozen_group_is_still_even_if_the_loss_depends_on_it():
    session = toy_session(Trap, epochs=1)
    start = {name: value.clone() for name, value in session.method.state_dict().items()}
    session.method.phases = lambda context: ("a",)
    to_the_end(session)
    end = session.method.state_dict()
    assert torch.equal(end["peers.b.2.weight"], start["peers.b.2.weight"])
    assert not torch.equal(end["peers.a.2.weight"], start["peers.a.2.weight"])
    assert not any(p in session.optimizer.state for p in session.method.peers["b"].parameters())


def seen_by(method):
    """Indices of each step, by epoch, phase and stream."""
    session, seen = toy_session(method), {}
    forward = session.method.forward

    def watched(batch):
        place = session.progress.epoch, session.context.phase
        for name, part in (batch.parts or {"": batch}).items():
            seen.setdefault((*place, name), []).append(part.index)
        return forward(batch)

    session.method.forward = watched
    to_the_end(session)
    return session, seen


def test_streams_are_disjoint_and_whole_in_every_epoch():
    session, seen = seen_by(Divided)
    for epoch in (1, 2):
        for phase in "ab":
            easy, hard = (torch.cat(seen[epoch, phase, name]) for name in ("easy", "hard"))
            assert not set(easy.tolist()) & set(hard.tolist())
            assert sorted({*easy.tolist(), *hard.tolist()}) == EVERYONE.tolist()
            assert len(set(easy.tolist())) == len(easy)
    orders = [torch.cat(seen[0, phase, ""]).tolist() for phase in "ab"]
    assert orders[0] != orders[1]
    assert all(sorted(order) == EVERYONE.tolist() for order in orders)
    samples = session.ledger.samples()
    assert samples["seen"].tolist() == [3] * N  # once an epoch
    assert (samples["prediction"] >= 0).all()


def test_the_last_sighting_of_an_epoch_is_what_is_told_of_a_sample():
    class Seen(Plain):
        def phases(self, context):
            return ("first", "second")

        def forward(self, batch):
            output = super().forward(batch)
            last = {"first": 0, "second": 1}[phases[-1]]
            logits = torch.nn.functional.one_hot(batch.index * 0 + last, K).float() * 9
            return output._replace(logits=logits)

        def phase_start(self, context):
            phases.append(context.phase)
            return Phase({"some": Stream(EVERYONE[: 13 if len(phases) == 1 else 5])})

    phases = []
    session = toy_session(Seen, epochs=1)
    to_the_end(session)
    assert session.ledger.samples()["prediction"].tolist() == [1] * 5 + [0] * 8
    assert session.progress.records[0]["train_accuracy"] == pytest.approx((2 + 3) / 13)


def test_scalars_are_means_over_the_steps_that_have_them():
    class Named(Plain):
        def phases(self, context):
            return ("first", "second")

        def phase_start(self, context):
            self.now = context.phase
            return Phase(steps=1 if self.now == "second" else None)

        def forward(self, batch):
            return super().forward(batch)._replace(scalars={self.now: batch.index.double().mean()})

    session = toy_session(Named, epochs=1)
    to_the_end(session)
    scalars = session.progress.records[0]["scalars"]
    assert scalars["first"] == pytest.approx(6.0)
    assert session.progress.records[0]["train_loss"] < 10
    assert 0 <= scalars["second"] <= 12
    assert session.progress.before == 0


def test_members_have_accuracies_of_their_own():
    session = toy_session(Divided, epochs=1)
    to_the_end(session)
    scalars = session.progress.records[0]["scalars"]
    assert {"test_accuracy_a", "test_accuracy_b"} <= set(scalars)
    p = session.method.eval().members()["a"](next(session.test.images.batches(
        [EVERYONE], ("plain",), [0]))[0])  # fmt: skip
    assert scalars["test_accuracy_a"] == pytest.approx(
        float((p.argmax(1) == EVERYONE % K).double().mean())
    )


def test_an_epoch_needs_phases_with_different_names():
    session = toy_session(Plain, epochs=1)
    session.method.phases = lambda context: ("a", "a")
    with pytest.raises(ValueError, match="each with its own name"):
        to_the_end(session)


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        (Phase({"easy": Stream(EVERYONE[:0])}), "no sample is easy in epoch 0; .*threshold"),
        (
            Phase({"x": Stream(EVERYONE[:7]), "y": Stream(EVERYONE[5:9])}, partition=True),
            "streams x, y of epoch 0 miss 4 samples and share 2; ",
        ),
        (
            Phase({"x": Stream(EVERYONE[:3], drop_last=True)}),
            "3 samples are x in epoch 0, with drop_last; .*batch of 4",
        ),
        (Phase(trains=("bodies",)), "'bodies' of .* is not a named parameter group"),
        (Phase(options={"all": {}}), "'all' of .* is not a named parameter group"),
    ],
)
def test_a_phase_that_cannot_be_trained_is_refused(phase, words):
    session = toy_session(Plain, epochs=1)
    session.method.phase_start = lambda context: phase
    with pytest.raises(LabError, match=words):
        to_the_end(session)
