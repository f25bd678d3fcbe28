"""Reading pickles of plain data without letting them run anything."""

import io
import pickle
import pickletools
from typing import Any, ClassVar

import numpy as np

from pipeline.data.source import Pixels
from pipeline.errors import LabError, quoted

# What Python's unpickler raises for damaged or forged input, beside its own error.
_DAMAGE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
_MOST_STEPS = 2_000_000
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}


class _PickledArray:
    """Stands for an array until its state has been checked.

    NumPy's own reconstruction trusts the pickled description of the element type, and a forged one
    can make it read bytes as pointers. Only bytes are needed here, so nothing else is built.
    """

    __slots__ = ("array",)

    def __init__(self, kind: object, shape: object, code: object) -> None:
        self.array: Pixels | None = None

    def __setstate__(
        self, state: tuple[object, tuple[int, ...], object, bool, bytes | str]
    ) -> None:
        _version, shape, dtype, by_column, content = state
        if not isinstance(dtype, _PickledType):
            raise pickle.UnpicklingError("an array without an element type")
        # Python 2 wrote the bytes as text.
        raw = content.encode("latin1") if isinstance(content, str) else content
        flat = np.frombuffer(raw, dtype=np.uint8)
        self.array = flat.reshape(shape, order="F" if by_column else "C")


class _PickledType:
    """Stands for the element type "byte", the only one allowed."""

    __slots__ = ()

    def __init__(self, code: object, align: object = False, copy: object = False) -> None:
        if code not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"an array of element type {code!r}, not of bytes")

    def __setstate__(self, state: object) -> None:
        """A byte has no byte order and no fields, so its state says nothing."""


class _PlainUnpickler(pickle.Unpickler):
    """Knows the names that NumPy and Python's bytes use in pickles, and no others."""

    # Stand-ins without a writable attribute: a pickle can set attributes of what it is given.
    known: ClassVar[dict[tuple[str, str], object]] = {
        ("numpy", "ndarray"): "ndarray",
        ("numpy", "dtype"): _PickledType,
        ("numpy.core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy._core.multiarray", "_reconstruct"): _PickledArray,
        ("_codecs", "encode"): str.encode,
    }

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name; everything unknown is refused before it is imported."""
        if (module, name) not in self.known:
            raise LabError(
                f"a pickle that asks for {module}.{name}",
                "arrays of bytes, dicts, lists, text and numbers",
                "do not use this file; fetch the data set again",
            )
        return self.known[module, name]


def read_pickle(content: bytes, title: str) -> dict[str, object]:
    """Read a pickled dict of plain values and arrays of bytes, and nothing else.

    Args:
        content: the pickle, as written by Python 2 or by Python 3 up to protocol 4.
        title: what it is, for messages.

    Returns:
        The dict with text as keys; arrays are uint8.

    Raises:
        LabError: if it is damaged, is no dict, or asks for any function or class.
    """
    try:
        _check_steps(content)
        found = _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
        return {_text(key): _plain(value) for key, value in found.items()}
    except LabError as refusal:
        raise LabError(f"{title} is {refusal.given}", refusal.allowed, refusal.remedy) from refusal
    except _DAMAGE as error:
        raise LabError(
            f"{title} cannot be read ({quoted(str(error))})",
            "a whole pickled dict",
            "fetch the data set again",
        ) from error


def _check_steps(content: bytes) -> None:
    """Refuse, before anything is built, what would take more time or memory than a data set does.

    A file of 50,000 images takes half a million steps. The place that a step stores
    something at is no larger than the number of steps: the unpickler reserves memory up to it.
    """
    highest = n_steps = 0
    for opcode, argument, _ in pickletools.genops(content):
        n_steps += 1
        if n_steps > _MOST_STEPS:
            raise pickle.UnpicklingError(f"more than {_MOST_STEPS} steps")
        if opcode.name in _PUTS:
            highest = max(highest, int(str(argument)))
    if highest > n_steps:
        raise pickle.UnpicklingError(f"something is stored at {highest} in {n_steps} steps")


def _text(key: str | bytes) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)


def _plain(value: object) -> object:
    return value.array if isinstance(value, _PickledArray) else value
