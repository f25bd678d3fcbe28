"""Claims: a run is computed by one program at a time, though many share a store."""

from __future__ import annotations

from filelock import FileLock, Timeout

from pipeline.errors import LabError
from pipeline.results.store import Store


def claim(store: Store, key: str) -> FileLock | None:
    """Claim a run for this program; ask the store first, which needs no right to write.

    Args:
        store: where its rows will go.
        key: of the run.

    Returns:
        The lock, held until it is released; None while another program holds it.

    Raises:
        LabError: where the store cannot be written.
    """
    path = store.folder / "locks" / f"{key}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout:
        return None
    except OSError as error:
        raise LabError(
            f"cannot claim the run in {path.parent}: {error.strerror or error}",
            "a store that can be written",
            "ask its owner to share it (umask 002, chmod -R g+w), or set LNL_STORE to a folder of "
            "your own",
            exit_code=1,
        ) from error
    return lock
