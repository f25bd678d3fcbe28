"""Every row of every recipe: typed as flags, it gives its settings, and a method that trains."""

from itertools import product

import pytest
import yaml

from pipeline.config import Params
from pipeline.files import methods_folder
from pipeline.runs.settings.flags import parse_flags
from pipeline.runs.settings.methods import load_method
from tests.support.one_step import SMALL, build, first_epoch, first_streams, one_step

RECIPES = {
    (path.stem, name): content
    for path in sorted((methods_folder() / "recipes").glob("*.yaml"))
    for name, content in yaml.safe_load(path.read_text()).items()
}


def firsts(conditions):
    """The cell that holds the first value of each condition."""
    return {name: value[0] if isinstance(value, list) else value for name, value in
            conditions.items()}  # fmt: skip


def lists(conditions):
    """The values that each condition allows."""
    return [value if isinstance(value, list) else [value] for value in conditions.values()]


def combinations(conditions):
    """All cells that fulfil some conditions."""
    return [dict(zip(conditions, chosen, strict=True)) for chosen in product(*lists(conditions))]


def few(conditions):
    """So many of these cells that every value of every condition is in one of them."""
    values = lists(conditions)
    rounds = range(max(map(len, values)))
    picked = [[value[i % len(value)] for value in values] for i in rounds]
    return [dict(zip(conditions, chosen, strict=True)) for chosen in picked]


ROWS = [
    pytest.param(method, recipe, number, id=f"{method}-{recipe}-{number}")
    for (method, recipe), content in RECIPES.items()
    for number in range(len(content["rows"]))
]


def as_case(method, recipe, conditions, slow):
    name = "-".join(map(str, [method, recipe, *conditions.values()]))
    marks = [pytest.mark.slow] if slow else []
    return pytest.param(method, recipe, conditions, id=name, marks=marks)


CELLS = [
    as_case(method, recipe, one, slow=one not in few(conditions))
    for (method, recipe), content in RECIPES.items()
    for conditions in content["cells"]
    for one in combinations(conditions)
]


def typed(method, recipe, cell, **more):
    """Flags for a cell of a recipe, and a params.yaml with labels of its kind of noise."""
    entry = {"kind": "clean"}
    kind = cell.get("noise_kind", "clean")
    if kind != "clean":
        # Published labels count as the kind that their convention names.
        entry = {"kind": "file", "path": "labels.npy", "rate": cell.get("rate", 0.4)}
        entry |= {} if kind == "file" else {"convention": kind}
    words = ["--recipe", recipe, "--noise", cell.get("noise", "labels")]
    for name, value in (cell | more).items():
        if name in {"noise", "noise_kind", "rate"} or value is None:
            continue
        flag = name.replace("_", "-")
        words += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [
            f"--{flag}", str(value)]  # fmt: skip
    return words, Params(noise={"labels": entry})


def resolved(method, words, params):
    """What the flags of a script give."""
    return parse_flags(load_method(method), words, params)[0]


def warm(method, cell):
    """What a cell needs that its conditions do not name: T is estimated by a trained network."""
    needs_start = cell.get("loss") in {"forward", "hoc"} and method.startswith("representation")
    return {"start_from": "ce-warm"} if needs_start and "start_from" not in cell else {}


@pytest.mark.parametrize(("method", "recipe", "number"), ROWS)
def test_a_row_is_typed_and_trains(lab, method, recipe, number):
    rows = RECIPES[method, recipe]["rows"]
    row, cell = rows[number], firsts(rows[number].get("where", {}))
    words, params = typed(method, recipe, cell, **warm(method, cell))
    settings = resolved(method, words, params).settings
    held = settings.model_dump(mode="json")
    overridden = {name for later in rows[number + 1 :] for name in later["set"]}
    for name, value in row["set"].items():
        if name not in overridden | set(cell):
            assert held[name] == value, name
    assert row["source"]
    words, params = typed(method, recipe, cell, **warm(method, cell), **SMALL)
    loaded = load_method(method)
    built = build(loaded, resolved(method, words, params).settings)
    context = first_epoch(built)
    assert one_step(built, streams=first_streams(built, context)).isfinite()
    assert any(p.grad is not None for p in built.parameters())


@pytest.mark.parametrize(("method", "recipe", "cell"), CELLS)
def test_a_cell_that_a_recipe_reports_is_typed_and_is_not_extrapolated(lab, method, recipe, cell):
    found = resolved(method, *typed(method, recipe, cell))
    assert found.recipe_status != "extrapolated"


@pytest.mark.parametrize("loss", ["forward", "hoc", "peer"])
@pytest.mark.parametrize(
    ("start", "optimizer"),
    [("ce-warm", "sgd"), ("ce-warm-simclr", "adam"), ("simclr-cifar10", "adam")],
)
def test_what_simclr_started_goes_on_with_adam(lab, loss, start, optimizer):
    cell = {"dataset": "cifar10", "loss": loss, "start_from": start, "noise_kind": "symmetric"}
    method = "representation_regularization"
    found = resolved(method, *typed(method, "paper", cell))
    assert found.settings.optimizer == optimizer
    if optimizer == "adam":
        assert (found.settings.lr, found.settings.schedule) == (1e-3, "constant")
        assert found.settings.lr_milestones == ()
    assert found.recipe_status == "published"
