"""What goes wrong with a place is one line, and soon."""

import errno
import os
import socket
import time

import pytest

from pipeline.errors import LabError
from pipeline.storage import bucket, folder
from pipeline.storage.bucket import BucketStorage
from pipeline.storage.place import Place
from tests.support.buckets import CREDENTIALS


@pytest.fixture
def client(monkeypatch):
    """Credentials, and an address that a test gives."""
    for name in ("AWS_ENDPOINT", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return lambda address: monkeypatch.setenv("AWS_ENDPOINT_URL", address)


def refused(number):
    def refuse(*words, **settings):
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (
            errno.ENOSPC,
            "No space left on device; expected: room for it; try: make room, or ",
        ),
        (errno.EROFS, "Read-only file system; expected: a folder that can be read and written"),
        (errno.EACCES, "Permission denied; expected: .*umask 002"),
        (errno.EPERM, "not permitted; expected: a file system with hard links"),
    ],
)
def test_a_folder_that_refuses_is_one_line(tmp_path, monkeypatch, number, says):
    monkeypatch.setattr(folder.os, "link", refused(number))
    with pytest.raises(LabError, match=rf"^cannot write a/b in {tmp_path}: .*{says}"):
        Place.at(tmp_path).create("a/b", b"1")
    assert Place.at(tmp_path).entries() == []
    assert not [name for name in os.listdir(tmp_path / "a") if name != "b"]


def test_a_file_in_the_way_of_a_folder_is_one_line(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(LabError, match=r"^cannot write a/b in .*; expected: .*; try: "):
        Place.at(tmp_path).put("a/b", b"1")
    assert Place.at(tmp_path).get("a/b") is None


def test_a_server_that_says_no_of_its_own_success_is_believed(tmp_path, monkeypatch):
    place, link = Place.at(tmp_path), os.link

    def twice(source, target):
        link(source, target)
        link(source, target)

    monkeypatch.setattr(folder.os, "link", twice)
    place.put("a/other", b"")
    assert place.create("a/b", b"1")
    assert not place.create("a/b", b"1")


def test_a_port_that_nobody_listens_on_is_one_line(client):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        client(f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(LabError, match=r"s3://lab/x: no answer; .*; try: .*AWS_ENDPOINT_URL"):
            Place.at("s3://lab/x").entries()


@pytest.mark.slow
def test_an_address_that_does_not_answer_is_given_up(client):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client(f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(LabError, match="no answer"):
            Place.at("s3://lab/x").put("a", b"")
        assert time.monotonic() - began < bucket.PATIENCE + 10


def test_no_credentials_are_one_line(client, monkeypatch):
    client("http://127.0.0.1:1")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(LabError, match=r"^no credentials .*; try: export AWS_ACCESS_KEY_ID"):
        Place.at("s3://lab/x").get("a")


def test_a_fork_does_not_wait_for_ever(client, monkeypatch):
    client("http://127.0.0.1:1")
    monkeypatch.setattr(bucket, "_users", {os.getpid() + 1})
    with pytest.raises(LabError, match=r"forked .*; try: start it by spawn"):
        Place.at("s3://lab/x").get("a")


@pytest.mark.services
def test_a_bucket_that_is_missing_is_named(s3, client):
    client(s3.address)
    place = Place.at("s3://no-such-bucket/x")
    asked = (
        lambda: place.create("a", b""), lambda: place.put("a", b""), lambda: place.get("a"),
        place.entries, lambda: place.delete(["a"]), place.now,
    )  # fmt: skip
    for ask in asked:
        with pytest.raises(LabError, match=r"^no bucket no-such-bucket; .*; try: make it"):
            ask()


@pytest.mark.services
def test_a_storage_that_writes_twice_is_refused_before_the_first_write(s3, client, monkeypatch):
    client(s3.address)
    place = Place.at(f"s3://{s3.bucket()}/x")
    monkeypatch.setattr(BucketStorage, "_created", lambda storage, name, content: True)
    with pytest.raises(LabError, match=r"writes an object that exists already.*If-None-Match"):
        place.create("claims/r1/000001", b"")
    assert place.entries() == []


@pytest.mark.services
def test_a_lost_answer_to_a_creation_is_asked_for(s3, client, monkeypatch):
    client(s3.address)
    place = Place.at(f"s3://{s3.bucket()}/x")
    assert place.create("first", b"")
    storage = place._storage
    real = storage._connection

    class Forgetful:
        """Sends a creation twice, as a client does whose first answer was lost."""

        def put(self, *words, **settings):
            real.put(*words, **settings)
            return real.put(*words, **settings)

        get = real.get

    monkeypatch.setitem(storage.__dict__, "_connection", Forgetful())
    assert place.create("a", b"1")
    assert not place.create("first", b"1")
