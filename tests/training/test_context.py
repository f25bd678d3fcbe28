"""What a method may ask; what it has not declared is not there."""

import gc

import pytest
import torch

from pipeline.errors import LabError
from pipeline.training.context import Context

Y_NOISY = torch.tensor([0, 1, 1, 2])
CLEAN = [0, 1, 2, 2]


def context(knows, y_clean):
    return Context(
        method="m", knows=frozenset(knows), y_noisy=Y_NOISY, y_clean=y_clean,
        n_classes=4, n_epochs=10, seed=0, predict_pass=lambda: torch.empty(0), epoch=5,
    )  # fmt: skip


def test_a_method_knows_only_what_it_declares():
    clean = torch.tensor(CLEAN)
    assert context({"noise_rate"}, clean).true_noise_rate() == 0.25
    assert torch.equal(context({"clean_labels"}, clean).clean_labels(), clean)
    with pytest.raises(LabError, match="without declaring it.*nothing; try: add"):
        context(set(), clean).true_noise_rate()
    with pytest.raises(LabError, match="without declaring it.*noise_rate; try: add"):
        context({"noise_rate"}, clean).clean_labels()
    for knowledge, ask in (
        ("clean_labels", Context.clean_labels), ("noise_rate", Context.true_noise_rate)
    ):  # fmt: skip
        with pytest.raises(LabError, match="no clean counterpart; expected: .*; try: "):
            ask(context({knowledge}, None))


@pytest.mark.parametrize("knows", [set(), {"noise_rate"}, {"clean_validation", "extra_features"}])
def test_clean_labels_that_are_not_declared_are_nowhere_in_the_context(knows):
    asked = context(knows, torch.tensor(CLEAN))
    with pytest.raises(AttributeError):
        _ = asked.y_clean
    # Everything that can be reached from the context, whatever the name.
    found, reached = [asked], {id(asked)}
    for part in found:
        for inner in gc.get_referents(part):
            plain = torch.is_tensor(inner) or isinstance(inner, dict | list | tuple)
            if plain and id(inner) not in reached:
                reached.add(id(inner))
                found.append(inner)
    tensors = [part.tolist() for part in (*found, *vars(asked).values()) if torch.is_tensor(part)]
    assert Y_NOISY.tolist() in tensors
    assert CLEAN not in tensors
    declared = context({"clean_labels"}, torch.tensor(CLEAN))
    assert CLEAN in [part.tolist() for part in vars(declared).values() if torch.is_tensor(part)]


def test_what_every_method_may_ask():
    free = context(set(), None)
    assert free.progress == 0.5
    assert free.label_counts.tolist() == [1, 2, 1, 0]
    assert free.method_seed("a") != free.method_seed("b")
