"""The ledger equals a plain count of all sightings, on any number of processes, after any stop."""

import numpy as np
import pytest
import torch

from pipeline.training.observers import LOSS_MEMORY, Ledger
from pipeline.training.processes import Processes
from tests.support.share import on_threads
from tests.support.two_processes import on_processes

N, K, EPOCHS, STEPS = 11, 3, 7, 4
Y = torch.arange(N) % K
STOPS = {2: 0, 3: 5, 5: 8}
"""Epoch -> batches of it, after which the run is stopped and goes on."""


def batches_of(epoch):
    """Batches of one or two streams: of sample 10 none, of others several, in one batch as well."""
    stream = torch.Generator().manual_seed(epoch)
    for step in range(STEPS):
        for part, size in enumerate((5, 1)):
            index = torch.randint(N - 1, (size,), generator=stream)
            yield index, 2 * torch.randn(size, K, generator=stream), step, part


def course(processes):
    """Measures and samples, as one of several processes has them after a run with stops."""

    def new():
        return Ledger(Y, Y.flip(0), K, processes, keeps_posterior=True)

    ledger, measures = new(), []
    for epoch in range(EPOCHS):
        for number, (index, logits, *place) in enumerate(batches_of(epoch)):
            if STOPS.get(epoch) == number:
                ledger = resumed(ledger, new())
            mine = processes.share(len(index))
            if len(mine):
                ledger.record(index[mine], logits[mine], *place)
        if STOPS.get(epoch) == 2 * STEPS:
            ledger = resumed(ledger, new())
        measures.append(ledger.close_epoch(epoch))
    return measures, ledger.samples(), ledger.state()


def resumed(ledger, again):
    state = {name: value.clone() for name, value in ledger.state().items()}
    again.load_state(state)
    return again


def expected():
    """The same by counting one sample after the other, in float64."""
    told = [[] for _ in range(N)]
    for epoch in range(EPOCHS):
        last = {}
        for index, logits, *_ in batches_of(epoch):
            last |= dict(zip(index.tolist(), logits.double().numpy(), strict=True))
        for sample, logits in last.items():
            told[sample].append((epoch, logits))
    return [statistics(own, int(y)) for own, y in zip(told, Y, strict=True)]


def statistics(told, y):
    if not told:
        return {
            "prediction": -1, "mean_loss": 0, "last_loss": 0, "mean_margin": 0, "forgetting": 0,
            "first_fitted": -1, "seen": 0, "wrong_events": 0, "prediction_changes": 0,
            "mean_probability": np.nan, "std_probability": np.nan, "average_loss": np.nan,
            "mean_probabilities": [np.nan] * K,
        }  # fmt: skip
    p = np.array([np.exp(z) / np.exp(z).sum() for _, z in told])
    predicted = p.argmax(axis=1)
    fitted, losses = predicted == y, -np.log(p[:, y])
    average = losses[0]
    for loss in losses[1:]:
        average = LOSS_MEMORY * average + (1 - LOSS_MEMORY) * loss
    return {
        "prediction": predicted[-1],
        "mean_loss": losses.mean(),
        "last_loss": losses[-1],
        "mean_margin": np.mean([z[y] - np.delete(z, y).max() for _, z in told]),
        "forgetting": (fitted[:-1] & ~fitted[1:]).sum(),
        "first_fitted": told[int(fitted.argmax())][0] if fitted.any() else -1,
        "seen": len(told),
        "wrong_events": (~fitted).sum(),
        "prediction_changes": (predicted[:-1] != predicted[1:]).sum(),
        "mean_probability": p[:, y].mean(),
        "std_probability": p[:, y].std(),
        "average_loss": average,
        "mean_probabilities": p.mean(axis=0),
    }


def test_the_ledger_is_a_count_of_the_last_sightings():
    measures, samples, _ = course(Processes())
    rows = expected()
    assert set(samples) == set(rows[0])
    for name, column in samples.items():
        values = np.array([row[name] for row in rows], dtype=float)
        tolerance = 1e-3 if name == "mean_probabilities" else 1e-5
        assert column.double().numpy() == pytest.approx(values, tolerance, 1e-6, nan_ok=True), name
    changes = [found["prediction_changes"] for found in measures]
    assert changes[0] is None
    assert sum(changes[1:]) == samples["prediction_changes"].sum() > 10


def check_that_all_keep_the_ledger_of_one(found):
    alone = course(Processes())
    for measures, samples, state in found:
        assert measures == alone[0]
        for expected_part, part in ((alone[1], samples), (alone[2], state)):
            for name, column in expected_part.items():
                # No bit differs, also where there is no number.
                torch.testing.assert_close(part[name], column, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("n_processes", [2, 3])
def test_several_processes_keep_the_ledger_of_one(n_processes):
    check_that_all_keep_the_ledger_of_one(on_threads(n_processes, course))


def course_of(rank):
    return course(Processes())


@pytest.mark.slow
def test_two_real_processes_keep_the_ledger_of_one():
    check_that_all_keep_the_ledger_of_one(on_processes(2, course_of))
