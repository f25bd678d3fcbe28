"""Method scripts as a user starts them: any folder, one process or two, stopped and killed."""

import signal
import time
from pathlib import Path

import psutil
import pytest

from methods.robust_loss import RobustLoss
from pipeline.results.store import Store
from pipeline.runs.script import run_script
from tests.support.lab import PARAMS, write_params
from tests.support.paths import PROJECT
from tests.support.programs import PYTHON, SCRIPT, finish, launch, start
from tests.support.runs import numbers, row

FLAGS = ("--no-tracking", "--determinism", "error")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--noise", "symetric-40"], "try: symmetric-40"),
        (["--dataset", "cifar-10"], "try: cifar10"),
        (["--epochs", "0"], "epochs = 0"),
        (["--loss", "ce", "--q", "0.5"], "loss ce takes no q"),
        (["--dataset", "cifar10", "--root", "/nowhere"], "/nowhere"),
    ],
)
def test_a_faulty_flag_gives_one_line_and_no_traceback(lab, capsys, flags, words):
    with pytest.raises(SystemExit) as ending:
        run_script(RobustLoss, flags)
    out, err = capsys.readouterr()
    assert ending.value.code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert words in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("n_processes", "quiet"), [(1, True), (1, False), (2, False)])
def test_an_error_under_a_launcher_is_one_line_before_what_the_launcher_adds(
    lab, n_processes, quiet
):
    words = launch(n_processes, "--epochs", "0")
    words[3:3] = ["--quiet"] if quiet else []
    code, out, err = finish(*words, lab=lab)
    lines = err.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert (code, out, len(errors)) == (1, "", 1), err
    assert "epochs = 0" in lines[errors[0]]
    if quiet:
        assert len(lines) == 1, err
    else:
        assert lines[errors[0] + 1].startswith("note: ")
        assert "Traceback" not in "\n".join(lines[: errors[0] + 2])
        assert "ChildFailedError" in err or "CalledProcessError" in err


def test_an_unknown_flag_names_the_nearest(lab):
    code, _, err = finish(PYTHON, SCRIPT, "--epocs", "3", lab=lab)
    assert code == 2
    assert "try: --epochs" in err
    assert len(err.splitlines()) == 1


def test_help_is_shown_and_ends_well(lab):
    code, out, err = finish(PYTHON, SCRIPT, "--help", lab=lab)
    assert (code, err) == (0, "")
    assert "Global batch size" in out


@pytest.mark.slow
def test_accelerate_launch_without_a_flag_from_another_folder(
    lab, tmp_path_factory, monkeypatch, capsys
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    code, out, err = finish(*launch(1), lab=lab, cwd=elsewhere)
    assert code == 0, err
    key = out.split()[1]
    assert row(key)["status"] == "done"
    page = "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"
    assert out.splitlines()[-1] == f"curves: uv run mlflow ui, then {page}"
    monkeypatch.chdir(elsewhere)
    run_script(RobustLoss, [])
    assert capsys.readouterr().out.split()[1:3] == [key, "stored"]
    assert list(elsewhere.iterdir()) == []


@pytest.mark.slow
def test_two_processes_give_the_rows_of_one(lab, monkeypatch, capsys):
    flags = (*FLAGS, "--crop-padding", "1", "--loss", "nlnl")
    run_script(RobustLoss, flags)
    key = capsys.readouterr().out.split()[1]
    one_epochs, one_samples = numbers(key)
    monkeypatch.setenv("LNL_STORE", str(lab / "two"))
    code, out, err = finish(*launch(2, *flags), lab=lab)
    assert code == 0, err
    assert out.split()[1] == key
    assert row(key)["n_processes"] == 2
    two_epochs, two_samples = numbers(key)
    # Sums over two processes round differently: losses agree to 1e-4, labels nearly all.
    for column in ("train_loss", "test_loss", "lr"):
        assert two_epochs[column].to_list() == pytest.approx(one_epochs[column].to_list(), rel=1e-4)
    assert two_samples.select("index", "y_noisy", "y_clean").equals(
        one_samples.select("index", "y_noisy", "y_clean")
    )
    assert (two_samples["prediction"] == one_samples["prediction"]).mean() > 0.995
    assert two_samples["mean_loss"].to_numpy() == pytest.approx(
        one_samples["mean_loss"].to_numpy(), abs=2e-2
    )


def wait_for_running(program, lab):
    """Until the run has announced itself in the store."""
    runs = lab / "results" / "store" / "runs"
    for _ in range(1200):
        if runs.exists() and any(path.suffix == ".parquet" for path in runs.iterdir()):
            return
        assert program.poll() is None, program.communicate()
        time.sleep(0.05)
    raise AssertionError("the run did not start")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stop_signal_saves_the_run_for_the_next_start(lab, number, code):
    program = start(PYTHON, SCRIPT, *FLAGS, "--epochs", "400", lab=lab)
    wait_for_running(program, lab)
    time.sleep(0.5)
    program.send_signal(number)
    _, err = program.communicate(timeout=60)
    assert program.returncode == code
    assert err.splitlines()[-1].startswith("error: stopped by SIG")
    assert "Traceback" not in err
    stored = Store().runs().collect()
    assert stored["status"].to_list() == ["running"]
    checkpoints = list((lab / "results" / "store" / "checkpoints").iterdir())
    assert [path.stem for path in checkpoints] == stored["key"].to_list()


@pytest.mark.slow
def test_a_killed_run_leaves_no_half_row_and_runs_to_its_end_later(lab):
    flags = (*FLAGS, "--epochs", "30", "--checkpoint-seconds", "0")
    checkpoints = lab / "results" / "store" / "checkpoints"
    for wait_for_checkpoint in (False, True):
        program = start(PYTHON, SCRIPT, *flags, lab=lab)
        wait_for_running(program, lab)
        while wait_for_checkpoint and not list(checkpoints.glob("r*.pt")):
            time.sleep(0.05)
        program.kill()
        program.communicate()
        assert Store().runs().collect()["status"].to_list() == ["running"]
        assert Store().epochs().collect().is_empty()
    code, out, err = finish(PYTHON, SCRIPT, *flags, lab=lab)
    assert code == 0, err
    key = out.split()[1]
    assert numbers(key)[0]["epoch"].to_list() == list(range(30))
    assert row(key)["resumed"] == 1


@pytest.mark.slow
def test_a_results_folder_that_cannot_be_written_is_one_line(lab):
    (lab / "results").write_text("a file where the folder should be")
    code, _, err = finish(PYTHON, SCRIPT, *FLAGS, lab=lab)
    assert code != 0
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing_stored(lab):
    code, out, _ = finish(PYTHON, SCRIPT, *FLAGS, lab=lab)
    assert code == 0
    # A limit on the size of files stands in for a disk without room.
    limited = f"ulimit -f 8; exec {PYTHON} {SCRIPT} {' '.join(FLAGS)} --seed 1"
    code, _, err = finish("bash", "-c", limited, lab=lab)
    assert code != 0
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert Store().statuses([out.split()[1]]) == {out.split()[1]: "done"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_grid_leaves_no_worker_behind_and_continues(lab, number):
    blocks = [{"method": "robust_loss", "loss": loss, "epochs": 400} for loss in ("ce", "dal")]
    write_params(lab, PARAMS | {"grid": PARAMS["grid"] | {"runs": blocks, "workers": 2}})
    program = start(PYTHON, "-m", "pipeline.stages.runs", "--no-tracking", lab=lab, cwd=PROJECT)
    wait_for_running(program, lab)
    workers = children(program.pid)
    assert len(workers) >= 2
    program.send_signal(number)
    program.communicate(timeout=60)
    assert program.returncode == {signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    for _ in range(600):
        if not any(Path(f"/proc/{worker}").exists() for worker in workers):
            break
        time.sleep(0.05)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert Store().runs().collect()["status"].to_list() == ["running"] * len(Store().files("runs"))
    assert list((lab / "results" / "store" / "checkpoints").glob("r*.pt"))


def children(pid):
    """Its processes, and theirs: workers are forked by a server."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]
