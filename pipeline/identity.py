"""What a run *is*: canonical form, key, content digests and named random seeds."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

SCHEMA_VERSION = 1
"""Raised when the meaning of stored numbers changes for every method at once."""


def canonical_json(value: object) -> str:
    """Text that is equal exactly when the values are: sorted keys, no spaces, finite floats.

    Raises:
        ValueError: for NaN or infinity, which JSON cannot carry.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """First 16 hex digits of the SHA-256 of the canonical form."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def array_digest(*arrays: np.ndarray[Any, Any]) -> str:
    """First 16 hex digits of the SHA-256 over shape, kind and content of arrays, in order.

    Integer labels are hashed as little-endian int64 and pixels as they are (uint8), so the digest
    does not depend on the container format or the machine.
    """
    content = hashlib.sha256()
    for array in arrays:
        plain = array if array.dtype == np.uint8 else np.asarray(array, dtype="<i8")
        content.update(f"{plain.dtype.str}{plain.shape}".encode())
        content.update(np.ascontiguousarray(plain).view(np.uint8).data)
    return content.hexdigest()[:16]


def run_key(facts: Mapping[str, object]) -> str:
    """The key of a run: `r` and 16 hex digits over everything that can change its numbers.

    The letter keeps YAML readers from taking a key such as 1e10 for a number.
    """
    return "r" + digest({"schema": SCHEMA_VERSION, **facts})


def seed_stream(root_seed: int, *names: str | int) -> int:
    """A seed in [0, 2^63) for one named stream; a new name never shifts another stream.

    The streams of a run are those of `config.Seeds`.
    """
    text = canonical_json([root_seed, *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def finite_or_none(value: float | None) -> float | None:
    """`value`, or None where it is missing, NaN or infinite (JSON and tables hold null then)."""
    return value if value is not None and math.isfinite(value) else None
