"""Policies: the published tables and laws, and functions of each sample's numbers alone."""

import hashlib

import numpy as np
import pytest
import torch

from pipeline.data.images.operations import OPERATIONS
from pipeline.data.images.policies import N_NUMBERS, AutoAugment, _pairs, disc, promix
from pipeline.data.randomness import sample_uniforms_on_host

NAMES = list(OPERATIONS)
POLICIES = {
    "cifar10": AutoAugment(), "imagenet": AutoAugment(of="imagenet"), "disc": disc(10),
    "disc-5": disc(5), "promix": promix(),
}  # fmt: skip
NUMBERS = sample_uniforms_on_host(3, np.arange(4000), N_NUMBERS)


def values_of(policy, side=32):
    """Values of each operation over many samples, by name; those not applied are `identity`."""
    found = {}
    for draw in policy.draws(NUMBERS, side, side):
        for kind in set(draw.kind.tolist()):
            found.setdefault(NAMES[kind], []).append(draw.value[draw.kind == kind])
    return {name: torch.from_numpy(np.concatenate(values)) for name, values in found.items()}


@pytest.mark.parametrize(("of", "digest"), [("cifar10", "7a6a1b30"), ("imagenet", "36b77d73")])
def test_the_tables_of_the_library_are_those_that_runs_were_made_with(of, digest):
    text = str((9 * _pairs(of)).round().astype(int).tolist())
    assert hashlib.sha256(text.encode()).hexdigest()[:8] == digest


def test_values_of_autoaugment_are_those_of_its_ranges():
    values = values_of(POLICIES["cifar10"])
    # Level m of 0 to 9, with either sign; pairs that exist name the levels.
    assert values["posterize"].unique().tolist() == [5]  # 8 - 4 * 7 / 9 = 4.9
    expected = {sign * 32 * 150 / 331 * m / 9 for m in (8, 9) for sign in (1, -1)}
    assert values["translate-x"].unique().tolist() == pytest.approx(sorted(expected))
    assert values["rotate"].unique().tolist() == pytest.approx([-60 / 9, 60 / 9])
    factors = {1 + sign * 0.9 * m / 9 for m in (3, 6, 7, 9) for sign in (1, -1)}
    assert values["brightness"].unique().tolist() == pytest.approx(sorted(factors))
    assert set(values["solarize"].round().int().tolist()) == {28, 114, 171, 199}


def test_disc_draws_whole_levels_and_applies_half_of_the_operations():
    for levels, name in ((10, "disc"), (5, "disc-5")):
        values = values_of(POLICIES[name])
        n = sum(len(own) for kind, own in values.items() if kind != "cutout")
        n_cutout = len(values["cutout"]) - len(NUMBERS)
        # Two of 16 operations, each applied with probability 1/2; 4 standard deviations.
        drawn = 2 * len(NUMBERS)
        assert n + n_cutout == drawn
        assert abs(len(values["identity"]) / drawn - 0.5) < 4 * 0.5 / drawn**0.5
        assert abs(len(values["invert"]) / drawn - 1 / 32) < 4 * (1 / 32 / drawn) ** 0.5
        assert values["rotate"].abs().unique().tolist() == [3 * v for v in range(1, levels)]
        assert values["brightness"].unique() == pytest.approx(
            [0.1 + 0.18 * v for v in range(1, levels)]
        )
        adds = {sign * int(11 * v) for v in range(1, levels) for sign in (1, -1)}
        assert set(values["solarize-add"].tolist()) == adds
        steps = {sign * int(0.005 * v * 32) for v in range(1, levels) for sign in (1, -1)}
        assert set(values["translate-y"].abs().tolist()) == {abs(step) for step in steps}
        sides = {int(0.01 * v * 32) for v in range(1, levels)}
        assert set(values["cutout"].tolist()) == sides | {int(0.15 * 32)}


def test_promix_draws_real_numbers_and_a_square_of_any_side():
    values = values_of(POLICIES["promix"])
    for name, (low, high) in {
        "brightness": (0.05, 0.95), "rotate": (-30, 30), "shear-x": (-0.3, 0.3),
        "translate-x": (-9.6, 9.6), "solarize": (0, 256), "cutout": (0, 16),
    }.items():  # fmt: skip
        own = (values[name] - low) / (high - low)
        # 4 standard deviations of a mean of uniforms.
        assert abs(float(own.mean()) - 0.5) < 4 * 0.29 / len(own) ** 0.5
        assert 0 <= own.min() < 0.02
        assert 0.98 < own.max() <= 1
    assert set(values["posterize"].tolist()) == {4, 5, 6, 7}
    assert len(values["identity"]) == pytest.approx(3 * len(NUMBERS) / 14, rel=0.15)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_changed_by_their_own_numbers_alone(name, channels):
    draws = np.random.default_rng(0).integers(0, 256, (48, 9, 11, channels), dtype=np.uint8)
    images, numbers, before = torch.from_numpy(draws), NUMBERS[:48], torch.from_numpy(draws.copy())
    together = POLICIES[name].changed(images, numbers)
    assert together.dtype == torch.uint8
    assert torch.equal(images, before)
    assert torch.equal(together.flip(0), POLICIES[name].changed(images.flip(0), numbers[::-1]))
    for i in (0, 20, 47):
        assert torch.equal(
            together[i], POLICIES[name].changed(images[i : i + 1], numbers[i : i + 1])[0]
        )
    assert (together != images).flatten(1).any(dim=1).float().mean() > 0.5
