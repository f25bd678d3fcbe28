"""What every file in methods/ must fulfil; a new method is picked up by itself."""

import json
import re
import subprocess
import sys

import pytest
import torch

from pipeline.config import validated
from pipeline.errors import LabError
from pipeline.files import methods_folder, project_root
from pipeline.runs.settings.methods import load_method
from pipeline.runs.settings.recipes import choose, recipes_of
from pipeline.training.method import Batch, Problem
from tests.support.lab import PARAMS, write_params
from tests.support.paths import REFERENCES
from tests.support.runs import numbers, row, run
from tests.support.tiny_encoder import ENTRY, tiny_encoder

METHODS = sorted(path.stem for path in methods_folder().glob("*.py") if path.stem != "__init__")
FINGERPRINTS = json.loads((REFERENCES / "fingerprints.json").read_text())
PROBLEM = Problem(n_classes=10, n_train=40, image_shape=(8, 8, 1), encoder=tiny_encoder())


def test_every_method_is_found():
    assert "robust_loss" in METHODS
    with pytest.raises(LabError, match="try: robust_loss"):
        load_method("robust_los")


@pytest.mark.parametrize("name", METHODS)
def test_a_method_file_shadows_no_library_and_names_itself(name):
    assert name not in sys.stdlib_module_names
    assert load_method(name).name() == name
    assert load_method(name).__module__ == f"methods.{name}"


@pytest.mark.parametrize("name", METHODS)
def test_predictions_are_probabilities(name):
    method_class = load_method(name)
    method = method_class(method_class.Settings(backbone="small-cnn"), PROBLEM)
    p = method.predict(*(shown(view, torch.zeros(3, 1, 8, 8)) for view in method.predict_views))
    assert p.shape == (3, 10)
    torch.testing.assert_close(p.sum(dim=1).float(), torch.ones(3))


def shown(view, x):
    """A view of images x."""
    return PROBLEM.encoder(x) if view == "embedding" else x


@pytest.mark.parametrize("name", METHODS)
def test_every_recipe_row_makes_valid_settings(name):
    settings = load_method(name).Settings
    for recipe in recipes_of(name).values():
        for rule in recipe.rows:
            known = {"noise_kind", "rate"} | set(settings.model_fields)
            assert set(rule.where) <= known
            assert set(rule.set) <= set(settings.model_fields)
            chosen = {k: v[0] if isinstance(v, list) else v for k, v in rule.where.items()}
            values = {k: v for k, v in (chosen | rule.set).items() if k in settings.model_fields}
            validated(settings, values, f"{name}: {recipe}")


def test_an_unknown_recipe_is_answered_with_the_known_ones():
    with pytest.raises(LabError, match="paper, pocket"):
        choose("robust_loss", "none", {})


@pytest.mark.parametrize("name", METHODS)
def test_a_tiny_run_ends_in_rows(lab, name):
    write_params(lab, PARAMS | {"encoders": {"simclr-digits": ENTRY}})
    outcome = run(name, backbone="small-cnn", epochs=1)
    assert outcome.ending == "done"
    assert row(outcome.key)["method"] == name
    method = load_method(name)
    assert row(outcome.key)["n_networks"] == method.n_networks(method.Settings())
    epochs, samples = numbers(outcome.key)
    assert len(epochs) == 1
    assert len(samples) == row(outcome.key)["n_train"]


@pytest.mark.parametrize("case", sorted(FINGERPRINTS))
def test_numbers_move_only_with_the_version(case):
    """Losses of three CPU steps: if this fails, raise VERSION and store the new numbers.

    Old results then count as stale, which they are.
    """
    name, variant = case.split("/")
    stored = FINGERPRINTS[case]
    method_class = load_method(name)
    assert stored["version"] == method_class.VERSION
    settings = stored.get("settings", {"loss": variant})
    assert three_steps(method_class, settings) == pytest.approx(stored["losses"], rel=1e-4)


def three_steps(method_class, own_settings):
    from pipeline.training.context import Context
    from pipeline.training.optimisation import make_optimizer

    settings = method_class.Settings(**own_settings, backbone="small-cnn", epochs=10, lr=0.01)
    torch.manual_seed(0)
    method = method_class(settings, PROBLEM)
    index = torch.arange(40)
    y, x = index % 10, torch.sin(torch.arange(40 * 64.0)).view(40, 1, 8, 8)

    def predict_pass(_augmented, _averaged, samples, function, views, _training):
        images = x if samples is None else x[samples]
        with torch.no_grad():
            given = [shown(view, images) for view in views or method.predict_views]
            return (function or method.predict)(*given)

    context = Context(
        method=method_class.name(), knows=method_class.knows, y_noisy=y, y_clean=y, n_classes=10,
        n_epochs=10, seed=0, predict_pass=predict_pass, epoch=6,
    )  # fmt: skip
    method.start(context)
    method.epoch_start(context)
    optimizer, losses = make_optimizer(method, settings), []
    for _ in range(3):
        views = tuple(shown(view, x.roll(i, dims=3)) for i, view in enumerate(method.views))
        output = method(Batch(views, y, index))
        loss = output.loss if output.coupled is None else output.loss + output.coupled
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_every_loss_of_the_robust_method_has_a_fingerprint():
    from methods.losses.choice import ROBUST

    assert {f"robust_loss/{loss}" for loss in ROBUST} <= set(FINGERPRINTS)


def test_what_trains_methods_names_none():
    room = project_root() / "pipeline" / "training"
    for path in room.glob("*.py"):
        words = set(re.findall(r"\w+", path.read_text()))
        assert words.isdisjoint(METHODS), path


def test_there_is_one_epoch_loop():
    found = subprocess.run(
        ["grep", "-rnE", r"^\s*for epoch in range", "--include=*.py",
         "pipeline", "methods", "analysis"],
        cwd=project_root(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = found.stdout.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("pipeline/training/loop.py")
