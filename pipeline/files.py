"""Where things lie, and writing them so that a reader never meets half a file."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

import pipeline
from pipeline.names import checked_name


def project_root() -> Path:
    """The folder that holds params.yaml: `LNL_ROOT` if set, else the one this package lies in."""
    given = os.environ.get("LNL_ROOT")
    return Path(given).resolve() if given else Path(pipeline.__file__).resolve().parent.parent


def methods_folder() -> Path:
    """The folder of method scripts that belongs to this code."""
    return Path(pipeline.__file__).resolve().parent.parent / "methods"


def data_folder(dataset: str) -> Path:
    """Folder of a prepared data set."""
    return project_root() / "data" / dataset


def labels_folder(dataset: str, noise: str) -> Path:
    """Folder of one label table of a data set; LabError for a name that no folder can have."""
    names = checked_name(dataset, "data set"), checked_name(noise, "noise")
    return project_root().joinpath("labels", *names)


def encoders_folder(name: str) -> Path:
    """Folder of an encoder whose entry in params.yaml names all it needs."""
    return project_root() / "encoders" / name


def kept_weights_folder(key: str) -> Path:
    """Folder of the weights that a run kept."""
    return store_folder() / "encoders" / key


def cache_folder() -> Path:
    """Folder of what is computed once and may be deleted at any time."""
    return project_root() / "cache"


def results_folder() -> Path:
    """Folder of views, reports and checkpoints."""
    return project_root() / "results"


def store_folder() -> Path:
    """Folder of the results store: `LNL_STORE` if set, else results/store of the project."""
    given = os.environ.get("LNL_STORE")
    return Path(given).resolve() if given else results_folder() / "store"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the name, on failure it goes.

    The rename is atomic on one file system, so a process killed at any moment leaves either the
    old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
