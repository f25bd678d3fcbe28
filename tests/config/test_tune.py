"""The tune block of params.yaml: what it may search, and one line for what it may not."""

import re
from typing import Any

import pytest

from pipeline.config import Params, validated
from pipeline.errors import LabError
from tests.support.lab import PARAMS

BLOCK = {"method": "robust_loss", "lr": {"low": 0.001, "high": 0.1, "log": True}, "q": [0.3, 0.7]}
TUNE: dict[str, Any] = {"name": "found", "trials": 4, "seeds": [10], "runs": [BLOCK]}


def refusal(params: dict[str, Any]) -> str:
    with pytest.raises(LabError) as caught:
        validated(Params, params, "params.yaml")
    return str(caught.value)


def test_a_block_has_values_fixed_and_searched() -> None:
    tune = validated(Params, PARAMS | {"tune": TUNE}, "params.yaml").tune
    assert tune is not None
    assert (tune.search, tune.protocol, tune.at_once) == ("optuna", "best-noisy-val", 1)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (
            {"lr": {"low": 0.1, "high": 0.01}},
            "tune.runs.0.lr goes from 0.1 to 0.01; .*low below high",
        ),
        ({"lr": {"low": 0, "high": 1, "log": True}}, "low above 0 and below high"),
        ({"lr": {"low": 0.1, "hi": 1}}, "unknown key 'hi' in tune.runs.0.lr"),
        ({"lr": {"low": 0.1, "high": "1"}}, "tune.runs.0.lr: high = '1'; expected: a whole number"),
        ({"q": []}, "tune.runs.0.q = []; expected: at least one value"),
        ({"val_rate": [0.1, 0.2]}, "tune.runs.0.val_rate = .*share labels and validation samples"),
        ({"seed": [1, 2]}, "tune.runs.0.seed"),
        ({"method": ["elr", "sln"]}, "tune.runs.0.method = .*one method in every block"),
        ({"lr": 0.1, "q": 0.3}, "tune.runs.0 searches nothing"),
    ],
)
def test_a_faulty_block_is_named(block: dict[str, Any], words: str) -> None:
    message = refusal(PARAMS | {"tune": TUNE | {"runs": [BLOCK | block]}})
    assert re.search(words.replace("[]", r"\[\]"), message), message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("tune", "words"),
    [
        ({"runs": [BLOCK, BLOCK]}, "each once"),
        ({"trials": None}, "trials"),
        ({"search": "exhaustive"}, "range without steps, in an exhaustive search"),
        ({"protocol": "oracle"}, "protocol = 'oracle'"),
        ({"protocol": "best-clean-val"}, "try: protocol: best-noisy-val"),
        ({"name": "tiny"}, "tune and grid are both called tiny"),
    ],
)
def test_a_faulty_search_is_named(tune: dict[str, Any], words: str) -> None:
    without = {name: value for name, value in (TUNE | tune).items() if value is not None}
    assert words in refusal(PARAMS | {"tune": without})


def test_a_search_needs_the_places_of_a_grid() -> None:
    without = {name: value for name, value in PARAMS.items() if name != "grid"}
    assert "a tune block without a grid" in refusal(without | {"tune": TUNE})
