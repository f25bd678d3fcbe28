"""Where the store lies, as LNL_STORE says."""

import pytest

from pipeline.errors import LabError
from pipeline.storage.places import store_place


def test_the_store_lies_where_its_variable_says(lab, monkeypatch):
    assert store_place().folder == lab / "results" / "store"
    monkeypatch.chdir("/")
    monkeypatch.setenv("LNL_STORE", "shared/store")
    assert store_place().folder == lab / "shared" / "store"
    monkeypatch.setenv("LNL_STORE", "s3://bucket/some/store/")
    assert store_place().address == "s3://bucket/some/store"
    assert not list(lab.glob("s3:*"))


def test_another_address_is_one_line(lab, monkeypatch):
    monkeypatch.setenv("LNL_STORE", "gs://bucket/store")
    with pytest.raises(LabError, match=r"gs://bucket/store.*; expected: "):
        store_place()
