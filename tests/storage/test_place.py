"""A folder and a bucket keep the same promises."""

import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import polars as pl
import pytest

from pipeline.errors import LabError
from pipeline.storage import bucket
from pipeline.storage.place import Place


def test_an_object_is_written_once_and_replaced_whole(place):
    assert place.get("a/b") is None
    assert place.head("a/b") is None
    assert place.entries() == []
    assert place.create("a/b", b"one")
    assert not place.create("a/b", b"one")
    assert place.get("a/b") == b"one"
    first = place.head("a/b")
    place.put("a/b", b"three")
    second = place.head("a/b")
    assert (first.size, second.size) == (3, 5)
    assert first.e_tag != second.e_tag
    assert abs((datetime.now(UTC) - second.modified).total_seconds()) < 60
    place.delete(["a/b", "a/none", "none/none/none"])
    assert place.get("a/b") is None


def test_a_listing_shows_what_lies_below_and_nothing_else(place):
    for name in ("runs/b.parquet", "runs/a.parquet", "runs-other/c", "claims/k/000001"):
        place.put(name, name.encode())
    assert [entry.name for entry in place.entries("runs")] == ["runs/a.parquet", "runs/b.parquet"]
    assert [entry.name for entry in place.entries("claims")] == ["claims/k/000001"]
    assert len(place.entries()) == 4
    assert place.entries("nothing") == []
    assert place.entries("runs")[0] == place.head("runs/a.parquet")
    below = place.below("runs")
    assert [entry.name for entry in below.entries()] == ["a.parquet", "b.parquet"]


def test_one_of_many_writers_creates_an_object(place):
    names = [f"keys/{n}" for n in range(40)]
    begin = threading.Barrier(8)

    def create(writer):
        begin.wait()
        return [place.create(name, str(writer).encode()) for name in names]

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    for n, name in enumerate(names):
        winners = [writer for writer in range(8) if won[writer][n]]
        assert [place.get(name)] == [str(writer).encode() for writer in winners]


def test_readers_meet_whole_objects_beside_writers(place):
    contents = [bytes([n]) * 50_000 for n in range(4)]
    place.put("x", contents[0])
    end = time.monotonic() + 0.2

    def write(content):
        while time.monotonic() < end:
            place.put("x", content)

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, content) for content in contents]
        met = set()
        while time.monotonic() < end:
            met.add(place.get("x"))
            assert [entry.name for entry in place.entries()] == ["x"]
        for writer in writing:
            writer.result()
    assert met <= set(contents)


def test_folders_that_are_removed_as_empty_are_no_trouble_for_a_writer(place):
    end = time.monotonic() + 0.2

    def create_and_delete(n):
        while time.monotonic() < end:
            assert place.create(f"claims/k/{n}", b"")
            place.delete([f"claims/k/{n}"])

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(create_and_delete, n) for n in range(4)]:
            done.result()
    assert place.entries() == []


@pytest.mark.services
def test_an_object_of_many_requests_is_whole(place):
    content = os.urandom(3 * bucket._PART + 1)
    place.put("big", content)
    assert place.get("big") == content
    assert place.create("big2", content)
    assert place.get("big2") == content


def test_polars_reads_what_is_written(place, tmp_path):
    rows = pl.DataFrame({"a": [1, 2]})
    rows.write_parquet(tmp_path / "rows")
    place.put("t/rows.parquet", (tmp_path / "rows").read_bytes())
    found = pl.scan_parquet(place.uri("t/rows.parquet"), storage_options=place.storage_options)
    assert found.collect().equals(rows)


def test_a_place_goes_to_another_process(place):
    place.put("a", b"1")
    again = pickle.loads(pickle.dumps(place))
    assert again == place
    assert again.get("a") == b"1"


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a b", "a\n", "ä"]
)
def test_a_name_stays_below_its_place(tmp_path, name):
    with pytest.raises(LabError, match="expected: letters"):
        Place.at(tmp_path).put(name, b"")


@pytest.mark.parametrize(
    "address", ["gs://b/x", "s3://", "s3:///x", "s3://B_/x", "s3://bucket/../x", "https://h/x"]
)
def test_an_address_of_another_kind_is_one_line(address):
    with pytest.raises(LabError, match=r"expected: a folder or s3://.*; try: s3://"):
        Place.at(address)


def test_only_a_folder_has_a_folder(tmp_path):
    assert Place.at(tmp_path).folder == tmp_path
    with pytest.raises(LabError, match="try: set LNL_STORE to a folder"):
        _ = Place.at("s3://bucket/x").folder
