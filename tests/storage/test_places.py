"""Where the store lies, as LNL_STORE says."""

import pytest

from pipeline.errors import LabError
from pipeline.storage.places import artefact_place, store_place


def test_the_store_lies_where_its_variable_says(lab, monkeypatch):
    assert store_place().folder == lab / "results" / "store"
    monkeypatch.chdir("/")
    monkeypatch.setenv("LNL_STORE", "shared/store")
    assert store_place().folder == lab / "shared" / "store"
    monkeypatch.setenv("LNL_STORE", "s3://bucket/some/store/")
    assert store_place().address == "s3://bucket/some/store"
    assert not list(lab.glob("s3:*"))


def test_what_belongs_to_runs_lies_in_the_shared_folder_where_there_is_one(lab, monkeypatch):
    assert artefact_place() == store_place()
    monkeypatch.setenv("LNL_STORE", "s3://bucket/store")
    assert artefact_place() == store_place()
    monkeypatch.setenv("LNL_SHARED", "shared")
    assert artefact_place().folder == lab / "shared"
    monkeypatch.setenv("LNL_SHARED", "s3://bucket/shared")
    with pytest.raises(LabError, match="LNL_SHARED = 's3://bucket/shared'; expected: a folder"):
        artefact_place()


def test_another_address_is_one_line(lab, monkeypatch):
    monkeypatch.setenv("LNL_STORE", "gs://bucket/store")
    with pytest.raises(LabError, match=r"gs://bucket/store.*; expected: "):
        store_place()
