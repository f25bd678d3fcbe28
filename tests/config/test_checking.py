"""Refusals of settings: what was given, what is allowed and what to do, on one short line."""

from typing import Literal

import pytest
from pydantic import BaseModel, Field, model_validator

from pipeline.config import STRICT, validated
from pipeline.errors import LabError


class Inner(BaseModel):
    """A part."""

    model_config = STRICT
    method: str
    n: int = Field(1, ge=1, le=10)


class Outer(BaseModel):
    """Something of each kind of field."""

    model_config = STRICT
    rate: float = Field(0.5, ge=0, lt=1)
    count: int = Field(3, ge=1)
    flag: bool = False
    kind: Literal["pair", "symmetric"] = "pair"
    limit: float | None = Field(None, gt=0)
    either: int | str = "x"
    epochs: tuple[int, ...] = ()
    rows: tuple[tuple[float, float], ...] = ()
    runs: tuple[Inner, ...] = ()
    named: dict[str, Inner] = {}
    one: Inner | None = None

    @model_validator(mode="after")
    def _fits(self):
        if self.count == 7:
            raise ValueError("seven is odd")
        return self


def refusal(values):
    with pytest.raises(LabError) as error:
        validated(Outer, values, "here")
    message = str(error.value)
    assert len(message) < 600
    assert error.value.allowed
    assert error.value.remedy
    return message


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rate": 1.0}, ["here: rate = 1.0", "a number, at least 0, below 1", "try: rate: 0.5"]),
        ({"rate": True}, ["rate = True", "a number"]),
        ({"rate": "0.1"}, ["rate = '0.1'", "a number"]),
        ({"rate": float("nan")}, ["rate = nan"]),
        ({"limit": float("inf")}, ["limit = inf", "or null", "try: limit: null"]),
        ({"count": 3.0}, ["count = 3.0", "a whole number"]),
        ({"count": 0}, ["count = 0", "at least 1", "try: count: 1"]),
        ({"count": None}, ["count = None", "a whole number"]),
        ({"flag": 1}, ["flag = 1", "true or false"]),
        ({"flag": "yes"}, ["flag = 'yes'"]),
        ({"kind": "symmetrical"}, ["'symmetrical'", "one of pair, symmetric", "kind: symmetric"]),
        ({"kind": ["pair"]}, ["kind = ['pair']", "one of pair, symmetric"]),
        ({"kind": None}, ["kind = None", "one of pair, symmetric"]),
        ({"epochs": 3}, ["epochs = 3", "a list"]),
        ({"epochs": [1, "a"]}, ["epochs.1 = 'a'", "a whole number"]),
        ({"rows": [[1.0]]}, ["rows.0"]),
        ({"runs": [{"n": 3}]}, ["lacks 'runs.0.method'", "text", "method: NAME"]),
        ({"runs": [{"method": "a", "m": 3}]}, ["unknown key 'runs.0.m'", "one of method, n"]),
        ({"named": {"a": {"method": "a", "n": 99}}}, ["named.a.n = 99", "at most 10", "n: 10"]),
        ({"one": {"method": 3}}, ["here: one.method = 3", "text"]),
        ({"one": {"methods": "a"}}, ["unknown key 'one.methods'", "try: method"]),
        ({"either": 1.5}, ["here: either = 1.5", "a whole number or text"]),
        ({"rats": 1}, ["unknown key 'rats' in here", "try: rate"]),
        ({"zzzz": 1}, ["unknown key 'zzzz' in here", "try: leave it out"]),
        ({1: 2}, ["unknown key 1 in here"]),
        ({None: 2}, ["unknown key None in here"]),
        ({("a",): 2}, ["unknown key ('a',) in here"]),
        ({"count": 7}, ["seven is odd"]),
        ([1], ["here: [1]", "a mapping"]),
        (None, ["here: None", "a mapping"]),
        ({"rate": "x" * 40_000}, ["rate = 'xxx"]),
        ({"x" * 40_000: 1}, ["unknown key"]),
        ({"rate": 10**5000}, ["rate"]),
        ({"rate": {"a": [1] * 100_000}}, ["rate"]),
        ({"kind": object()}, ["kind = <object"]),
    ],
)  # fmt: skip
def test_the_parts_of_a_refusal(values, words):
    message = refusal(values)
    assert all(word in message for word in words), message


def test_a_value_within_itself_is_refused_and_not_followed():
    endless: list = []
    endless.append(endless)
    assert "rate" in refusal({"rate": endless})
    assert "epochs" in refusal({"epochs": endless})


def test_lists_are_taken_for_tuples_at_every_depth():
    made = validated(Outer, {"epochs": [1, 2], "rows": [[1, 2.0]], "runs": [{"method": "a"}]}, "")
    assert made.epochs == (1, 2)
    assert made.rows == ((1.0, 2.0),)
    assert made.runs == (Inner(method="a"),)
    assert validated(Outer, {"limit": None, "rate": 0}, "").rate == 0.0
