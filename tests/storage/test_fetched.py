"""Files that a user names, in the project or in a bucket."""

import pytest

from pipeline.errors import LabError
from pipeline.storage.fetched import local_file


def test_a_path_is_one_of_the_project(lab, monkeypatch):
    monkeypatch.setenv("HOME", str(lab / "home"))
    assert local_file("a/b.npy") == lab / "a" / "b.npy"
    assert local_file("~/b.npy") == lab / "home" / "b.npy"
    assert local_file("/b.npy").parts == ("/", "b.npy")


@pytest.mark.services
@pytest.mark.parametrize("place", ["bucket"], indirect=True)
def test_an_object_is_copied_once_in_each_version(lab, place):
    uri = place.uri("posteriors/r1/last.npy")
    assert not local_file(uri).exists()
    place.put("posteriors/r1/last.npy", b"first")
    copy = local_file(uri)
    assert copy.read_bytes() == b"first"
    assert copy.name == "last.npy"
    assert copy.is_relative_to(lab / "cache")
    copy.write_bytes(b"as it was")
    assert local_file(uri).read_bytes() == b"as it was"
    place.put("posteriors/r1/last.npy", b"second")
    assert local_file(uri).read_bytes() == b"second"


def test_an_address_of_another_kind_is_one_line():
    with pytest.raises(LabError, match="expected: a folder or s3://"):
        local_file("https://host/x/last.npy")
