"""Which label noises are one, which are cousins, and which nobody can tell."""

from __future__ import annotations

import json

import pytest

from analysis.published.conventions import convention_of, is_counterpart, is_same


def card(convention: str, **spec: object) -> str:
    return json.dumps({"convention": convention, "details": {"made_from": {"spec": spec}}})


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("asymmetric", card("asymmetric/block5"), "asymmetric/block5"),
        ("file", card("human", column="worse_label"), "human/worst"),
        ("file", card("human", column="noisy_label"), "human/fine"),
        ("file", card("human", column="mine"), "human/?"),
        ("file", json.dumps({"convention": "human"}), "human/?"),
        ("symmetric-inclusive", None, "symmetric-inclusive"),
        ("asymmetric", None, "asymmetric?"),
        ("file", None, "file?"),
    ],
)
def test_convention_of_a_label_table(kind: str, text: str | None, expected: str) -> None:
    assert convention_of(kind, text) == expected


@pytest.mark.parametrize(
    ("own", "published", "meet", "same"),
    [
        ("symmetric", "symmetric", True, True),
        ("symmetric", "symmetric-inclusive", True, False),
        ("symmetric", "symmetric?", True, None),
        ("asymmetric?", "asymmetric/block5", True, None),
        ("asymmetric/superclass_next", "asymmetric/block5", True, False),
        ("pair", "asymmetric/next_class", True, True),
        ("asymmetric/next_class", "pair", True, True),
        ("pair", "asymmetric/cifar10", False, False),
        ("instance/xia2020", "instance?", True, None),
        ("instance/xia2020", "dependent", False, False),
        ("pmd/I", "pmd/II", False, False),
        ("pmd/I + symmetric", "pmd/I + symmetric", True, True),
        ("pmd/I + symmetric", "pmd/I", False, False),
        ("human/worst", "human/aggregate", False, False),
        ("human/?", "human/worst", False, None),
        ("clean", "given", False, False),
    ],
)
def test_two_conventions(own: str, published: str, meet: bool, same: bool | None) -> None:
    assert is_counterpart(own, published) is meet
    assert is_same(own, published) is same
