"""Objects below a prefix of a bucket, through obstore, with every wait bounded.

An address that does not answer is given up after `PATIENCE` seconds. The credentials, the endpoint
and the region come from the environment (AWS_*), as every S3 client reads them.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from typing import IO, Any

from obstore.exceptions import AlreadyExistsError, GenericError
from obstore.store import S3Store

from pipeline.errors import LabError
from pipeline.storage.entry import Entry

PATIENCE = 20
"""Seconds that one request may take."""
_CONNECT_SECONDS, _RETRY_SECONDS, _RETRIES = 5, 10, 4
_PART = 8 << 20
"""Bytes that one request carries; more are carried by several, so that slow lines are no error."""
_WRITER = "writer"
_PROBES = ".probes"
_CONFLICT = "ConditionalRequestConflict"


class BucketStorage:
    """The objects below a prefix of a bucket.

    Args:
        bucket: its name.
        prefix: of the names of all objects, without a slash at its ends; may be empty.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket, self._prefix = bucket, prefix
        self._can_create = False

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one; False when there is."""
        if not self._can_create:
            self._require_create()
        return self._created(name, content)

    def put(self, name: str, content: bytes) -> None:
        """Write or replace an object whole."""
        self._client.put(name, content, chunk_size=_PART)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A file whose contents become the object at the end of the block, unless it fails."""
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            self._client.put(name, file, chunk_size=_PART)

    def get(self, name: str) -> bytes | None:
        """Contents of an object, all of one version."""
        try:
            found = self._client.get(name)
        except FileNotFoundError as error:
            _refuse_no_bucket(error)
            return None
        size, tag = found.meta["size"], found.meta["e_tag"]
        if size <= _PART:
            return bytes(found.bytes())
        parts = bytearray()
        while len(parts) < size:
            span = (len(parts), min(len(parts) + _PART, size))
            parts += self._client.get(name, options={"range": span, "if_match": tag}).bytes()
        return bytes(parts)

    def head(self, name: str) -> Entry | None:
        """What is known of an object."""
        try:
            found = self._client.head(name)
        except FileNotFoundError as error:
            _refuse_no_bucket(error)
            return None
        return Entry(name, found["size"], found["last_modified"], found["e_tag"] or "")

    def entries(self, prefix: str) -> list[Entry]:
        """All objects below a folder of names."""
        found = (
            Entry(item["path"], item["size"], item["last_modified"], item["e_tag"] or "")
            for items in self._client.list(prefix or None)
            for item in items
        )
        return sorted(entry for entry in found if not entry.name.startswith("."))

    def delete(self, names: Collection[str]) -> None:
        """Remove objects; missing ones are no error."""
        if names:
            self._client.delete(list(names))

    def now(self) -> datetime:
        """The time by the clock of the storage, in whole seconds."""
        probe = f"{_PROBES}/{uuid.uuid4().hex}"
        self._client.put(probe, b"")
        try:
            return self._client.head(probe)["last_modified"]
        finally:
            self._client.delete([probe])

    @property
    def _client(self) -> S3Store:
        _require_own_process(os.getpid())
        return self._connection

    @cached_property
    def _connection(self) -> S3Store:
        _require_credentials()
        return S3Store(
            self._bucket,
            prefix=self._prefix or None,
            client_options={
                "allow_http": _endpoint().startswith("http://"),
                "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
                "timeout": timedelta(seconds=PATIENCE),
            },
            retry_config={
                "max_retries": _RETRIES,
                "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
                "backoff": {
                    "init_backoff": timedelta(seconds=0.1),
                    "max_backoff": timedelta(seconds=2),
                },
            },
        )

    def _created(self, name: str, content: bytes) -> bool:
        writer = uuid.uuid4().hex
        for last in (False, False, True):
            try:
                self._client.put(
                    name, content, mode="create", attributes={_WRITER: writer}, use_multipart=False
                )
            except AlreadyExistsError:
                # The client asks again when an answer is lost, and then meets its own object.
                return self._writer_of(name) == writer
            except GenericError as error:
                if last or _CONFLICT not in str(error):
                    raise
            else:
                break
        return True

    def _writer_of(self, name: str) -> object:
        try:
            return self._client.get(name).attributes.get(_WRITER)
        except FileNotFoundError:
            return None

    def _require_create(self) -> None:
        """Find out whether this storage refuses to write an object a second time."""
        probe = f"{_PROBES}/{uuid.uuid4().hex}"
        try:
            refuses = self._created(probe, b"") and not self._created(probe, b"")
        finally:
            self._client.delete([probe])
        if not refuses:
            raise LabError(
                f"the storage of s3://{self._bucket} writes an object that exists already, though "
                "asked not to",
                "a storage that knows If-None-Match, without which two programs compute one run",
                "a newer version of it, or a shared folder as LNL_STORE",
                exit_code=1,
            )
        self._can_create = True


def storage_options() -> dict[str, Any]:
    """What polars must know to read what this program writes."""
    named: dict[str, str | int | None] = {
        "aws_access_key_id": os.environ.get("AWS_ACCESS_KEY_ID"),
        "aws_secret_access_key": os.environ.get("AWS_SECRET_ACCESS_KEY"),
        "aws_session_token": os.environ.get("AWS_SESSION_TOKEN"),
        "aws_region": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        "aws_endpoint_url": _endpoint(),
        "aws_allow_http": "true" if _endpoint().startswith("http://") else "",
        "connect_timeout": f"{_CONNECT_SECONDS}s",
        "timeout": f"{PATIENCE}s",
        "max_retries": _RETRIES,
        "retry_timeout_ms": 1000 * _RETRY_SECONDS,
    }
    return {name: value for name, value in named.items() if value}


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""


_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SKIP_SIGNATURE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)  # fmt: skip


def _require_credentials() -> None:
    """A storage of one's own gives credentials to its machines by the environment alone."""
    if _endpoint() and not any(os.environ.get(name) for name in _CREDENTIALS):
        raise LabError(
            f"no credentials for {_endpoint()}",
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
            "export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...",
        )


_users: set[int] = set()
"""The first process of this program that uses a bucket."""


def _require_own_process(pid: int) -> None:
    """A fork of a process with a connection would wait for its threads for ever."""
    if not _users:
        _users.add(pid)
    if pid not in _users:
        raise LabError(
            "a process that was forked from one with a connection to a bucket",
            "a process of its own",
            "start it by spawn (multiprocessing.get_context)",
        )


def _refuse_no_bucket(error: FileNotFoundError) -> None:
    if "NoSuchBucket" in str(error):
        raise error
