"""Recipes: of a method without a file of them, and names that are none."""

import pytest

from pipeline.errors import LabError
from pipeline.runs.settings.recipes import choose, recipes_of


def test_a_method_without_recipes_runs_with_its_defaults_which_no_source_backs():
    assert list(recipes_of("mine")) == ["pocket"]
    assert choose("mine", "pocket", {"dataset": "digits"})[:3] == ({}, "extrapolated", set())
    with pytest.raises(LabError, match=r"methods/recipes/mine\.yaml"):
        choose("mine", "paper", {})


@pytest.mark.parametrize("recipe", ["", "../pocket", None, 3, ["pocket"], {"a": 1}])
def test_a_recipe_is_a_name(recipe):
    with pytest.raises(LabError, match="recipe name"):
        choose("robust_loss", recipe, {})


def test_settings_that_a_recipe_chose_by_the_noise_are_named():
    cell = {"dataset": "cifar10", "noise_kind": "symmetric", "rate": 0.4}
    found = choose("sln", "paper", cell)
    assert found.by_noise == {"sigma"}
    assert not choose("sln", "pocket", {"dataset": "digits"}).by_noise
