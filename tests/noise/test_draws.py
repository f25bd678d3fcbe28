"""Other draws of one label noise."""

import pytest

from pipeline.noise.draws import redrawn, seed_of
from pipeline.noise.noise_spec import parse

SYMMETRIC = {"kind": "symmetric", "rate": 0.4, "seed": 1}
MATRIX = {"kind": "matrix", "matrix": [[0.9, 0.1], [0.2, 0.8]], "seed": 1}
HYBRID = {"kind": "hybrid", "base": SYMMETRIC | {"seed": 2**32 - 1}, "then": SYMMETRIC}
ON_FILE = {"kind": "hybrid", "base": {"kind": "file", "path": "x.npy"}, "then": SYMMETRIC}


@pytest.mark.parametrize("entry", [SYMMETRIC, MATRIX, HYBRID, ON_FILE])
def test_a_draw_is_the_entry_with_another_seed(entry):
    spec = parse(entry, "entry")
    assert seed_of(spec) == 1
    assert redrawn(spec, 1) == spec
    other = redrawn(spec, 7)
    assert seed_of(other) == 7
    assert redrawn(other, 1) == spec
    assert parse(other.model_dump(mode="json"), "again") == other


def test_both_parts_of_noise_on_noise_are_drawn_anew_and_stay_apart():
    other = redrawn(parse(HYBRID, "entry"), 7)
    assert (other.base.seed, other.then.seed) == (5, 7)  # -1 and 1, six on


@pytest.mark.parametrize(
    "entry",
    [{"kind": "clean"}, {"kind": "file", "path": "x.npy"},
     {"kind": "dependent", "rate": 0.2, "posterior": "x.npy"}],
)  # fmt: skip
def test_what_nobody_draws_has_no_seed(entry):
    assert seed_of(parse(entry, "entry")) is None
