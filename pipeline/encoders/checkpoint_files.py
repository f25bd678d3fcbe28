"""Reading weights that others wrote, without running a pickle."""

from __future__ import annotations

import mmap
import pickle
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.errors import LabError, quoted
from pipeline.files import project_root
from pipeline.fingerprints import content_digest

_WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
"""Keys under which training codes put the weights into a larger checkpoint."""
_COUNTER_LEFTOVERS = ("total_ops", "total_params")
"""Buffers that a FLOP counter leaves in a model."""
_ZIP_START = b"PK\x03\x04"
_TIED = 4
"""How often the tensors of a file may count the same bytes, on average: weights can be tied."""


class _Damaged(Exception):
    """Why a file cannot be what it says it is."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Named tensors of a checkpoint.

    Prefixes of DataParallel and torch.compile and leftovers of FLOP counters are taken off.

    Args:
        path: .safetensors, or a file of torch.save: a mapping of tensors, perhaps within a larger
            checkpoint.

    Returns:
        Name -> tensor, on the CPU. Memory and time are bounded by the size of the file.

    Raises:
        LabError: where the file is missing, damaged, or holds more than tensors in plain
            containers (reading that would run its code).
    """
    if not path.is_file():
        raise LabError(
            f"no file {path}",
            "a checkpoint: .safetensors, .pt or .pth",
            "the path in its entry under encoders in params.yaml, as in docs/encoders.md",
        )
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            _require_plain(path)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as failure:
        if not _is_pickle(path):
            raise _damaged(path, ValueError("it is no file of torch.save")) from failure
        raise LabError(
            f"{path} holds more than tensors",
            "a state dictionary: objects of other kinds are not read, because that runs their code",
            "save model.state_dict() alone, where the checkpoint comes from",
        ) from failure
    # Whatever a damaged file makes the readers raise, MemoryError and RecursionError among it.
    except Exception as failure:
        raise _damaged(path, failure) from failure
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    weights = {
        _own_name(str(name)): value
        for name, value in (content.items() if isinstance(content, dict) else ())
        if isinstance(value, Tensor) and str(name).rsplit(".", 1)[-1] not in _COUNTER_LEFTOVERS
    }
    if not weights:
        raise LabError(
            f"{path} holds no named tensors",
            "a state dictionary",
            "save model.state_dict(), where the checkpoint comes from",
        )
    try:
        _require_content(weights, path.stat().st_size)
    except _Damaged as failure:
        raise _damaged(path, failure) from failure
    return weights


def _own_name(name: str) -> str:
    """A name without the prefixes that DataParallel and torch.compile put before and into it."""
    parts = [part for part in name.split(".") if part != "_orig_mod"]
    return ".".join(parts[1:] if parts[0] == "module" else parts)


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_ZIP_START)).startswith((_ZIP_START, b"\x80"))


def _require_plain(path: Path) -> None:
    """Refuse files of torch.save that would unpack to more than they hold."""
    size = path.stat().st_size
    if not size:
        raise _Damaged("it is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b"bytearray") >= 0:  # of any length, made while reading
            raise _Damaged("it asks for memory of its own")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise _Damaged("it is compressed, which torch.save never does")
        if sum(entry.file_size for entry in entries) > size:
            raise _Damaged("its parts are larger than the whole")


def _require_content(weights: dict[str, Tensor], size: int) -> None:
    """Refuse tensors without numbers of their own: sparse, on no device, or spread over few."""
    for name, value in weights.items():
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise _Damaged(f"{quoted(name)} is no plain tensor")
    if sum(value.numel() * value.element_size() for value in weights.values()) > _TIED * size:
        raise _Damaged("its tensors are larger than the file")


def _damaged(path: Path, reason: Exception) -> LabError:
    first_line = str(reason).partition("\n")[0] or type(reason).__name__
    return LabError(
        f"{path} is damaged ({first_line[:100]})",
        "a whole checkpoint, as it was written",
        "fetch it again",
    )


def source_path(path: str) -> Path:
    """A path of params.yaml: relative ones start at the project, `~` is the home folder.

    Raises:
        LabError: for text that is no path.
    """
    try:
        if "\0" in path:
            raise RuntimeError("a character that no path holds")
        return project_root() / Path(path).expanduser()
    except RuntimeError as failure:
        raise LabError(
            f"path {quoted(path)}: {failure}",
            "a path of this machine, absolute or relative to the project",
            "the path as `ls` takes it",
        ) from failure


def file_digest(path: Path) -> str | None:
    """First 16 hex digits of the SHA-256 of a file; None where there is no such file.

    A file that kept size and time of change is read once per process.
    """
    if not path.is_file():
        return None
    status = path.stat()
    return _file_digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _file_digest(path: Path, size: int, modified_ns: int) -> str | None:
    del size, modified_ns  # part of the cache key only
    return content_digest(path)
