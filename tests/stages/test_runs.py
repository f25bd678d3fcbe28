"""Flags of the grid program that make no sense together are one line, before anything is done."""

import re
import sys

import pytest

from pipeline.config import read_params
from pipeline.errors import LabError
from pipeline.grids.cells import cell_texts, cells
from pipeline.stages.runs import main
from tests.support.lab import PARAMS, write_params


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--plan --status", "--plan with --status; expected: one of them; try: --plan"),
        ("--status --wait", "--wait with --status, which computes nothing"),
        ("--cancel --retry-failed", "--retry-failed with --cancel"),
        ("--engine slurm --workers 2", "--workers 2 with engine slurm of kind slurm; .* max_para"),
        ("--engine big --gpus 0", "--gpus '0' with engine big of kind ray"),
        ("--engine slrm", "unknown engine 'slrm'; expected: one of big, local, ray, slurm; try: s"),
        ("--gpus 0,x", "flags: gpus.1 = 'x'; expected: a whole number"),
        ("--workers 257", "flags: workers = 257; .*at most 256"),
        ("--gpus 7", "GPU 7 on a machine that shows 0; expected: a machine with GPUs"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(lab, monkeypatch, capsys, flags, words):
    write_params(lab, PARAMS | {"engines": {"big": {"kind": "ray", "gpus": 2}}})
    monkeypatch.setattr(sys, "argv", ["runs", *flags.split()])
    monkeypatch.setattr("pipeline.grids.engines.local.visible_gpus", list)
    with pytest.raises(SystemExit, match="2"):
        main()
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert re.search(words, line), line


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"kind": "slurm", "gpu": 1}, "unknown key 'gpu' in params.yaml: engines.big; .*try: gpus"),
        ({"kind": "slurm", "time_minutes": 5}, "time_minutes = 5; .*at least 15"),
        ({"kind": "slurn"}, "engines.big: kind = 'slurn'; .*try: slurm"),
        ({"kind": "local", "gpus": []}, "gpus = .*at least 1"),
        ({"kind": "ray", "memory": "16 GB"}, "memory = '16 GB'"),
    ],
)
def test_a_faulty_engine_is_named(lab, monkeypatch, capsys, entry, words):
    write_params(lab, PARAMS | {"engines": {"big": entry}})
    monkeypatch.setattr(sys, "argv", ["runs", "--status"])
    with pytest.raises(SystemExit, match="2"):
        main()
    line = capsys.readouterr().err
    assert re.search(words, line), line


def test_a_number_of_gpus_beside_a_run_is_one_number_and_no_setting(lab):
    def grid(**block):
        block = {"method": "robust_loss", "loss": "ce", "lr": [0.1, 0.01]} | block
        write_params(lab, PARAMS | {"grid": PARAMS["grid"] | {"runs": [block]}})
        return cells(read_params())

    plain, asking = grid(), grid(gpus=4)
    assert [cell.key for cell in plain] == [cell.key for cell in asking]
    assert {cell.gpus for cell in plain} == {None}
    assert {cell.gpus for cell in asking} == {4}
    # Cells of a list are told apart by what differs.
    texts = cell_texts(plain)
    assert sorted(text.partition("seed 0")[2] for text in texts.values()) == [" lr 0.01", " lr 0.1"]
    for wrong in ([1, 2], 0, "2", True):
        with pytest.raises(LabError, match="grid.runs.0.gpus = .*one number from 1 to 64"):
            grid(gpus=wrong)
