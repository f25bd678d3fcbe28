"""Writing a whole folder so that a reader never meets half of it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; on success it takes the name, on failure it goes.

    One writer at a time: a second one waits. What a killed writer left is removed by the next.

    Args:
        folder: the folder to make or to replace.

    Yields:
        The folder to write into.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    new, old = (folder.with_name(f".{folder.name}.{end}") for end in ("new", "old"))
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        _remove(new)
        _remove(old)
        new.mkdir()
        try:
            yield new
            # Folders cannot be replaced in one step; between the two there is none, never half.
            if folder.exists():
                folder.replace(old)
            new.replace(folder)
        finally:
            _remove(new)
            _remove(old)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
