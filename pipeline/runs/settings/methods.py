"""Methods by name: each is the one `Method` of its file in methods/."""

from __future__ import annotations

import importlib
import inspect
from functools import cache

from pipeline.errors import LabError, quoted, suggest
from pipeline.files import method_names
from pipeline.training.method import Method


@cache
def load_method(name: str) -> type[Method]:
    """The method of `methods/NAME.py`.

    Args:
        name: file name without ending.

    Returns:
        The one Method subclass defined there.

    Raises:
        LabError: for a name without such a file.
    """
    known = method_names()
    if name not in known:
        raise LabError(f"unknown method {quoted(name)}", *suggest(name, known, "robust_loss"))
    module = importlib.import_module(f"methods.{name}")
    found = [
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, Method)
        and member.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise LabError(
            f"methods/{name}.py defines {len(found)} methods",
            "exactly one subclass of Method",
            "move the others into files of their own",
        )
    return found[0]
