"""Reading weights that others wrote, without running a pickle."""

from __future__ import annotations

import hashlib
import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipeline.errors import LabError
from pipeline.files import project_root

_WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
"""Keys under which training codes put the weights into a larger checkpoint."""
_COUNTER_LEFTOVERS = ("total_ops", "total_params")
"""Buffers that a FLOP counter leaves in a model."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Named tensors of a checkpoint.

    Prefixes of DataParallel and leftovers of FLOP counters are taken off.

    Args:
        path: .safetensors, or a file of torch.save: a mapping of tensors, perhaps within a larger
            checkpoint.

    Returns:
        Name -> tensor, on the CPU.

    Raises:
        LabError: where the file is missing, damaged, or holds more than tensors in plain
            containers (reading that would run its code).
    """
    if not path.is_file():
        raise LabError(f"no file {path}", "a checkpoint", "see docs/encoders.md for its layout")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as failure:
        raise LabError(
            f"{path} holds more than tensors",
            "a state dictionary: objects of other kinds are not read, because that runs their code",
            "save model.state_dict() alone, where the checkpoint comes from",
        ) from failure
    except (SafetensorError, RuntimeError, EOFError, ValueError) as failure:
        raise LabError(f"{path} is damaged ({failure})", "a whole checkpoint") from failure
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    weights = {
        str(name).removeprefix("module."): value
        for name, value in (content.items() if isinstance(content, dict) else ())
        if isinstance(value, Tensor) and str(name).rsplit(".", 1)[-1] not in _COUNTER_LEFTOVERS
    }
    if not weights:
        raise LabError(f"{path} holds no named tensors", "a state dictionary")
    return weights


def source_path(path: str) -> Path:
    """A path of params.yaml: relative ones start at the project."""
    return project_root() / Path(path).expanduser()


def file_digest(path: Path) -> str | None:
    """First 16 hex digits of the SHA-256 of a file; None where there is no such file."""
    if not path.is_file():
        return None
    status = path.stat()
    return _file_digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _file_digest(path: Path, size: int, modified_ns: int) -> str:
    del size, modified_ns  # part of the cache key only
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
