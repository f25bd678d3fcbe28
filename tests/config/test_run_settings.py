"""Bounds of every number, and schedules whose parts fit together."""

import math
import re

import pytest
from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from pipeline.config import Execution, Grid, RunSettings, validated
from pipeline.errors import LabError
from pipeline.files import methods_folder
from pipeline.runs.settings.methods import load_method

METHODS = sorted(path.stem for path in methods_folder().glob("*.py") if path.stem != "__init__")
MODELS = [RunSettings, Execution, *(load_method(name).Settings for name in METHODS)]
FAR = 10**18
OBVIOUS = {"lr_decay", "strong_scale", "per_class", "lr_horizon", "warmup_epochs", "clip_norm",
           "checkpoint_seconds"}  # fmt: skip
"""Shares, and settings whose bound is said in words or by another setting."""


def kinds(field: FieldInfo) -> set[str]:
    """Types that the annotation of a field names."""
    return set(re.findall(r"\b(?:int|float)\b", str(field.annotation)))


def numbers():
    for model in MODELS:
        for name, field in model.model_fields.items():
            if kinds(field):
                yield pytest.param(model, name, id=f"{model.__name__}-{name}")


@pytest.mark.parametrize(("model", "name"), list(numbers()))
def test_no_number_is_without_bounds(model, name):
    field = model.model_fields[name]
    wrap = (lambda value: [value]) if "tuple" in str(field.annotation) else lambda value: value
    below = [-1e-9] if any(isinstance(m, Ge) and m.ge == 0 for m in field.metadata) else []
    faulty = [math.inf, -math.inf, math.nan, True, "1", -FAR, *below]
    if "int" in kinds(field) and name != "seed":
        faulty.append(FAR)
    for value in faulty:
        with pytest.raises(LabError) as refusal:
            validated(model, {name: wrap(value)}, "settings")
        assert name in str(refusal.value)


def test_the_help_says_an_upper_bound():
    said = 0
    for model in (RunSettings, Execution):
        for name, field in model.model_fields.items():
            most = next((mark.le for mark in field.metadata if isinstance(mark, Le)), None)
            if most is not None and name not in OBVIOUS:
                assert f"{most:,}" in (field.description or ""), name
                said += 1
    assert said >= 6


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"schedule": "step"}, "without lr_milestones"),
        ({"schedule": "step", "lr_milestones": [5, 3]}, r"try: lr_milestones: \[3, 5\]"),
        ({"schedule": "step", "lr_milestones": [3, 3]}, r"try: lr_milestones: \[3\]"),
        ({"schedule": "step", "lr_milestones": [0]}, "lr_milestones.0 = 0"),
        ({"schedule": "warmup-cosine", "epochs": 10, "warmup_epochs": 11}, "from 0 to 10"),
        ({"schedule": "warmup-cosine", "epochs": 10, "lr_horizon": 9}, "at least 10"),
        ({"schedule": "warmup-cosine", "epochs": 10, "warmup_epochs": 10, "lr_horizon": 10},
         "above 10"),
        ({"schedule": "cosine-restarts", "lr": 0.1, "lr_min": 0.2}, "from 0 to 0.1"),
        ({"schedule": "linear", "epochs": 10, "lr_decay_from": 10}, "from 0 to 9"),
    ],
)  # fmt: skip
def test_a_schedule_whose_parts_do_not_fit(values, words):
    with pytest.raises(LabError, match=words):
        validated(RunSettings, values, "settings")


@pytest.mark.parametrize(
    "values",
    [
        {"schedule": "warmup-cosine", "epochs": 1, "warmup_epochs": 1},
        {"schedule": "warmup-cosine", "epochs": 10, "warmup_epochs": 2.5, "lr_horizon": 1000},
        {"schedule": "step", "epochs": 2, "lr_milestones": [80, 120]},
        {"schedule": "cosine", "epochs": 10, "lr_horizon": 5, "lr_milestones": [5, 3]},
    ],
)
def test_a_schedule_that_fits_or_is_not_used(values):
    assert validated(RunSettings, values, "settings").epochs == values.get("epochs")


GRID = {"name": "g", "datasets": ["digits"], "noises": ["clean"], "seeds": [0],
        "runs": [{"method": "robust_loss"}]}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../x"}, "grid name"),
        ({"datasets": ["a/b"]}, "data set name"),
        ({"noises": ["sym 40"]}, "noise name"),
        ({"encoders": ["."]}, "encoder name"),
        ({"seeds": [True]}, "seeds.0 = True"),
        ({"seeds": [2**63]}, "seeds.0"),
        ({"seeds": []}, "at least 1"),
        ({"workers": 10**9}, "at most 256"),
        ({"runs": [{"loss": "ce"}]}, "a method in every block"),
        ({"runs": [{"method": 3}]}, "runs.0.method = 3"),
        ({"runs": [{"method": []}]}, r"runs.0.method = \[\]"),
        ({"runs": [{"method": "robust_loss", "lr": []}]}, r"runs.0.lr = \[\]"),
        ({"seeds": list(range(1000)),
          "runs": [{"method": "robust_loss", "q": [0.1] * 1000}]}, "1,000,000 cells"),
    ],
)  # fmt: skip
def test_a_grid_is_refused_before_it_is_crossed(change, words):
    assert validated(Grid, GRID, "grid").name == "g"
    with pytest.raises(LabError, match=words):
        validated(Grid, GRID | change, "grid")


def test_convolutions_are_not_timed_where_numbers_have_to_repeat():
    with pytest.raises(LabError, match="try: --determinism off"):
        validated(RunSettings, {"cudnn_benchmark": True}, "flags")
    for determinism in ("off", "warn"):
        chosen = {"cudnn_benchmark": True, "determinism": determinism}
        assert validated(RunSettings, chosen, "flags").times_convolutions
