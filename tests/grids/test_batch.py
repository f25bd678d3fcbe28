"""A frozen cell is the run that was planned, and a worker that sees another store computes none."""

import json
from functools import partial

import pytest

from pipeline.config import params_path, read_params
from pipeline.errors import LabError
from pipeline.grids import batch as module
from pipeline.grids.batch import freeze, read_batch
from pipeline.grids.cells import cells
from pipeline.grids.status import print_status
from pipeline.results.claims import claim
from pipeline.runs.planning import Planner
from pipeline.storage.places import store_place
from tests.support.engines import QUIET
from tests.support.lab import PARAMS, write_params


def frozen(planned):
    params = read_params()
    return freeze(
        planned, [0] * len(planned), [None] * len(planned), engine="local", params=params,
        execution=QUIET.model_copy(update={"grid": params.grid.name}),
        params_file=params_path(), n_cells=len(planned),
    )  # fmt: skip


def test_a_frozen_cell_is_planned_with_the_very_same_row(lab):
    write_params(lab, PARAMS)
    planner, first = Planner(read_params()), cells(read_params())[0]
    # All that a recipe may have to say of a run.
    resolved = first.resolved._replace(recipe_status="extrapolated", by_noise=frozenset({"lr"}))
    run = planner.run(first.method, resolved)
    assert "noise_recipe" in run.row["knows"]
    run.row["also_named"] = ["digits/another"]
    (cell,) = read_batch(frozen([run]).folder).cells
    again = cell.planned(Planner(read_params(), makes=False))
    assert again.row == run.row
    assert again.resolved == run.resolved


def test_a_batch_of_an_early_version_is_read(lab):
    write_params(lab, PARAMS)
    folder = frozen(cells(read_params())[:1]).folder
    batch = read_batch(folder)
    assert batch.execution.grid == batch.grid == read_params().grid.name
    facts = json.loads((folder / "batch.json").read_text())
    facts["execution"]["group"] = batch.grid
    (folder / "batch.json").write_text(json.dumps(facts))
    assert read_batch(folder).execution == batch.execution


@pytest.mark.parametrize("variable", ["LNL_STORE", "LNL_SHARED"])
def test_a_worker_that_sees_another_place_is_refused(lab, tmp_path, monkeypatch, variable):
    write_params(lab, PARAMS)
    monkeypatch.setenv(variable, str(tmp_path / "first"))
    folder = frozen(cells(read_params())).folder
    read_batch(folder).check()
    monkeypatch.setenv(variable, str(tmp_path / "other"))
    monkeypatch.setattr(module, "require_shared", partial(module.require_shared, patience=0.0))
    with pytest.raises(LabError, match="other on this node is not the one of the program that sub"):
        read_batch(folder).check()


def test_what_runs_is_what_is_claimed(lab, capsys):
    write_params(lab, PARAMS)
    params = read_params()
    planned = cells(params)
    frozen(planned)
    print_status(params.grid.name, params)
    assert f"0 running, {len(planned)} waiting" in capsys.readouterr().out
    held = claim(store_place(), planned[0].key)
    print_status(params.grid.name, params)
    said = capsys.readouterr().out
    assert f"1 running, {len(planned) - 1} waiting" in said
    assert planned[0].key in said
    held.release()
    print_status(params.grid.name, params)
    assert "0 running" in capsys.readouterr().out
