"""Which samples a run trains on, epoch by epoch."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from methods import losses
from pipeline.config import RunSettings
from pipeline.data.dataset import load_dataset
from pipeline.errors import LabError
from pipeline.noise.label_table import load_table
from pipeline.runs.inputs.samples import choose_samples, uncovered
from pipeline.training.batches import epoch_samples
from tests.support.runs import numbers, row, run

LABELS = torch.from_numpy(np.repeat([0, 1, 2], [7, 4, 9]))


def test_an_epoch_visits_all_samples_once_unless_it_is_balanced():
    everything = epoch_samples(RunSettings(), 0, LABELS)
    assert torch.equal(everything.sort().values, torch.arange(20))
    balanced = epoch_samples(RunSettings(sampling="balanced"), 0, LABELS)
    assert LABELS[balanced].bincount().tolist() == [4, 4, 4]


def test_a_balanced_epoch_is_drawn_anew_and_keeps_the_rarest_class_whole():
    settings = RunSettings(sampling="balanced", seed=3)
    epochs = [set(epoch_samples(settings, epoch, LABELS).tolist()) for epoch in range(5)]
    assert len({frozenset(epoch) for epoch in epochs}) > 1
    assert {frozenset(epoch & set(range(7, 11))) for epoch in epochs} == {frozenset(range(7, 11))}
    again = epoch_samples(settings, 2, LABELS)
    assert torch.equal(again, epoch_samples(settings, 2, LABELS))


def test_a_balanced_epoch_is_mixed():
    y = torch.arange(10).repeat_interleave(100)
    drawn = y[epoch_samples(RunSettings(sampling="balanced", per_class=50), 0, y)]
    # 500 mixed labels change at about 450 places; class by class they would change at 9.
    assert (drawn.diff() != 0).sum() > 400


def test_more_than_the_rarest_class_has_is_never_taken():
    for per_class, expected in ((3, 3), (4, 4), (5, 4), (500, 4)):
        settings = RunSettings(sampling="balanced", per_class=per_class)
        found = LABELS[epoch_samples(settings, 0, LABELS)]
        assert found.bincount().tolist() == [expected] * 3


def test_down_sampling_keeps_equally_many_of_each_given_label(lab):
    outcome = run(epochs=1, down_sample=True, val_rate=0.0)
    counts = numbers(outcome.key)[1]["y_noisy"].value_counts()["count"].to_list()
    assert len(set(counts)) == 1
    table = load_table("digits", "symmetric-40")
    assert counts[0] == np.bincount(table.y_noisy).min()
    other = run(epochs=1, val_rate=0.0)
    assert other.key != outcome.key


def test_validation_on_the_images_that_the_table_leaves_out(lab):
    run(epochs=1)
    dataset, table = load_dataset("digits"), load_table("digits", "symmetric-40")
    with pytest.raises(LabError, match="leaves out"):
        uncovered(dataset, table)
    part = table.__class__(
        **{**vars(table), "index": table.index[:-90], "y_noisy": table.y_noisy[:-90],
           "y_clean": table.y_clean[:-90]}
    )  # fmt: skip
    rest, clean = uncovered(dataset, part)
    assert np.array_equal(rest, table.index[-90:])
    assert np.array_equal(clean, table.y_clean[-90:])
    for settings in (RunSettings(), RunSettings(validation="uncovered", val_rate=0.5)):
        held_out, kept = choose_samples(part, settings)
        assert len(held_out) == 0
        assert len(kept) == len(part.index)


def test_the_last_small_batch_can_be_left_out(lab, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        losses, "ce", lambda logits, y: (sizes.append(len(y)), cross_entropy(logits, y))[1]
    )
    outcome = run(epochs=1, drop_last=True, batch_size=100)
    assert set(sizes) == {100}
    n_train = row(outcome.key)["n_train"]
    assert len(sizes) == n_train // 100
    # A sample that no step visited has no statistics of the training pass.
    assert (numbers(outcome.key)[1]["prediction"] == -1).sum() == n_train % 100
