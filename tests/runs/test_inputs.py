"""Inputs are current: whatever they are made from may change between two runs."""

import numpy as np
import pytest

from pipeline.errors import LabError
from pipeline.noise.noise_spec import Symmetric
from tests.support.lab import PARAMS, write_params
from tests.support.runs import planned


def digests(**settings):
    """Digests of the inputs of a run as it would be carried out now."""
    row = planned(**settings).row
    return row["data_digest"], row["labels_digest"]


def test_a_changed_data_set_is_read_again(lab):
    first = digests()
    assert digests() == first
    half = {"digits": {"kind": "digits", "test_rate": 0.5}}
    write_params(lab, PARAMS | {"datasets": half})
    assert digests()[0] != first[0]
    write_params(lab, PARAMS)
    assert digests() == first


@pytest.mark.parametrize("kind", ["file", "dependent", "instance", "hybrid"])
def test_a_changed_file_makes_its_label_table_anew(lab, kind):
    clean = planned(noise="clean").inputs.dataset.train_labels
    stream = np.random.default_rng(0)

    def write(seed):
        labels = clean.copy()
        part = np.random.default_rng(seed).choice(len(clean), 300, replace=False)
        labels[part] = (labels[part] + 1) % 10
        np.save(lab / "labels.npy", labels)
        scores = np.eye(10)[labels] + stream.random((len(clean), 10))
        np.save(lab / "scores.npy", scores / scores.sum(axis=1, keepdims=True))

    file = {"kind": "file", "path": "labels.npy"}
    entry = {
        "file": file,
        "dependent": {"kind": "dependent", "rate": 0.4, "posterior": "scores.npy"},
        "instance": {"kind": "instance", "rate": 0.4, "features": "scores.npy"},
        "hybrid": {"kind": "hybrid", "base": file, "then": {"kind": "symmetric", "rate": 0.1}},
    }[kind]
    write_params(lab, PARAMS | {"noise": {"mine": entry}})
    write(1)
    first = digests(noise="mine")
    assert digests(noise="mine") == first
    write(2)
    changed = digests(noise="mine")
    assert changed[1] != first[1]
    # A file that is gone, as on another machine, cannot have changed.
    (lab / "labels.npy").unlink()
    (lab / "scores.npy").unlink()
    assert digests(noise="mine") == changed


def test_a_raised_version_of_a_generator_makes_its_tables_anew(lab, monkeypatch):
    before = planned().inputs.table.card.version
    monkeypatch.setattr(Symmetric, "VERSION", before + 1)
    assert planned().inputs.table.card.version == before + 1


def test_a_damaged_table_is_made_anew(lab):
    first = digests()
    path = lab / "labels" / "digits" / "symmetric-40" / "labels.parquet"
    path.write_bytes(path.read_bytes()[:100])
    assert digests() == first


def test_labels_that_were_imported_can_be_trained_on(lab, monkeypatch):
    from pipeline.noise import __main__ as program

    labels = planned(noise="clean").inputs.dataset.train_labels.copy()
    part = np.random.default_rng(0).choice(len(labels), 300, replace=False)
    labels[part] = (labels[part] + 1) % 10
    np.save(lab / "human.npy", labels)
    monkeypatch.setattr("sys.argv", ["noise", "import", str(lab / "human.npy"), "digits", "human"])
    program.main()
    table = planned(noise="human").inputs.table
    np.testing.assert_array_equal(table.y_noisy, labels)
    with pytest.raises(LabError, match="pipeline.noise import"):
        planned(noise="humans")


def test_open_set_labels_tell_where_their_images_come_from(lab):
    sources = {"digits": {"kind": "digits"}, "a": {"kind": "digits", "test_rate": 0.3},
               "b": {"kind": "digits", "test_rate": 0.4}}  # fmt: skip
    noise = {name: {"kind": "openset", "rate": 0.2, "source": name} for name in ("a", "b")}
    write_params(lab, PARAMS | {"datasets": sources, "noise": noise})
    assert digests(noise="a")[1] != digests(noise="b")[1]
