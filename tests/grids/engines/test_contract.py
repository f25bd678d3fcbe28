"""What every engine keeps to: each cell ends in one row, whatever happens to jobs and programs."""

from __future__ import annotations

import json

import pytest

from pipeline.config import read_params
from pipeline.errors import LabError
from pipeline.files import results_folder
from pipeline.grids.cells import cells
from pipeline.grids.worker import carry_out_bundle
from pipeline.results.store import Store
from tests.support.engines import compute, local
from tests.support.lab import write_params
from tests.support.ray_cluster import ray_cluster
from tests.support.sites import Site, kill
from tests.support.slurm import Slurm

TINY = {"method": "robust_loss", "loss": ["ce", "dal"], "lr": [0.1, 0.01]}
LONG = {"method": "robust_loss", "loss": ["ce", "dal"], "epochs": 25}


def local_site(lab):
    return Site(lab, {"kind": "local"}, ("--workers", "2"))


def slurm_site(lab):
    cluster = Slurm()
    try:
        cluster.start()
        entry = {"kind": "slurm", "gpus": 0, "cpus": 1, "memory": "500M"}
        yield Site(lab, entry, environment=cluster.environment)
    finally:
        cluster.stop()


def ray_site(lab):
    with ray_cluster(2) as (address, user, _):
        entry = {"kind": "ray", "gpus": 0, "address": address}
        yield Site(lab, entry, environment=user)


ENGINES = [
    pytest.param(local_site, id="local", marks=pytest.mark.slow),
    pytest.param(slurm_site, id="slurm", marks=pytest.mark.services),
    pytest.param(ray_site, id="ray", marks=pytest.mark.services),
]
"""Functions that make a site of a laboratory; one that starts a service yields the site."""


@pytest.fixture(params=ENGINES)
def site(request, lab):
    made = request.param(lab)
    if isinstance(made, Site):
        yield made
    else:
        yield from made


def statuses():
    return sorted(Store().runs().select("status").collect()["status"])


def numbers():
    epochs = Store().epochs().drop("seconds").sort("key", "epoch").collect()
    return epochs, Store().samples().sort("key", "index").collect()


def test_all_cells_end_with_the_numbers_of_one_worker_and_a_failing_one_fails_alone(
    site, monkeypatch
):
    site.write_grid(TINY, TINY | {"val_rate": 0.0001, "loss": "ce", "lr": 0.1})
    code, output = site.run()
    assert code == 1, output
    assert "1 of 5 cells failed" in output
    assert statuses() == ["done"] * 4 + ["failed"]
    assert set(site.computed().values()) == {1}
    view = (results_folder() / "views" / "contract.parquet").read_bytes()
    by_engine = numbers()
    monkeypatch.setenv("LNL_STORE", str(site.lab / "alone"))
    code, output = site.run("--wait", "--engine", "local", "--workers", "1")
    assert code == 1, output
    assert all(one.equals(other) for one, other in zip(by_engine, numbers(), strict=True))
    assert (results_folder() / "views" / "contract.parquet").read_bytes() == view


def test_a_killed_worker_costs_no_cell(site):
    site.write_grid(LONG)
    program = site.start()
    kill(site.await_event(lambda event: event.what == "begun"))
    code, output = site.ended(program)
    assert code == 0, output
    assert statuses() == ["done", "done"]


def test_a_cell_that_ends_its_worker_twice_has_failed_and_the_others_follow(site):
    site.write_grid(LONG)
    program = site.start()
    first = site.await_event(lambda event: event.what == "begun")
    kill(first)
    kill(
        site.await_event(
            lambda event: event.what == "begun" and event.key == first.key and event.at > first.at
        )
    )
    code, output = site.ended(program)
    assert code == 1, output
    assert statuses() == ["done", "failed"]
    assert "twice" in Store().run(first.key)["status_detail"]


def test_a_cancelled_grid_goes_on_where_it_stood(site):
    # Longer than it takes to start the program that cancels.
    site.write_grid(TINY | {"loss": "ce"}, LONG | {"epochs": 300})
    program = site.start()
    site.await_event(lambda event: event.what == "begun")
    code, output = site.run("--cancel")
    assert code == 0, output
    site.ended(program)
    assert statuses().count("done") < 4
    code, output = site.run("--status")
    assert code == 0, output
    assert "grid contract: 4 cells" in output
    code, output = site.run()
    assert code == 0, output
    assert statuses() == ["done"] * 4
    assert set(site.computed().values()) == {1}


def test_two_programs_at_once_compute_no_cell_twice(site):
    site.write_grid(TINY | {"lr": [0.1, 0.01, 0.001, 0.0001]})
    programs = [site.start(), site.start()]
    for program in programs:
        code, output = site.ended(program)
        assert code == 0, output
    assert statuses() == ["done"] * 8
    assert set(site.computed().values()) == {1}


def frozen(lab):
    """Folder of a batch of one cell, of which a bundle was not computed yet."""
    from pipeline.config import params_path
    from pipeline.grids.bundles import add_bundles
    from pipeline.grids.run import frozen_for
    from tests.support.engines import QUIET

    site = local_site(lab)
    site.write_grid(TINY | {"loss": "ce", "lr": 0.1})
    all_cells, engine = cells(read_params()), local()
    batch = frozen_for(engine, all_cells, 1, read_params(), params_path(), QUIET)
    add_bundles(batch, [0], 1, engine.lengths())
    return batch.folder


def change_code(folder):
    path = folder / "batch.json"
    facts = json.loads(path.read_text())
    facts["planned_under"]["code"] = "0" * 16  # as if this code had been edited since
    path.write_text(json.dumps(facts))


def change_params(folder):
    write_params(folder.parents[3], {"run": {"seed": 3}})


def change_inputs(folder):
    card = folder.parents[3] / "labels" / "digits" / "symmetric-40" / "card.json"
    card.write_text(card.read_text() + " ")


def change_folder(folder):
    (folder / "token").write_text("another folder of that name")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_code, "^code changed since batch local-.* was planned.*try: the same command"),
        (change_params, "^params changed since"),
        (change_inputs, "^inputs changed since"),
        (change_folder, "another folder of that name; expected: a folder that all machines share"),
    ],
)
def test_a_batch_whose_circumstances_have_changed_says_so_before_any_cell(lab, change, words):
    folder = frozen(lab)
    change(folder)
    with pytest.raises(LabError, match=words):
        carry_out_bundle(folder, 0)
    assert statuses() == []


def test_a_bundle_is_computed_by_its_folder_and_number_and_stays_computed(lab):
    folder = frozen(lab)
    carry_out_bundle(folder, 0)
    carry_out_bundle(folder, 0, (folder / "token").read_text())
    assert statuses() == ["done"]
    assert compute(cells(read_params())) == {}
    with pytest.raises(LabError, match="bundle 7 of batch .*one of 0"):
        carry_out_bundle(folder, 7)
