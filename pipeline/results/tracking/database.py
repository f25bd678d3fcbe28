"""The SQLite file of MLflow: made once, whole, whoever starts at the same moment or is killed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from pipeline.errors import LabError, quoted
from pipeline.files import absolute

REBUILD = "uv run python -m pipeline.results.tracker rebuild"
"""What completes a view, whatever befell it."""
_FIRST_TABLES = {"experiments", "runs", "metrics", "params", "tags"}
"""What MLflow makes before it notes a version."""
_MAKING_SECONDS = 300.0
_BUSY_SECONDS = 0.5


def sqlite_uri(path: Path) -> str:
    """Address of a SQLite file; two characters of a path mean something else there."""
    return f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"


def make_tables(path: Path) -> None:
    """Let MLflow make its tables in a file that does not exist; takes seconds."""
    from mlflow import MlflowClient

    MlflowClient(sqlite_uri(path)).search_experiments(max_results=1)


def prepare_database(path: Path, make: Callable[[Path], None] = make_tables) -> None:
    """Make MLflow's database, unless it is there and whole.

    MLflow makes its tables in many steps. Two programs that do so together break each other's, and
    one that is killed leaves a file that no MLflow ever opens again. So it is made under another
    name, under a lock, and a half-made file is replaced: it can hold no run yet.

    Args:
        path: the SQLite file.
        make: makes a new one under the name it is given.

    Raises:
        LabError: where it cannot be opened or made, in less than a second.
    """
    path = absolute(path)  # in the image the name is a link into a mounted folder
    if _is_whole(path):
        return
    if path.parent.exists() and not os.access(path.parent, os.W_OK):
        raise _unusable(path, "its folder cannot be written")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=_MAKING_SECONDS):
            if not _is_whole(path):
                _replace(path, make)
    except Timeout as error:
        raise _unusable(path, "another program has been making it for minutes") from error


def _is_whole(path: Path) -> bool:
    """Whether MLflow can work with the file; False if it is absent or was never finished."""
    if not path.exists():
        return False
    if not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
        raise _unusable(path, "it cannot be read and written")
    address = f"file:{quote(str(path))}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            if "runs" in tables and database.execute("SELECT 1 FROM runs LIMIT 1").fetchone():
                return True
            if "alembic_version" not in tables:
                if tables and not tables & _FIRST_TABLES:
                    raise _unusable(path, "it holds other tables than MLflow's")
                return False
            versions = [row[0] for row in database.execute("SELECT * FROM alembic_version")]
    except sqlite3.DatabaseError as error:
        remedy = "close the program that uses it" if "locked" in str(error) else ""
        raise _unusable(path, str(error), remedy) from error
    return versions == [_newest_version()]


def _newest_version() -> str | None:
    import mlflow.store.db_migrations
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(mlflow.store.db_migrations.__path__[0])).get_current_head()


def _replace(path: Path, make: Callable[[Path], None]) -> None:
    new = path.with_name(f".{path.name}.new")
    _remove_with_journals(new)
    make(new)
    # A journal of the old file would be taken for one of the new.
    _remove_with_journals(path)
    os.replace(new, path)


def _remove_with_journals(path: Path) -> None:
    for ending in ("-journal", "-wal", "-shm", ""):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _unusable(path: Path, why: str, remedy: str = "") -> LabError:
    return LabError(
        f"MLflow's database {quoted(str(path))}: {why}",
        "a SQLite file that MLflow made, or none",
        f"{remedy or f'rm {path}'}; then {REBUILD}",
        exit_code=1,
    )
