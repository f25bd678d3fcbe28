"""The engine `ray`: what is refused without it, what its tasks reserve, and a real cluster."""

import os
import re
import signal
import socket
import sys
import time
from contextlib import suppress

import polars as pl
import psutil
import pytest
import torch

from pipeline.config import RayEngine, read_params
from pipeline.errors import LabError
from pipeline.grids.bundles import Bundle
from pipeline.grids.cells import cells
from pipeline.grids.engines import ray_cluster
from pipeline.grids.engines.ray import Ray
from pipeline.results.store import Store
from tests.support.engines import compute, local
from tests.support.lab import PARAMS, write_params
from tests.support.paths import PROJECT
from tests.support.programs import PYTHON, finish, start
from tests.support.ray_cluster import family, free_port, wait_until
from tests.support.ray_cluster import ray_cluster as head

RUNS = (PYTHON, "-m", "pipeline.stages.runs", "--no-tracking")
CELL = {"method": "robust_loss", "loss": ["ce", "dal"], "epochs": 1}


def engine(devices=(), **settings) -> Ray:
    return Ray("ray", RayEngine(**settings), devices)


def bundle(gpus: int) -> Bundle:
    return Bundle(0, gpus, "fp32", None, [0])


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


# Without Ray.


def test_where_ray_is_not_installed_one_line_says_what_to_type(lab, monkeypatch):
    monkeypatch.setattr(ray_cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LabError, match="not installed; expected: .*; try: uv sync --extra ray"):
        engine().check()


@pytest.mark.parametrize(
    ("gpus", "settings", "reserved"),
    [
        (0, {}, {"num_cpus": 1, "num_gpus": 0}),
        (1, {}, {"num_cpus": 1, "num_gpus": 1}),
        (1, {"per_gpu": 2, "cpus": 3}, {"num_cpus": 3, "num_gpus": 0.5}),
        (4, {"per_gpu": 2, "cpus": 3}, {"num_cpus": 12, "num_gpus": 4}),
        (2, {"memory": "3G"}, {"num_cpus": 2, "num_gpus": 2, "memory": 6 * 2**30}),
    ],
)
def test_a_task_reserves_what_its_cells_need(gpus, settings, reserved):
    assert engine(**settings).options(bundle(gpus)) == reserved


def test_cells_that_no_node_of_our_own_can_hold_are_refused(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    assert engine().gpus(4) == 0  # as the engine local does on a machine without GPUs
    assert engine(devices=("0", "1")).gpus(None) == 1
    assert engine(devices=("0", "1")).gpus(2) == 2
    with pytest.raises(LabError, match="4 GPUs on a Ray cluster without a node for them"):
        engine(devices=("0", "1")).gpus(4)


def test_slots_are_what_the_nodes_can_hold(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    assert engine().slots() == 8
    assert engine(cpus=3).slots() == 2
    assert engine(max_parallel=3).slots() == 3
    assert engine(devices=("0", "1"), per_gpu=2).slots() == 4


@pytest.mark.parametrize("address", ["ray://head:10001", "head", ":6379", "head:port"])
def test_an_address_of_another_form_is_refused(address):
    with pytest.raises(LabError, match=r"expected: HOST:PORT of the head node, or auto"):
        engine(address=address)


def test_the_address_is_the_entrys_else_that_of_the_environment(monkeypatch):
    assert not engine().stays
    monkeypatch.setenv("RAY_ADDRESS", "there:6379")
    assert engine().stays
    assert not engine(address="local").stays


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "nowhere.invalid:6379", "127.0.0.1:99999"])
def test_an_address_where_nobody_is_is_one_line_at_once(address):
    began = time.monotonic()
    with pytest.raises(LabError, match=r"^Ray cluster at .*; expected: the head node"):
        ray_cluster._reach(address.format(port=free_port()))
    assert time.monotonic() - began < 6


def test_folders_of_programs_that_are_gone_are_found(tmp_path):
    gone = tmp_path / "lnl-ray-4194305-x"
    ours, other = tmp_path / f"lnl-ray-{os.getpid()}-x", tmp_path / "lnl-ray-else"
    assert ray_cluster._left_behind([gone, ours, other]) == [gone]


# With Ray.


def write_grid(lab, n_seeds: int, epochs: int = 1, **engines) -> None:
    grid = PARAMS["grid"] | {"runs": [CELL | {"epochs": epochs}], "seeds": list(range(n_seeds))}
    write_params(lab, PARAMS | {"grid": grid, "engines": engines})


def listening(processes: list[psutil.Process]) -> set[str]:
    """Addresses on which processes listen."""
    found = set()
    for process in processes:
        with suppress(psutil.Error):
            found |= {one.laddr.ip for one in process.net_connections() if one.status == "LISTEN"}
    return found


def stored(lab) -> pl.DataFrame:
    return Store().epochs().drop("seconds").sort("key", "epoch").collect()


@pytest.mark.services
@pytest.mark.timeout(600)
def test_a_cluster_of_our_own_computes_what_local_computes_and_leaves_nothing(lab, monkeypatch):
    write_grid(lab, n_seeds=3)
    driver = start(*RUNS, "--engine", "ray", lab=lab)
    wait_until(lambda: list(lab.glob("results/engine/*/*/news/*")), 120)
    begun = family(driver.pid)
    out, err = driver.communicate(timeout=180)
    assert driver.returncode == 0, err
    assert "6 cells; 6 done" in out
    assert len(begun) > 6
    # Ray's own helpers need a moment to notice that they are alone.
    assert not psutil.wait_procs(begun, timeout=60)[1]
    by_ray = stored(lab)
    monkeypatch.setenv("LNL_STORE", str(lab / "alone"))
    compute(cells(read_params()), local(0))
    assert stored(lab).equals(by_ray)
    assert len(by_ray) == 6


@pytest.mark.services
@pytest.mark.timeout(600)
def test_a_task_has_a_thread_a_cpu_and_the_numbers_of_local_with_as_many(lab, monkeypatch):
    write_grid(lab, n_seeds=1, two={"kind": "ray", "cpus": 2})
    assert finish(*RUNS, "--engine", "two", lab=lab)[0] == 0  # where OMP_NUM_THREADS is 1
    by_two = stored(lab)
    monkeypatch.setenv("LNL_STORE", str(lab / "alone"))
    torch.set_num_threads(2)
    compute(cells(read_params()), local(0))
    assert stored(lab).equals(by_two)


@pytest.mark.services
@pytest.mark.timeout(600)
def test_a_killed_driver_leaves_no_process_and_what_listened_was_on_loopback(lab):
    write_grid(lab, n_seeds=4, epochs=400)
    driver = start(*RUNS, "--engine", "ray", lab=lab)
    wait_until(lambda: list(lab.glob("results/engine/*/*/news/*")), 120)
    begun = family(driver.pid)
    assert listening(begun) == {"127.0.0.1", "::ffff:127.0.0.1"}
    driver.kill()
    driver.communicate(timeout=30)
    helpers = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}
    work = [one for one in begun if not helpers & set(named(one))]
    wait_until(lambda: not any(one.is_running() for one in work), 30)
    # Two helpers of Ray look for its server for a while.
    wait_until(lambda: not any(one.is_running() for one in begun), 150)


def named(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return [word.strip() for word in process.cmdline()]
    return []


@pytest.mark.services
@pytest.mark.timeout(600)
def test_a_stopped_driver_lets_runs_save_and_the_next_one_goes_on(lab):
    write_grid(lab, n_seeds=1, epochs=100)
    driver = start(*RUNS, "--engine", "ray", lab=lab)
    wait_until(lambda: list(lab.glob("results/engine/*/*/news/*")), 120)
    time.sleep(3)
    driver.terminate()
    _, err = driver.communicate(timeout=120)
    assert driver.returncode == 128 + signal.SIGTERM
    assert err.strip().splitlines()[-1].startswith("error: stopped; finished runs are stored")
    assert list(lab.glob("results/store/checkpoints/*.pt"))
    code, _, err = finish(*RUNS, "--engine", "ray", lab=lab)
    assert code == 0, err
    assert Store().runs().collect()["resumed"].max() == 1


@pytest.mark.services
@pytest.mark.timeout(900)
def test_a_cluster_that_exists_goes_on_without_the_program_that_submitted(lab, monkeypatch):
    with head(2, OMP_NUM_THREADS="1") as (address, user, _):
        for name, value in user.items():
            monkeypatch.setenv(name, value)
        write_grid(lab, n_seeds=2, epochs=200, mine={"kind": "ray", "gpus": 0})
        ray = ("--engine", "mine", "--address", address)
        code, out, err = finish(*RUNS, *ray, lab=lab)
        assert (code, err) == (0, ""), err
        assert "4 cells in 4 bundles submitted to mine" in out
        # Two drivers: what is in jobs is not submitted again.
        code, out, err = finish(*RUNS, *ray, lab=lab)
        assert code == 0, err
        assert "nothing to submit; 4 cells are in jobs already" in out
        # A worker that is killed costs its bundle, which `--wait` hands out again.
        begun = r'"begun", "", 0.0, "[^"]*", (\d+)\]'
        news = lab / "results" / "engine"
        wait_until(lambda: list(news.glob("*/*/news/*.jsonl")), 120)
        text = next(news.glob("*/*/news/*.jsonl")).read_text()
        os.kill(int(re.findall(begun, text)[0]), signal.SIGKILL)
        code, out, err = finish(*RUNS, "--status", lab=lab)
        assert code == 0, err
        code, out, err = finish(*RUNS, *ray, "--wait", lab=lab)
        assert code == 0, err
        assert "grid tiny: 4 cells" in out
        runs = Store().runs().collect()
        assert runs["status"].to_list() == ["done"] * 4


@pytest.mark.services
@pytest.mark.timeout(900)
def test_a_cancelled_grid_saves_what_runs_and_drops_what_waits(lab, monkeypatch):
    with head(1) as (address, user, process):
        for name, value in user.items():
            monkeypatch.setenv(name, value)
        write_grid(lab, n_seeds=2, epochs=400, mine={"kind": "ray", "gpus": 0, "address": address})
        assert finish(*RUNS, "--engine", "mine", lab=lab)[0] == 0
        wait_until(lambda: list(lab.glob("results/engine/*/*/news/*")), 120)
        time.sleep(3)
        code, out, err = finish(*RUNS, "--cancel", lab=lab)
        assert code == 0, err
        assert "1 submissions cancelled" in out
        assert len(list(lab.glob("results/store/checkpoints/*.pt"))) == 1
        assert "no job waits or runs" in finish(*RUNS, "--status", lab=lab)[1]
        assert Store().runs().collect()["status"].to_list() == ["running"]
        # What the cluster keeps afterwards is its own: no keeper, no busy worker.
        wait_until(lambda: not any("Keeper" in one.name() for one in family(process)), 20)


@pytest.mark.services
@pytest.mark.timeout(120)
def test_somebody_else_at_the_address_is_one_line_within_the_stated_time(lab, monkeypatch):
    monkeypatch.setattr(ray_cluster, "_JOIN_SECONDS", 8.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(LabError, match="no answer as Ray gives it within 8 s"):
            ray_cluster._reach(f"127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - began < 20


@pytest.mark.services
@pytest.mark.timeout(300)
def test_a_cluster_that_asks_for_another_token_is_one_line(lab, monkeypatch):
    with head(1) as (address, user, _):
        for name, value in (user | {"RAY_AUTH_TOKEN": "0" * 64}).items():
            monkeypatch.setenv(name, value)
        code, _, err = finish(*RUNS, "--engine", "ray", "--address", address, lab=lab)
        assert code == 1
        assert len(err.splitlines()) == 1
        assert "token" in err


@pytest.mark.services
@pytest.mark.timeout(600)
def test_two_gpus_are_two_processes_that_one_task_starts(lab):
    program = (
        "from tests.support.engines import compute\n"
        "from tests.grids.engines.test_ray import engine\n"
        "from pipeline.config import read_params\n"
        "from pipeline.grids.cells import cells\n"
        "print(compute(cells(read_params()), engine(devices=('0', '1'), gpus=2)))\n"
    )
    write_grid(lab, n_seeds=1)
    code, out, err = finish(sys.executable, "-c", program, lab=lab, cwd=PROJECT)
    assert code == 0, err
    assert "Counter({'done': 2})" in out
    assert set(Store().runs().collect()["n_processes"]) == {2}
