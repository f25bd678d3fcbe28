"""Fewer images than a batch: trained on, or refused in one line before anything is trained."""

import pytest

from pipeline.errors import LabError
from pipeline.results.store import Store
from tests.support.lab import PARAMS, write_params
from tests.support.runs import row, run
from tests.support.tiny_encoder import ENTRY


@pytest.mark.parametrize("method", ["robust_loss", "sln", "simclr"])
def test_drop_last_that_leaves_nothing_names_the_batch_size(lab, method):
    settings = {"batch_size": 2000, "drop_last": True, "backbone": "small-cnn"}
    with pytest.raises(LabError, match="batch_size 2000 with drop_last.*--batch-size 1"):
        run(method, epochs=1, **settings)
    assert Store().epochs().collect().is_empty()


def test_so_does_that_of_an_encoder(lab):
    entry = ENTRY | {"batch_size": 2000, "drop_last": True}
    write_params(lab, PARAMS | {"encoders": {"simclr-digits": entry}})
    with pytest.raises(LabError, match="batch_size 2000 with drop_last"):
        run("feature_classifier", epochs=1)


def test_fewer_images_than_a_batch_are_one_batch(lab):
    key = run(epochs=1, batch_size=2000).key
    assert row(key)["status"] == "done"
