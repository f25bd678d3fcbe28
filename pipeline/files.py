"""Where things lie, and writing them so that a reader never meets half a file.

A killed program leaves the old file or the new one: what it wrote is with the operating system.
Files are not forced to the disk (fsync, some 10 ms each): after a power cut, digests and
checksums tell what was lost, and it is computed again.
"""

import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from pipeline.errors import LabError, quoted
from pipeline.installation import code_folder, is_checkout
from pipeline.names import checked_name

_DAY = 86_400.0
_swept: set[Path] = set()
"""Folders in which this program has looked for what killed ones left."""


def absolute(path: Path) -> Path:
    """A path from the root, through all links; links in a circle are left for the reader to meet.

    `Path.resolve` raises a RuntimeError for such a circle, which is no error of a file.
    """
    return Path(os.path.realpath(path))


def project_root() -> Path:
    """The folder that holds params.yaml and what is made: the laboratory.

    `LNL_ROOT` if set, else the checkout that this code lies in; the current folder, where the code
    was installed from a wheel.

    Raises:
        LabError: when `LNL_ROOT` is an address.
    """
    named = folder_named_by("LNL_ROOT", Path.cwd())
    return named or (code_folder() if is_checkout() else Path.cwd())


def methods_folder() -> Path:
    """The folder of method scripts that belongs to this code."""
    return code_folder() / "methods"


def method_names() -> list[str]:
    """Names of the methods: of their files, without ending."""
    return sorted(path.stem for path in methods_folder().glob("[!_]*.py"))


def data_folder(dataset: str) -> Path:
    """Folder of a prepared data set."""
    return project_root() / "data" / checked_name(dataset, "data set")


def labels_folder(dataset: str, noise: str, draw: int | None = None) -> Path:
    """Folder of one label table of a data set: as its entry draws it, or another draw of it."""
    folder = project_root() / "labels" / checked_name(dataset, "data set")
    return folder / drawn_name(checked_name(noise, "noise"), draw)


_DRAW = ".draw-"
"""No name holds a point, so no other table has this one."""


def drawn_name(noise: str, draw: int | None) -> str:
    """What a draw of a label table is called: the name of the table, where that draws it."""
    return noise if draw is None else f"{noise}{_DRAW}{draw}"


def split_name(drawn: str) -> tuple[str, int | None]:
    """Name of the table and number of the draw, from `drawn_name`."""
    noise, mark, draw = drawn.partition(_DRAW)
    return noise, int(draw) if mark and draw.isdecimal() else None


def encoders_folder(name: str) -> Path:
    """Folder of an encoder whose entry in params.yaml names all it needs."""
    return project_root() / "encoders" / checked_name(name, "encoder")


def cache_folder() -> Path:
    """Folder of what is computed once and may be deleted at any time."""
    return project_root() / "cache"


def results_folder() -> Path:
    """Folder of views and reports."""
    return project_root() / "results"


def folder_named_by(variable: str, start: Path) -> Path | None:
    """The folder that a variable of the environment names.

    Args:
        variable: its name.
        start: where relative folders start.

    Returns:
        The folder from the root; None where the variable is not set.

    Raises:
        LabError: when it is an address, or no folder for other reasons.
    """
    given = os.environ.get(variable)
    if not given:
        return None
    if "://" in given:
        raise LabError(
            f"{variable} = {quoted(given)}", "a folder", f"export {variable}=/shared/folder"
        )
    try:
        return absolute(start / Path(given).expanduser())
    except (RuntimeError, ValueError) as failure:  # ~ of an unknown user, a NUL
        raise LabError(
            f"{variable} = {quoted(given)}: {failure}", "a folder", f"export {variable}=/a/folder"
        ) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the name, on failure it goes.

    The rename is atomic on one file system, so a program killed at any moment leaves either the
    old file or the new one. Its temporary is removed by a later writer, a day later. The file gets
    the permissions that the umask says, whatever library writes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    mode = _usual_mode(temporary)
    try:
        yield temporary
        temporary.chmod(mode)
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
        mode = _usual_mode(new / "mode")
        try:
            yield new
            for path in new.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    path.chmod(mode)
            # Folders cannot be replaced in one step; between the two there is none, never half.
            if folder.exists():
                folder.replace(old)
            new.replace(folder)
        finally:
            _remove(new)
            _remove(old)


def _usual_mode(unused: Path) -> int:
    """Permissions of a new file; asking for the umask itself would change it for other threads."""
    unused.touch()
    mode = stat.S_IMODE(unused.stat().st_mode)
    unused.unlink()
    return mode


def sweep(folder: Path) -> None:
    """Remove temporaries in which no program can be writing any more; once per program."""
    if folder in _swept:
        return
    _swept.add(folder)
    for left in folder.glob(".*.tmp"):
        with suppress(OSError):  # another program sweeps, too
            if time.time() - left.stat().st_mtime > _DAY:
                left.unlink()


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
