"""How a run goes is said: where it begins or is resumed, each epoch, and its numbers at the end."""

import pytest

from methods.robust_loss import RobustLoss
from pipeline.results.store import Store
from pipeline.runs.script import run_script
from pipeline.runs.telling import Lines, Milestone, Sitting, duration, epoch_line, figures
from tests.support.runs import planned, stop_at_step

RECORD = {
    "epoch": 1, "train_loss": 0.51234, "test_accuracy": 0.8731, "val_noisy_accuracy": 0.601,
    "memorised": 0.12, "averaged_test_accuracy": None,
}  # fmt: skip


def said(capsys):
    out = capsys.readouterr().out
    assert "\r" not in out
    return out.splitlines()


def test_a_stopped_run_says_where_it_resumes_and_ends_with_what_the_store_holds(
    lab, monkeypatch, capsys
):
    with monkeypatch.context() as stopped:
        stop_at_step(stopped, 25)  # in the second of two epochs of 21 steps
        with pytest.raises(SystemExit):
            run_script(RobustLoss, ["--no-tracking"])
    (key,) = Store().runs().collect()["key"]
    begun, *epochs = said(capsys)
    assert begun == f"run {key} begins, 2 epochs: robust_loss ce, digits, symmetric-40, seed 0"
    assert [line.split("  ")[0] for line in epochs] == ["epoch 1/2"]
    assert epochs[0].endswith("left")

    run_script(RobustLoss, ["--no-tracking"])
    begun, last, *ending = said(capsys)
    assert begun.startswith(f"run {key} resumes after epoch 1/2: ")
    assert last.startswith("epoch 2/2  loss ")
    assert not last.endswith("left")
    stored = Store().epochs([key]).sort("epoch").collect()
    second = stored.row(-1, named=True)
    mean = stored["test_accuracy"].mean()
    done, speed, *ending = ending
    assert done == f"run {key} done"
    assert speed.startswith("speed: ")
    assert ending == [
        f"last epoch: {', '.join(figures(second))}",
        f"test accuracy: last {100 * second['test_accuracy']:.1f} %, last10 {100 * mean:.1f} %, "
        + ending[1].rpartition(", ")[2],
        "numbers: uv run python analysis/leaderboard.py --dataset digits",
        f"this run: uv run python analysis/runs.py show {key}",
    ]
    run_script(RobustLoss, ["--no-tracking"])
    stored_line, *again = said(capsys)
    assert stored_line.startswith(f"run {key} stored ")
    assert again == ending


def test_a_line_shows_what_was_recorded_and_the_time_left(lab):
    milestone = Milestone(planned(epochs=150), 2, RECORD, 1.26, 185.0)
    assert epoch_line(milestone) == (
        "epoch   2/150  loss 0.512  test 87.3 %  validation 60.1 %  memorised 12.0 %  1.3 s, "
        "3.1 min left"
    )
    assert figures({"train_loss": None, "test_accuracy": 0.1}) == ["loss not finite", "test 10.0 %"]
    assert [duration(s) for s in (3, 150, 8000, 200_000)] == ["3 s", "2.5 min", "2.2 h", "2.3 days"]


def test_time_left_is_that_of_the_epochs_of_this_sitting(lab, monkeypatch):
    run, told, clock = planned(epochs=10), [], iter([100.0, 104.0, 106.0])
    with monkeypatch.context() as stopped:
        stopped.setattr("pipeline.runs.telling.time.perf_counter", lambda: next(clock))
        sitting = Sitting(run, 5, told.append)
        sitting.epoch({"epoch": 5})
        sitting.epoch({"epoch": 6})
    found = [(one.n_done, one.seconds, one.seconds_left) for one in told]
    assert found == [(5, 0.0, 0.0), (6, 4.0, 16.0), (7, 2.0, 9.0)]


def test_the_run_of_an_encoder_is_told_from_the_one_that_was_asked_for(lab, capsys):
    asked, encoder = planned(), planned(seed=1)
    lines = Lines(asked.key)
    for run in (encoder, asked):
        lines(Milestone(run, 0))
    first, second = said(capsys)
    assert first.startswith(f"run {asked.key} needs an encoder, run {encoder.key}, which begins")
    assert second.startswith(f"run {asked.key} begins")


def test_a_reader_who_has_seen_enough_ends_no_training(lab, monkeypatch):
    asked = []

    def broken(line):
        asked.append(line)
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", broken)
    lines = Lines()
    lines(Milestone(planned(), 0))
    lines(Milestone(planned(), 1, RECORD, 1.0, 1.0))
    assert len(asked) == 1
