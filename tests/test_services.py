"""Runs against the real services, which fail in the middle and come back."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow import MlflowClient

from pipeline.results import tracker
from pipeline.results.store import Store
from pipeline.results.tracking import limits
from tests.support.browser import keep, opened_page
from tests.support.lab import PARAMS, write_params
from tests.support.paths import PROJECT
from tests.support.programs import PYTHON, finish
from tests.support.runs import numbers, row, run
from tests.support.servers import Servers

GRID = ("-m", "pipeline.stages.runs")
pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """PostgreSQL, S3 store and MLflow server."""
    running = Servers(tmp_path_factory.mktemp("servers"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def site(lab, servers, monkeypatch):
    """A laboratory with the settings of docker/.env."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", servers.address)
    # A busy machine is no failure; a server that is gone refuses at once.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    for name in ("CONNECT_SECONDS", "LATER_SECONDS"):
        monkeypatch.setattr(limits, name, 120.0)
    for name, value in servers.s3_client.items():
        monkeypatch.setenv(name, value)
    return lab


def shown(servers, key):
    """The finished view of a run: what MLflow has of it."""
    client = MlflowClient(servers.address)
    return client, search(client, f"tags.key = '{key}'")


def search(client, condition=""):
    experiment = client.get_experiment_by_name("digits")
    return list(client.search_runs([experiment.experiment_id], condition)) if experiment else []


def curve(client, found, name="test/accuracy"):
    return [point.value for point in client.get_metric_history(found.info.run_id, name)]


def stored_curve(key, name="test_accuracy"):
    return Store().epochs([key]).sort("epoch").collect()[name].to_list()


def test_a_grid_is_shown_by_the_server_with_its_pictures_in_the_s3_store(site, servers):
    code, out, err = finish(PYTHON, *GRID, lab=site, cwd=PROJECT)
    assert code == 0, err
    assert "2 cells; 2 done" in out
    # MLflow's own words on every run are kept back; the page is told once.
    assert out.count(servers.address) == 1
    assert f"curves: {servers.address}/#/experiments/" in out
    assert "MLflow view off" not in err
    assert not (site / "mlflow.db").exists()
    keys = {item["Key"] for item in s3().list_objects_v2(Bucket="lnl-mlflow")["Contents"]}
    for stored in Store().runs().collect().iter_rows(named=True):
        client, (found,) = shown(servers, stored["key"])
        assert found.info.status == "FINISHED"
        assert found.data.params["loss"] == json.loads(stored["settings"])["loss"]
        assert curve(client, found) == stored_curve(stored["key"])
        names = {key.rpartition("/")[2] for key in keys if f"/{found.info.run_id}/" in key}
        assert names == {"curves.svg", "confusion.svg", "settings.yaml"}


def s3():
    # Here and below: what only the group `services` installs, which other test runs do without.
    import boto3

    return boto3.client("s3")


def dvc(folder, *words):
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        [Path(sys.executable).parent / "dvc", *words],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_data_goes_through_the_remote_to_another_machine_and_is_the_same(
    site, servers, tmp_path_factory, monkeypatch
):
    monkeypatch.delenv("LNL_ROOT")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    here, there = (tmp_path_factory.mktemp(name) for name in ("here", "there"))
    for folder in (here, there):
        subprocess.run(["git", "init", "-q", folder], check=True)
        for name in (".dvc/config", ".dvcignore", "dvc.yaml", "pipeline", "methods", "analysis"):
            (folder / name).parent.mkdir(exist_ok=True)
            subprocess.run(["cp", "-r", PROJECT / name, folder / name], check=True)
        write_params(folder, PARAMS)
    dvc(here, "repro", "noise")
    assert "pushed" in dvc(here, "push", "-r", "s3")
    (there / "dvc.lock").write_bytes((here / "dvc.lock").read_bytes())
    dvc(there, "pull", "-r", "s3", "noise", "data")
    for folder in ("data", "labels"):
        files = [path for path in (here / folder).glob("**/[!.]*") if path.is_file()]
        assert len(files) >= 2
        for path in files:
            assert (there / path.relative_to(here)).read_bytes() == path.read_bytes()
    assert "didn't change" in dvc(there, "repro", "noise")
    assert s3().list_objects_v2(Bucket="lnl-dvc")["KeyCount"] >= 2


def test_a_run_outlives_the_server_and_its_view_is_completed_later(
    site, servers, monkeypatch, capsys
):
    monkeypatch.setattr(tracker, "FLUSH_SECONDS", 0)
    original = tracker.LiveView.epoch

    def epoch(view, record):
        original(view, record)
        if record["epoch"] == 2:
            servers.mlflow.stop(signal.SIGKILL)

    with monkeypatch.context() as broken:
        broken.setattr(tracker.LiveView, "epoch", epoch)
        key = run(epochs=6, seed=2, execution={"tracking": True}).key
    assert row(key)["status"] == "done"
    assert capsys.readouterr().err.count("MLflow view off") == 1

    servers.mlflow.start()
    client, (broken_off,) = shown(servers, key)
    assert broken_off.info.status == "RUNNING"
    assert curve(client, broken_off) == stored_curve(key)[:3]
    tracker.rebuild()
    assert capsys.readouterr().out.strip() == "1 runs mirrored to MLflow, 0 means over seeds"
    client, (complete,) = shown(servers, key)
    assert complete.info.status == "FINISHED"
    assert curve(client, complete) == stored_curve(key)
    assert len(stored_curve(key)) == 6
    assert len(client.list_artifacts(complete.info.run_id)) == 3


def test_a_restarted_database_has_lost_nothing_and_takes_the_next_run(site, servers, capsys):
    run(epochs=1, seed=3, execution={"tracking": True})
    before = everything(servers)
    assert before
    # An orderly restart, then one like a power cut.
    for seed, mode in enumerate(("fast", "immediate"), start=4):
        servers.postgres.control("restart", "-m", mode)
        assert everything(servers) == before
        key = run(epochs=1, seed=seed, execution={"tracking": True}).key
        after = everything(servers)
        assert len(after) == len(before) + 1
        assert {number: after[number] for number in before} == before
        assert shown(servers, key)[1][0].info.status == "FINISHED"
        before = after
    assert capsys.readouterr().err == ""


def everything(servers):
    """Tags, params and last metrics of every run that the server shows."""
    return {
        found.info.run_id: (found.data.tags, found.data.params, found.data.metrics)
        for found in search(MlflowClient(servers.address))
    }


def test_results_do_not_depend_on_the_tracker(site, servers, monkeypatch):
    tables = []
    for place in (servers.address, f"sqlite:///{site / 'mlflow.db'}"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
        monkeypatch.setenv("LNL_STORE", str(site / place.split(":")[0]))
        key = run(epochs=2, seed=6, execution={"tracking": True}).key
        tables.append(numbers(key))
    for ours, theirs in zip(*tables, strict=True):
        assert ours.equals(theirs)


@pytest.fixture
def page():
    """A page as wide as MLflow's tables are."""
    with opened_page(1500, 850) as opened:
        yield opened


def button_beside(found, last=False):
    """The first button, or the last one, of what surrounds a part of a page most closely."""
    buttons = found.first.locator("xpath=ancestor::*[.//button][1]").locator("button")
    return buttons.last if last else buttons.first


def test_the_pages_show_runs_below_their_means_curves_in_sections_and_a_picture(
    site, servers, page
):
    losses, noise, seeds = ("ce", "dal"), "pair-40", (0, 1)
    keys = [
        run(loss=loss, noise=noise, seed=seed, epochs=8, execution={"tracking": True}).key
        for loss in losses
        for seed in seeds
    ]
    tracker.show_seeds(keys)
    means = [f"{loss} {noise}, 2 seeds" for loss in losses]
    names = [f"{loss} {noise} s{seed}" for loss in losses for seed in seeds]
    address = tracker.how_to_open("digits")
    place = address.partition("?")[0]
    listing = f"{address}&searchFilter={quote(f'tags.noise={noise!r}')}"

    page.goto(listing)
    page.get_by_role("link", name=means[0], exact=True).first.wait_for()
    button_beside(page.get_by_text("MLflow Assistant"), last=True).click()
    for name in means:
        button_beside(page.get_by_role("link", name=name, exact=True)).click()
    for name in names:
        page.get_by_role("link", name=name, exact=True).first.wait_for()
    assert page.get_by_text("6 matching runs").count() == 1
    keep(page, "mlflow-runs")

    page.goto(f"{listing}&compareRunsMode=CHART")
    cards = page.get_by_test_id("experiment-view-compare-runs-card")
    chart = cards.filter(has_text="labels/memorised")
    for name in (*means, *names):
        chart.get_by_text(f"{name} (labels/memorised)").first.wait_for()
    # The first section is drawn as a whole.
    titles = [card.inner_text().partition("\n")[0] for card in cards.all()]
    assert titles[0] == "labels/clean_fitted"
    assert {title.partition("/")[0] for title in titles[:4]} == {"labels"}
    # Every run and every mean has a line through its eight epochs, and no two are the same.
    drawn = {line.get_attribute("d") for line in chart.locator(".scatterlayer .js-line").all()}
    assert len(drawn) == len(means) + len(names)
    assert all(line.count("L") + line.count("C") >= 1 for line in drawn)
    keep(page, "mlflow-curves")

    (first,) = search(MlflowClient(servers.address), f"attributes.run_name = {names[0]!r}")
    page.goto(f"{place}/{first.info.run_id}/artifacts/curves.svg?workflowType=machine_learning")
    picture = page.get_by_alt_text("curves.svg")
    picture.wait_for()
    assert picture.evaluate("it => it.naturalWidth") > 300
