"""Objects as files of a folder: whole files appear by a link or a rename, on NFS too.

What a killed writer leaves begins with a dot, which no object does, and goes a day later.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from pipeline.files import sweep
from pipeline.storage.entry import Entry

_TRIES = 100
"""Times that a folder is made again which another program has just removed as empty."""


class FolderStorage:
    """The objects of a folder.

    Args:
        folder: absolute; it is made by the first write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one; False when there is."""
        with self._temporary(name) as temporary:
            _write(temporary, content)
            try:
                self._moved(os.link, temporary, name)
            except FileExistsError:
                # A server that was asked twice says so of its own success.
                return os.stat(temporary).st_nlink == 2
        return True

    def put(self, name: str, content: bytes) -> None:
        """Write or replace an object whole."""
        with self.writing(name) as file:
            file.write(content)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A file whose contents become the object at the end of the block, unless it fails."""
        with self._temporary(name) as temporary:
            with open(temporary, "xb") as file:
                yield file
            self._moved(os.replace, temporary, name)

    def get(self, name: str) -> bytes | None:
        """Contents of an object."""
        try:
            with open(self._path(name), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def head(self, name: str) -> Entry | None:
        """What is known of an object."""
        try:
            return _entry(name, os.stat(self._path(name)))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def entries(self, prefix: str) -> list[Entry]:
        """All objects below a folder of names."""
        return sorted(self._walk(prefix))

    def delete(self, names: Collection[str]) -> None:
        """Remove objects, and folders of one object's name that become empty."""
        for name in names:
            with suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(self._path(name))
            parent = name.rpartition("/")[0]
            if "/" in parent:
                with suppress(OSError):
                    os.rmdir(self._path(parent))

    def now(self) -> datetime:
        """The time by the clock of the file system, which may be that of a server."""
        with self._temporary("now") as temporary:
            _write(temporary, b"")
            return datetime.fromtimestamp(os.stat(temporary).st_mtime, UTC)

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}" if name else self._folder

    @contextmanager
    def _temporary(self, name: str) -> Iterator[str]:
        """A path that no reader looks at, on the file system of an object."""
        first, _, rest = name.partition("/")
        folder = self._path(first if rest else "")
        if not os.path.isdir(folder):
            os.makedirs(folder, exist_ok=True)
        sweep(Path(folder))
        temporary = f"{folder}/.{name.rpartition('/')[2]}.{uuid.uuid4().hex}.tmp"
        try:
            yield temporary
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)

    def _moved(self, move: Callable[[str, str], None], temporary: str, name: str) -> None:
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):
                return move(temporary, self._path(name))
            with suppress(FileExistsError):  # it is gone again when Python looks
                os.makedirs(os.path.dirname(self._path(name)), exist_ok=True)
        return move(temporary, self._path(name))

    def _walk(self, prefix: str) -> Iterator[Entry]:
        try:
            with os.scandir(self._path(prefix)) as found:
                for item in found:
                    if item.name.startswith("."):
                        continue
                    name = f"{prefix}/{item.name}" if prefix else item.name
                    if item.is_dir():
                        yield from self._walk(name)
                        continue
                    with suppress(FileNotFoundError):  # deleted while this looks
                        yield _entry(name, item.stat())
        except (FileNotFoundError, NotADirectoryError):
            return


def _write(path: str, content: bytes) -> None:
    with open(path, "xb") as file:
        file.write(content)


def _entry(name: str, facts: os.stat_result) -> Entry:
    modified = datetime.fromtimestamp(facts.st_mtime, UTC)
    tag = f"{facts.st_ino:x}-{facts.st_mtime_ns:x}-{facts.st_size:x}"
    return Entry(name, facts.st_size, modified, tag)
