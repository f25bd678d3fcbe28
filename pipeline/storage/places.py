"""Where the results store lies: `LNL_STORE`, read here and nowhere else."""

from __future__ import annotations

import os

from pipeline.files import store_folder
from pipeline.storage.place import Place


def store_place() -> Place:
    """Place of the results store: `LNL_STORE` if set, else results/store of the project.

    A relative folder starts from the project, so that it is one store wherever a program is
    started.

    Raises:
        LabError: when `LNL_STORE` is neither a folder nor s3://bucket/prefix.
    """
    given = os.environ.get("LNL_STORE", "")
    return Place.at(given if "://" in given else store_folder())
