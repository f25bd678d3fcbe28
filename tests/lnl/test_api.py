"""The functions give what the programs give."""

from __future__ import annotations

import io
import sys

import polars as pl
import pytest

import lnl
from analysis import label_errors, leaderboard
from pipeline.errors import LabError
from pipeline.runs import pretraining, script
from tests.support.lab import PARAMS, write_params
from tests.support.runs import planned


def program(main, monkeypatch, capsys, *words: str) -> pl.DataFrame:
    """The table that a program writes with --format csv."""
    monkeypatch.setattr(sys, "argv", ["program", *words])
    capsys.readouterr()
    main()
    return pl.read_csv(io.StringIO(capsys.readouterr().out))


@pytest.mark.slow  # the pages of README and docs/python.md call them by default
def test_a_laboratory_from_python(lab, monkeypatch, capsys):
    labels = lnl.make_labels("digits", "pair-40")
    assert (labels.y_clean != labels.y_noisy).mean() == labels.card.realised_rate
    assert lnl.make_labels("digits", "pair:0.4").card.name == "pair-0_4"
    made = (lab / "labels/digits/pair-40/labels.parquet").stat().st_mtime_ns

    keys = {}
    for loss in ("ce", "gce"):
        done = lnl.run("robust_loss", loss=loss, noise="pair-40", epochs=1, tracking=False)
        assert (done.key, done.ending) == (
            planned(loss=loss, noise="pair-40", epochs=1).key,
            "done",
        )
        keys[loss] = done.key
    assert "epoch 1/1" in capsys.readouterr().out
    assert (lab / "labels/digits/pair-40/labels.parquet").stat().st_mtime_ns == made
    assert lnl.run("robust_loss", loss="ce", noise="pair-40", epochs=1).ending == "stored"

    found = lnl.results(loss="ce", seed=[0])
    assert found.runs.collect()["key"].to_list() == [keys["ce"]]
    assert found.epochs.collect()["key"].to_list() == [keys["ce"]]
    assert len(lnl.results(rrm=False).epochs.collect()) == 2
    with pytest.raises(LabError, match="rrm 'true'; expected: one of false"):
        lnl.results(rrm=True)

    board = lnl.leaderboard("last10", noise="pair-40")
    same = program(leaderboard.main, monkeypatch, capsys, "--protocol", "last10", "--format", "csv")
    columns = ["dataset", "noise", "label", "mean", "n", "protocol", "metric"]
    assert board.select(columns).rows() == same.select(columns).rows()

    ranked = lnl.label_errors(key=keys["ce"])
    program(label_errors.main, monkeypatch, capsys, "--where", "loss=ce", "--detector", "margin",
            "--csv", str(lab / "ranking.csv"), "--format", "csv")  # fmt: skip
    written = pl.read_csv(lab / "ranking.csv")
    assert ranked["index"].to_list() == written["index"].to_list()
    assert ranked["flagged"].to_list() == written["flagged"].to_list()


def test_seeds_that_params_pin_hold_beside_those_of_a_call(lab, monkeypatch):
    write_params(lab, PARAMS | {"run": PARAMS["run"] | {"seeds": {"init": 5}}})
    planned_runs = []
    for module in (pretraining, script):  # which keeps what it imports first
        monkeypatch.setattr(module, "carry_out", lambda one, *_: planned_runs.append(one))
    lnl.run("robust_loss", seeds={"order": 7})
    (one,) = planned_runs
    assert one.settings.seeds.set_apart == {"init": 5, "order": 7}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: lnl.run("robust_los"), "try: robust_loss"),
        (lambda: lnl.run("robust_loss", lss="ce"), "try: loss"),
        (lambda: lnl.run("robust_loss", tracking="perhaps"), "tracking"),
        (lambda: lnl.make_labels("digits", "pair-4"), "try: pair-40"),
        (lambda: lnl.results(grid="nope"), "has no view"),
        (lnl.leaderboard, "no runs yet"),
        (lnl.label_errors, "no finished runs yet"),
    ],
)
def test_a_mistake_is_answered_as_on_the_command_line(lab, call, said):
    with pytest.raises(LabError, match=said):
        call()
