"""The methods that the page on parts prints can be trained, stopped and gone on with."""

import pytest
import torch

from pipeline.training.checkpoints import resume
from pipeline.training.method import Method
from tests.support.paths import PROJECT
from tests.support.printed import snippets_of
from tests.support.toy_methods import KEY, everything, to_the_end, toy_session

SNIPPETS = snippets_of(PROJECT / "docs" / "method_parts.md", "py")
SETTINGS = {"backbone": "small-cnn", "epochs": 3, "averaging": 0.9}


def printed_method(snippet):
    """The one method that a snippet defines, as if it stood in a file."""
    names = {"__name__": "tests.support.toy_methods"}
    exec(snippet, names)
    (method,) = [
        one for one in names.values()
        if isinstance(one, type) and issubclass(one, Method) and one is not Method
    ]  # fmt: skip
    return method


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_printed_method_trains_and_goes_on_after_a_stop(lab, number):
    method = printed_method(SNIPPETS[number])
    whole = toy_session(method, **SETTINGS)
    assert to_the_end(whole)
    losses = [record["train_loss"] for record in whole.progress.records]
    assert all(loss is not None for loss in losses)
    to_the_end(toy_session(method, **SETTINGS), whole.progress.in_all - 2)
    again = toy_session(method, **SETTINGS)
    assert resume(again, KEY)
    to_the_end(again)
    for name, value in everything(whole)["method"].items():
        assert torch.equal(value, everything(again)["method"][name]), name


def test_every_part_has_its_example():
    names = [printed_method(snippet).__name__ for snippet in SNIPPETS]
    assert names == ["Confident", "InTurn", "Shifted", "Trimmed", "Weighted", "Mixup"]
