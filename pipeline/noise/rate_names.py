"""Label noise that its kind and rate describe in full: `symmetric:0.4`, without an entry anywhere.

Names become folders, so such a table is called `symmetric-0_4`.
"""

from __future__ import annotations

import re

from pipeline.errors import LabError, quoted
from pipeline.noise.noise_spec import NoiseSpec, parse

_KINDS = ("symmetric", "symmetric-inclusive", "pair", "instance")
"""Kinds that need nothing but a rate."""
_DIGITS = 12
_NAME = re.compile(rf"({'|'.join(_KINDS)})-([01]|0_[0-9]{{1,{_DIGITS}}})")


def spec_of_name(name: str) -> NoiseSpec | None:
    """What a name such as `symmetric-0_4` stands for; None for other names."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    kind, rate = found.groups()
    return parse({"kind": kind, "rate": float(rate.replace("_", "."))}, f"noise {name}")


def name_of_rate(given: str) -> str:
    """The name of the noise that is given by kind and rate.

    Args:
        given: KIND:RATE.

    Returns:
        A name that `spec_of_name` knows.

    Raises:
        LabError: for a kind that a rate does not describe, and for a rate that is none.
    """
    kind, _, text = given.partition(":")
    kind, rate = kind.strip(), _number(text)
    if kind in _KINDS and rate is not None and 0 <= rate <= 1 and round(rate, _DIGITS) == rate:
        digits = f"{rate:.{_DIGITS}f}".rstrip("0").rstrip(".").replace(".", "_")
        return f"{kind}-{digits}"
    if kind not in _KINDS:
        remedy = "an entry under noise in params.yaml for other kinds, as in docs/noise.md"
    elif rate is not None and 1 < rate <= 100:
        remedy = f"--noise {kind}:{rate / 100:g}"
    else:
        remedy = f"--noise {kind}:0.4"
    raise LabError(
        f"noise {quoted(given)}",
        f"KIND:RATE, a kind of {', '.join(_KINDS)}, a rate from 0 to 1, up to {_DIGITS} digits",
        remedy,
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
