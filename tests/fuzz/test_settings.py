"""Damaged settings files, values and command lines end in settings or in one line."""

import random
from pathlib import Path

import pytest
import yaml

from pipeline.config import Execution, Params, key_facts, read_params, validated
from pipeline.files import methods_folder
from pipeline.identity import canonical_json
from pipeline.runs.settings.flags import parse_flags
from pipeline.runs.settings.methods import load_method
from pipeline.runs.settings.recipes import Recipe, read_recipes
from pipeline.runs.settings.resolve import resolve
from tests.support.lab import PARAMS
from tests.support.mutations import answer, mutated_bytes, mutated_values, mutated_words
from tests.support.paths import PROJECT

METHODS = sorted(path.stem for path in methods_folder().glob("*.py") if path.stem != "__init__")
RECIPES = sorted((methods_folder() / "recipes").glob("*.yaml"))
OWN = (PROJECT / "params.yaml").read_bytes()
FULL = yaml.safe_load(OWN)
AMOUNTS = [
    pytest.param(0, 1, id="some"),
    pytest.param(1, 10, id="many", marks=pytest.mark.slow),
]  # fmt: skip


@pytest.mark.parametrize(("seed", "factor"), AMOUNTS)
def test_a_damaged_params_file(lab, seed, factor):
    rng = random.Random(seed)
    for number in range(500 * factor):
        # A file of its own each time: two within a clock tick would look like one.
        path = lab / f"{number}.yaml"
        path.write_bytes(mutated_bytes(OWN, rng))
        found = answer(read_params, path)
        path.unlink()
        assert found is None or Params.model_validate(found) == found


@pytest.mark.parametrize(("seed", "factor"), AMOUNTS)
def test_a_damaged_recipe_file(tmp_path: Path, seed, factor):
    rng, path = random.Random(seed), tmp_path / "recipes.yaml"
    for _ in range(300 * factor):
        path.write_bytes(mutated_bytes(rng.choice(RECIPES).read_bytes(), rng))
        found = answer(read_recipes, path)
        assert found is None or all(isinstance(recipe, Recipe) for recipe in found.values())


@pytest.mark.parametrize(("seed", "factor"), AMOUNTS)
def test_params_of_odd_values_and_the_settings_made_from_them(lab, seed, factor):
    rng = random.Random(seed)
    for _ in range(500 * factor):
        params = answer(validated, Params, mutated_values(FULL, rng), "params.yaml")
        if params is None:
            continue
        method = load_method(rng.choice(METHODS))
        values = params.run | params.methods.get(method.name(), {})
        resolved = answer(resolve, method, values, params)
        if resolved is not None:
            canonical_json(key_facts(resolved.settings))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("seed", "factor"), AMOUNTS)
def test_odd_values_of_every_setting(lab, name, seed, factor):
    rng, method, params = random.Random(seed), load_method(name), Params(noise=FULL["noise"])
    usual = method.Settings().model_dump()
    for _ in range(150 * factor):
        some = {key: usual[key] for key in rng.sample(sorted(usual), 4)}
        values = mutated_values(some | {"noise": "pair-40"}, rng)
        resolved = answer(resolve, method, values, params)
        if resolved is not None:
            canonical_json(key_facts(resolved.settings))
            assert method.Settings.model_validate(resolved.settings.model_dump())


@pytest.mark.parametrize(("seed", "factor"), AMOUNTS)
def test_damaged_command_lines(lab, seed, factor, capsys):
    rng, params = random.Random(seed), validated(Params, PARAMS, "params.yaml")
    for _ in range(40 * factor):
        method = load_method(rng.choice(METHODS))
        words = ["--lr", "0.1", "--epochs", "3", "--lr-milestones", "1", "2", "--workers", "2",
                 "--noise", "pair-40", "--no-flip", "--clip-norm", "None"]  # fmt: skip
        words = mutated_words(words, rng)
        found = answer(parse_flags, method, words, params)
        assert found is None or isinstance(found[1], Execution)
