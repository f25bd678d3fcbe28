"""Seeds of single streams: what they move, what is part of the key, and how a grid crosses them."""

import itertools

import pytest

from pipeline.config import Grid, RunSettings, Seeds, key_facts, validated
from pipeline.errors import LabError
from tests.support.lab import PARAMS

STREAMS = tuple(Seeds.model_fields)


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_with_a_seed_of_its_own_draws_as_under_that_root_and_moves_no_other(stream):
    usual, other = RunSettings(seed=1), RunSettings(seed=3)
    moved = RunSettings(seed=1, seeds=Seeds(**{stream: 3}))
    for name in STREAMS:
        expected = other if name == stream else usual
        assert moved.stream(name, 5, "part") == expected.stream(name, 5, "part")
        assert moved.root_of(name) == expected.seed


def test_streams_that_are_not_set_are_no_part_of_key_and_stored_settings():
    plain = RunSettings(seed=1)
    assert "seeds" not in key_facts(plain)
    assert "seeds" not in plain.model_dump()
    order = RunSettings(seed=1, seeds=Seeds(order=0))
    assert key_facts(order) == key_facts(plain) | {"seeds": {"order": 0}}
    assert order.model_dump()["seeds"] == {"order": 0}
    assert RunSettings.model_validate(order.model_dump()) == order


def test_the_draw_of_the_labels_reaches_the_key_by_their_digest():
    assert key_facts(RunSettings(seeds=Seeds(noise=3))) == key_facts(RunSettings())


def grid(seeds):
    return validated(Grid, PARAMS["grid"] | {"seeds": seeds}, "params.yaml: grid")


def test_a_list_is_one_of_root_seeds():
    found = grid([0, 2])
    assert found.draws == [{"seed": 0, "seeds": {}}, {"seed": 2, "seeds": {}}]
    assert found.label_draws == ()
    assert grid({"root": [0, 2]}).draws == found.draws


def test_seeds_by_stream_are_crossed():
    found = grid({"root": [7], "noise": [0, 1], "init": [0, 1, 2]})
    drawn = [(draw["seed"], draw["seeds"]["noise"], draw["seeds"]["init"]) for draw in found.draws]
    assert drawn == list(itertools.product([7], [0, 1], [0, 1, 2]))
    assert found.label_draws == (0, 1)
    assert validated(Grid, found.model_dump(mode="json"), "again") == found


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ({"ordr": [1]}, ["seeds.ordr", "try: order"]),
        ({"order": 3}, ["seeds.order = 3", "a list"]),
        ({"order": [-1]}, ["seeds.order.0 = -1", "at least 0"]),
        ({"noise": [2**32]}, ["seeds.noise.0 = 4294967296", "below 4,294,967,296"]),
        ({"root": []}, ["seeds.root", "of at least 1"]),
        ([], ["seeds = ()", "a list, of at least 1 or a mapping"]),
        ({name: list(range(40)) for name in ("init", "order", "split")}, ["128,000 cells"]),
    ],
)
def test_what_is_no_seed_is_refused(seeds, words):
    with pytest.raises(LabError) as refusal:
        grid(seeds)
    assert all(word in str(refusal.value) for word in words), refusal.value
