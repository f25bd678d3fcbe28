"""Noise given by kind and rate: a name that says all of it, or one line."""

from itertools import product

import pytest

from pipeline.errors import LabError
from pipeline.names import checked_name
from pipeline.noise.noise_spec import parse
from pipeline.noise.rate_names import name_of_rate, spec_of_name

KINDS = ("symmetric", "symmetric-inclusive", "pair", "instance")
RATES = ("0", "1", "0.5", ".25", "4e-1", "0.123456789012", "0.000000000001", "1.0", "0.30")


@pytest.mark.parametrize(("kind", "rate"), list(product(KINDS, RATES)))
def test_a_name_stands_for_exactly_what_was_given(kind: str, rate: str) -> None:
    name = name_of_rate(f"{kind}:{rate}")
    assert checked_name(name, "noise") == name
    assert spec_of_name(name) == parse({"kind": kind, "rate": float(rate)}, "noise")


def test_names_of_people_stand_for_nothing() -> None:
    for name in ("symmetric-40", "symmetric", "clean", "pair-0_", "pair-2", "asymmetric-0_4", "x"):
        assert spec_of_name(name) is None


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("symmetric:40", "--noise symmetric:0.4"),
        ("symmetric:x", "--noise symmetric:0.4"),
        ("pair:", "--noise pair:0.4"),
        ("pair:nan", "--noise pair:0.4"),
        ("pair:-0.1", "--noise pair:0.4"),
        ("pair:0.1234567890123", "--noise pair:0.4"),
        ("asymmetric:0.4", "an entry under noise in params.yaml"),
        (":0.4", "an entry under noise in params.yaml"),
    ],
)
def test_a_bad_rate_is_one_line(given: str, remedy: str) -> None:
    with pytest.raises(LabError) as caught:
        name_of_rate(given)
    message = str(caught.value)
    assert message.startswith(f"noise {given!r}; expected: KIND:RATE")
    assert f"try: {remedy}" in message
    assert "\n" not in message
