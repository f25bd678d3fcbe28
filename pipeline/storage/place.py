"""A folder or a prefix of a bucket, in which objects have names and appear whole.

Place.at("s3://lab/store")   Place.at("/shared/store")
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from pipeline.errors import LabError, quoted
from pipeline.files import absolute
from pipeline.storage.bucket import BucketStorage, storage_options
from pipeline.storage.entry import Entry, Storage
from pipeline.storage.folder import FolderStorage
from pipeline.storage.trouble import one_line

_SCHEME = "s3://"
_MINUTE = 60.0
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NAME = re.compile(r"(?:[A-Za-z0-9_=-][A-Za-z0-9_.=-]*/)*[A-Za-z0-9_=-][A-Za-z0-9_.=-]*")


class Place:
    """Where objects lie.

    Args:
        address: a folder from the root, or s3://bucket/prefix; see `Place.at`.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._time: tuple[float, datetime] | None = None

    @classmethod
    def at(cls, address: str | Path) -> Place:
        """The place of an address.

        Args:
            address: s3://bucket/prefix, or a folder; a relative one starts from the working folder.

        Returns:
            The place; it need not exist.

        Raises:
            LabError: for an address of another kind.
        """
        text = str(address)
        scheme, mark, rest = text.partition("://")
        if not mark:
            return cls(str(absolute(Path(text).expanduser())))
        bucket, _, prefix = rest.partition("/")
        prefix = prefix.strip("/")
        sound = _BUCKET.fullmatch(bucket) and (not prefix or _NAME.fullmatch(prefix))
        if scheme != "s3" or not sound:
            raise LabError(
                f"address {quoted(text)}",
                "a folder or s3://bucket/prefix (letters, digits, - _ . =)",
                "s3://bucket/store",
            )
        return cls(f"{_SCHEME}{bucket}/{prefix}".rstrip("/"))

    @property
    def is_folder(self) -> bool:
        """Whether its objects are files."""
        return not self.address.startswith(_SCHEME)

    @property
    def folder(self) -> Path:
        """The folder; raises LabError for a bucket."""
        if not self.is_folder:
            raise LabError(f"{self.address} is no folder", "a folder", "set LNL_STORE to a folder")
        return Path(self.address)

    def below(self, prefix: str) -> Place:
        """The place of the objects whose names begin with a folder of names."""
        return Place(f"{self.address}/{_checked(prefix)}")

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one, in one step among all programs.

        Args:
            name: relative, with '/'.
            content: in one request, so at most some tens of MB in a bucket.

        Returns:
            Whether it is now the one given; False when there is another one.

        Raises:
            LabError: where the place cannot be written, or cannot promise this.
        """
        with one_line(f"write {name}", self.address):
            return self._storage.create(_checked(name), content)

    def put(self, name: str, content: bytes) -> None:
        """Write or replace an object; readers meet the old one or the new one."""
        with one_line(f"write {name}", self.address):
            self._storage.put(_checked(name), content)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A file whose contents become the object at the end of the block, as by `put`.

        Yields:
            The file, open for writing; a block that fails changes nothing.
        """
        with one_line(f"write {name}", self.address), self._storage.writing(_checked(name)) as file:
            yield file

    def get(self, name: str) -> bytes | None:
        """Contents of an object; None where there is none."""
        with one_line(f"read {name}", self.address):
            return self._storage.get(_checked(name))

    def head(self, name: str) -> Entry | None:
        """What is known of an object; None where there is none."""
        with one_line(f"read {name}", self.address):
            return self._storage.head(_checked(name))

    def entries(self, prefix: str = "") -> list[Entry]:
        """All objects below a folder of names, in the order of their names."""
        with one_line(f"list {prefix or 'objects'}", self.address):
            return self._storage.entries(prefix and _checked(prefix))

    def delete(self, names: Collection[str]) -> None:
        """Remove objects; missing ones are no error."""
        with one_line("delete", self.address):
            self._storage.delete([_checked(name) for name in names])

    def now(self) -> datetime:
        """The time by the clock of the storage, asked once a minute: that of `Entry.modified`."""
        if self._time is None or time.monotonic() - self._time[0] >= _MINUTE:
            with one_line("ask the time", self.address):
                self._time = time.monotonic(), self._storage.now()
        asked, then = self._time
        return then + timedelta(seconds=time.monotonic() - asked)

    def uri(self, name: str) -> str:
        """Path or address of an object, as polars takes it."""
        return f"{self.address}/{_checked(name)}"

    @property
    def storage_options(self) -> dict[str, Any] | None:
        """What polars needs beside the address: credentials and endpoint of this program."""
        return None if self.is_folder else storage_options()

    @cached_property
    def _storage(self) -> Storage:
        if self.is_folder:
            return FolderStorage(self.folder)
        bucket, _, prefix = self.address.removeprefix(_SCHEME).partition("/")
        return BucketStorage(bucket, prefix)

    def __reduce__(self) -> tuple[type[Place], tuple[str]]:
        # Another process makes its own connection.
        return Place, (self.address,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        return f"Place({self.address!r})"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise LabError(
            f"object {quoted(name)}",
            "letters, digits, - _ . = and / between, no part beginning with a dot",
            "another name",
        )
    return name
