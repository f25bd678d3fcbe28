"""What labels are, in the words of noise cards, and whether two kinds of them are alike."""

from __future__ import annotations

import json
from typing import Any

UNSAID = "?"
"""Ends a convention of which no more than the family is known."""
_HUMAN = {
    "aggre_label": "aggregate", "random_label1": "random1", "random_label2": "random2",
    "random_label3": "random3", "worse_label": "worst", "noisy_label": "fine",
    "noisy_coarse_label": "coarse",
}  # fmt: skip
"""Columns of the files of CIFAR-10N and CIFAR-100N -> which of the human labels they are."""
_EXACT = frozenset({"clean", "symmetric", "symmetric-inclusive", "pair", "dependent"})
"""Kinds of noise that are a convention by themselves."""
_FAMILIES = ("symmetric", "asymmetric", "instance")
"""Kinds of noise with several conventions."""
_ALIKE = {"asymmetric/next_class": "pair"}
"""Conventions that are another one under a second name."""


def convention_of(kind: str, card: str | None) -> str:
    """The convention of a label table.

    Args:
        kind: kind of noise.
        card: its noise card as JSON; None where a run stored none.

    Returns:
        As on the card, and for human labels which of them: human/worst. Ends in a question mark
        where it is not known in full.
    """
    content: dict[str, Any] = json.loads(card or "{}")
    stated = content.get("convention")
    if stated is None:
        return kind if kind in _EXACT else f"{kind}{UNSAID}"
    if stated != "human":
        return str(stated)
    spec = content.get("details", {}).get("made_from", {}).get("spec", {})
    return f"human/{_HUMAN.get(spec.get('column'), UNSAID)}"


def is_counterpart(own: str, published: str) -> bool:
    """Whether numbers on these labels can be named in one breath: one family of noise."""
    return _known_as(own) == _known_as(published) or _family(own) == _family(published)


def is_same(own: str, published: str) -> bool | None:
    """Whether two conventions of one family are one; None where one of them is not known."""
    if own.endswith(UNSAID) or published.endswith(UNSAID):
        return None
    return _known_as(own) == _known_as(published)


def _known_as(convention: str) -> str:
    return _ALIKE.get(convention, convention)


def _family(convention: str) -> str:
    if "+" in convention:
        return convention
    word = convention.removesuffix(UNSAID).partition("/")[0].removesuffix("-inclusive")
    return word if word in _FAMILIES else convention
