"""Whether a folder that should be shared is: a token that its maker wrote is looked for by others.

Two nodes that write into folders of the same name on their own disks fail nowhere: each finds all
that it wrote itself, and half of the results stays on a disk that nobody reads.
"""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

from pipeline.errors import LabError
from pipeline.storage.place import Place

_FOLDER = "tokens"
_PATIENCE, _LOOK = 30.0, 0.5
"""Seconds after which an entry that another node wrote shows on any network file system."""
_OLD = timedelta(days=30)


def leave_token(place: Place) -> str:
    """Write a token that programs on other nodes look for by `require_shared`.

    Args:
        place: that they will write into.

    Returns:
        The token, to be handed to them.

    Raises:
        LabError: where the place cannot be written.
    """
    now = place.now()
    place.delete([entry.name for entry in place.entries(_FOLDER) if now - entry.modified > _OLD])
    token = uuid.uuid4().hex
    place.create(f"{_FOLDER}/{token}", b"")
    return token


def require_shared(place: Place, token: str, patience: float = _PATIENCE) -> None:
    """Make sure that this program sees the place that another one has left a token in.

    Args:
        place: as this program names it.
        token: that the other program got from `leave_token`.
        patience: seconds to wait for it; a network file system shows it some seconds later.

    Raises:
        LabError: where the token does not show.
    """
    end = time.monotonic() + patience
    while place.head(f"{_FOLDER}/{token}") is None:
        if time.monotonic() > end:
            raise LabError(
                f"{place.address} on this node is not the one of the program that submitted",
                "a folder that all nodes share",
                "set LNL_STORE and LNL_SHARED to a shared folder or a bucket, or mount it here",
                exit_code=1,
            )
        # A listing makes a network file system look again.
        place.entries(_FOLDER)
        time.sleep(_LOOK)
