"""What predictions did over the epochs, on courses made by hand."""

import numpy as np
import pytest
import torch

from pipeline.results.schema import SAMPLE_COLUMNS
from pipeline.training.observers import LOSS_MEMORY, Ledger
from pipeline.training.processes import Processes
from tests.support.reference_arrays import case_of


def one_hot(classes, n_classes=3):
    return 5.0 * torch.nn.functional.one_hot(torch.as_tensor(classes), n_classes).float()


def ledger_of(y_noisy, y_clean=None):
    clean = None if y_clean is None else torch.tensor(y_clean)
    return Ledger(torch.tensor(y_noisy), clean, 3, Processes())


def test_dynamics_on_a_hand_made_course():
    ledger = ledger_of([0, 1, 2, 0], [0, 1, 0, 1])
    everyone = torch.arange(4)
    ledger.record(everyone, one_hot([0, 2, 0, 1]))  # sample 3 and 2: predicted as true
    first = ledger.close_epoch(0)
    ledger.record(everyone[:2], one_hot([1, 1]))  # in two batches; sample 0 is forgotten
    ledger.record(everyone[2:], one_hot([2, 1]), 1)  # sample 2: memorised
    second = ledger.close_epoch(1)
    assert first == {
        "train_accuracy": 0.25,
        "memorised": 0.0,
        "corrected": 1.0,
        "clean_fitted": 0.5,
        "prediction_changes": None,
    }
    assert second == {
        "train_accuracy": 0.5,
        "memorised": 0.5,
        "corrected": 0.5,
        "clean_fitted": 0.5,
        "prediction_changes": 3,
    }
    samples = ledger.samples()
    assert samples["prediction"].tolist() == [1, 1, 2, 1]
    assert samples["forgetting"].tolist() == [1, 0, 0, 0]
    assert samples["first_fitted"].tolist() == [0, 1, 1, -1]
    assert samples["seen"].tolist() == [2, 2, 2, 2]
    assert samples["wrong_events"].tolist() == [1, 1, 1, 2]
    assert samples["prediction_changes"].tolist() == [1, 1, 1, 0]
    assert samples["mean_margin"].tolist() == pytest.approx([0, 0, 0, -5], abs=1e-5)
    fitted, missed = np.log(1 + 2 * np.exp(-5)), 5 + np.log(1 + 2 * np.exp(-5))
    assert samples["mean_loss"][0] == pytest.approx((fitted + missed) / 2)
    assert samples["last_loss"][3] == pytest.approx(missed)
    moved = LOSS_MEMORY * fitted + (1 - LOSS_MEMORY) * missed
    assert samples["average_loss"][[0, 3]].tolist() == pytest.approx([moved, missed])
    p, q = np.exp(-fitted), np.exp(-missed)
    assert samples["mean_probability"][[0, 3]].tolist() == pytest.approx([(p + q) / 2, q])
    assert samples["std_probability"][[0, 3]].tolist() == pytest.approx([(p - q) / 2, 0])
    mean = samples["mean_probabilities"]
    assert mean.dtype == torch.float16
    assert mean[0].tolist() == pytest.approx([(p + q) / 2, (p + q) / 2, q], rel=1e-3)


def test_dynamics_without_clean_labels_say_nothing_of_memorisation():
    ledger = ledger_of([0, 1])
    ledger.record(torch.tensor([0, 1]), one_hot([0, 0]))
    measures = ledger.close_epoch(0)
    assert measures == {
        "train_accuracy": 0.5, "memorised": None, "corrected": None, "clean_fitted": None,
        "prediction_changes": None,
    }  # fmt: skip


def test_a_prediction_changes_from_the_epoch_that_saw_the_sample_last():
    ledger = ledger_of([0, 1])
    both, first = torch.tensor([0, 1]), torch.tensor([0])
    course = [(both, [0, 1]), (first, [1]), (first[:0], []), (both, [1, 2])]
    changes = []
    for epoch, (index, predicted) in enumerate(course):
        if predicted:
            ledger.record(index, one_hot(predicted))
        changes.append(ledger.close_epoch(epoch)["prediction_changes"])
    assert changes == [None, 1, None, 1]
    samples = ledger.samples()
    assert samples["prediction_changes"].tolist() == [1, 1]
    assert samples["seen"].tolist() == [3, 2]


def test_changes_are_counted_as_those_of_label_wave():
    case = case_of("labelwave", "counts")
    predictions = case["predictions"]
    everyone = torch.arange(predictions.shape[1])
    n_classes = int(predictions.max()) + 1
    ledger = Ledger(everyone % n_classes, None, n_classes, Processes())
    changes = []
    for epoch, predicted in enumerate(predictions):
        ledger.record(everyone, one_hot(predicted, n_classes))
        changes.append(ledger.close_epoch(epoch)["prediction_changes"])
    assert changes == [None, *case["changes"].tolist()]
    assert int(ledger.samples()["prediction_changes"].sum()) == int(case["changes"].sum())


def test_a_probability_that_stays_has_no_spread():
    ledger = ledger_of([0])
    for epoch in range(50):
        ledger.record(torch.tensor([0]), torch.tensor([[0.3, 0.1, -0.2]]))
        ledger.close_epoch(epoch)
    assert ledger.samples()["std_probability"].item() < 1e-12


def test_the_documentation_names_the_share_of_the_moving_average():
    meaning = SAMPLE_COLUMNS["average_loss"].meaning
    assert f"{LOSS_MEMORY:g} of it and {1 - LOSS_MEMORY:.2g} of the loss" in meaning
