"""Keys see every setting that changes numbers, and no other."""

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from pipeline.config import RunSettings, key_facts
from pipeline.errors import LabError
from pipeline.files import methods_folder
from pipeline.runs.settings.methods import load_method

METHODS = sorted(path.stem for path in methods_folder().glob("*.py") if path.stem != "__init__")
ADAM, SGD = {"optimizer": "adam"}, {"optimizer": "sgd"}
COSINE, WARMUP = {"schedule": "cosine"}, {"schedule": "warmup-cosine"}
STEP = {"schedule": "step", "lr_milestones": (5,)}


@pytest.mark.parametrize(
    ("values", "idle", "used"),
    [
        ({"momentum": 0.5}, ADAM, SGD),
        ({"nesterov": True}, ADAM, SGD),
        ({"lr_decay": 0.5}, COSINE, {"schedule": "exponential"}),
        ({"lr_decay": 0.5}, WARMUP, STEP),
        ({"lr_milestones": (7,)}, {"schedule": "exponential"}, {"schedule": "step"}),
        ({"warmup_epochs": 2.0}, COSINE, WARMUP),
        ({"lr_horizon": 500.0}, STEP, WARMUP),
        ({"clip_separately": True}, {"clip_norm": None}, {"clip_norm": 1.0}),
        ({"per_class": 5}, {"sampling": "all"}, {"sampling": "balanced"}),
        ({"val_rate": 0.2}, {"validation": "provided"}, {"validation": "held-out"}),
        ({"cudnn_benchmark": False}, {"determinism": "error"}, {"determinism": "off"}),
        ({"cudnn_benchmark": True}, {"determinism": "off"}, {"determinism": "warn"}),
    ],
)
def test_a_setting_is_in_the_key_only_where_it_has_effect(values, idle, used):
    assert key_facts(RunSettings(**idle, **values)) == key_facts(RunSettings(**idle))
    usual = STEP if used == {"schedule": "step"} else used
    assert key_facts(RunSettings(**used, **values)) != key_facts(RunSettings(**usual))


def test_a_classifier_of_features_has_no_network_and_no_views():
    settings = load_method("feature_classifier").Settings
    for change in ({"backbone": "resnet50"}, {"flip": True}, {"crop_padding": 4},
                   {"strong_scale": 0.5}, {"rotation": 20.0},
                   {"normalisation": "cifar10"}):  # fmt: skip
        assert key_facts(settings(**change)) == key_facts(settings())
    assert key_facts(settings(k=5)) == key_facts(settings())
    assert key_facts(settings(classifier="knn", k=5)) != key_facts(settings(classifier="knn"))


def others(annotation: Any, value: Any) -> list[Any]:
    """Values of the same type."""
    choices = [one for part in (annotation, *get_args(annotation))
               if str(part).startswith("typing.Literal") for one in get_args(part)]  # fmt: skip
    if choices:
        return choices
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value * 2, value / 2, value / 2 + 0.1]
    if isinstance(value, tuple):
        return [(3,)]
    return [True, 2, 0.5, 0.25, 1.5, "other"]


@pytest.mark.parametrize("name", METHODS)
def test_every_change_of_any_setting_shows_in_the_key_or_is_declared(name):
    settings = load_method(name).Settings
    plain = settings()
    changed = 0
    for field, info in settings.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        for value in others(info.annotation, getattr(plain, field)):
            try:
                other = settings(**{field: value})
            except (ValidationError, LabError):
                continue  # out of bounds, or of another loss
            if getattr(other, field) == getattr(plain, field):
                continue
            changed += 1
            # Where a choice brings defaults of its own, more than one setting differs.
            idle = plain.without_effect() & other.without_effect()
            hidden = field in idle or extra.get("in_key") is False
            assert (key_facts(other) == key_facts(plain)) == hidden, (field, value)
    assert changed > 20
