"""Where the results store lies: `LNL_STORE`, read here and nowhere else."""

from __future__ import annotations

import os
from functools import cache

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
    address = given if "://" in given else str(store_folder())
    return _place(address, tuple(filter(_is_of_client, sorted(os.environ.items()))))


def _is_of_client(variable: tuple[str, str]) -> bool:
    return variable[0].startswith("AWS_")


@cache
def _place(address: str, environment: tuple[tuple[str, str], ...]) -> Place:
    """One connection per program, and another one after a change of the environment."""
    del environment
    return Place.at(address)
