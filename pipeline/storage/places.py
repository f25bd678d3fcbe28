"""Where results and what belongs to them lie: `LNL_STORE` and `LNL_SHARED`, read here alone."""

from __future__ import annotations

import os
from functools import cache

from pipeline.files import folder_named_by, project_root, results_folder
from pipeline.storage.place import Place


def store_place() -> Place:
    """Place of the results store: `LNL_STORE` if set, else results/store of the project.

    A relative folder starts from the project, so that it is one store wherever a program is
    started.

    Raises:
        LabError: when `LNL_STORE` is neither a folder nor s3://bucket/prefix.
    """
    given = os.environ.get("LNL_STORE", "")
    if "://" in given:
        return _place(given)
    return _place(str(folder_named_by("LNL_STORE", project_root()) or results_folder() / "store"))


def artefact_place() -> Place:
    """Place of checkpoints, kept weights and softmax outputs: `LNL_SHARED` if set, else the store.

    Raises:
        LabError: when `LNL_SHARED` is no folder, and as `store_place`.
    """
    shared = folder_named_by("LNL_SHARED", project_root())
    return store_place() if shared is None else _place(str(shared))


def _place(address: str) -> Place:
    client = sorted(item for item in os.environ.items() if item[0].startswith("AWS_"))
    return _connected(address, tuple(client))


@cache
def _connected(address: str, environment: tuple[tuple[str, str], ...]) -> Place:
    """One connection per program, and another one after a change of the environment."""
    del environment
    return Place.at(address)
