"""What a place tells of an object, and what a folder or a bucket must be able to do."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from datetime import datetime
from typing import IO, NamedTuple, Protocol


class Entry(NamedTuple):
    """One object."""

    name: str
    """Relative to its place, with '/'."""
    size: int
    """In bytes."""
    modified: datetime
    """By the clock of the storage, with its time zone."""
    e_tag: str
    """Another one for other contents."""


class Storage(Protocol):
    """A folder or a bucket; its errors are those of the operating system or of the client."""

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one; False when there is."""

    def put(self, name: str, content: bytes) -> None:
        """Write or replace an object whole."""

    def writing(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """A file whose contents become the object at the end of the block, unless it fails."""

    def get(self, name: str) -> bytes | None:
        """Contents of an object."""

    def head(self, name: str) -> Entry | None:
        """What is known of an object."""

    def entries(self, prefix: str) -> list[Entry]:
        """All objects below a folder of names."""

    def delete(self, names: Collection[str]) -> None:
        """Remove objects; missing ones are no error."""

    def now(self) -> datetime:
        """The time by the clock that `modified` follows."""
