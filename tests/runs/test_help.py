"""The help of every method: the most used flags on a screen, and all of them by groups."""

from __future__ import annotations

import math
import re

import pytest

from pipeline.config import Execution, RunSettings, read_params
from pipeline.runs.settings.flags import parse_flags
from pipeline.runs.settings.help import groups
from pipeline.runs.settings.methods import load_method
from tests.support.every_method import METHODS


@pytest.fixture(autouse=True)
def screen(lab, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def told(capsys, method, *words):
    with pytest.raises(SystemExit) as ending:
        parse_flags(load_method(method), words, read_params())
    assert ending.value.code == 0
    return capsys.readouterr().out


def flags_of(method):
    names = {*load_method(method).Settings.model_fields, *Execution.model_fields}
    return {f"--{name.replace('_', '-')}" for name in names}


ENDS = ("representation_regularization", "simclr")
"""The methods with the most settings and with the fewest; the others take as long."""


@pytest.mark.parametrize(
    "method",
    [*ENDS, *(pytest.param(n, marks=pytest.mark.slow) for n in METHODS if n not in ENDS)],
)
def test_the_most_used_flags_stand_first_on_one_screen(capsys, method):
    page = told(capsys, method, "--help")
    usage, *lines = page.splitlines()
    assert usage.startswith("usage: ")
    # As a terminal of 80 columns breaks what is longer, such as the purpose of the method.
    assert sum(max(1, math.ceil(len(line) / 80)) for line in lines) < 40
    described, _, others = page.partition("Further flags (--help-all describes them):")
    used = re.findall(r"^\W*(--[a-z][a-z0-9-]+)", described, re.MULTILINE)
    assert len(used) == 10
    assert {"--dataset", "--noise", "--recipe", "--seed", "--epochs", "--lr"} < set(used)
    # Every flag is named, once.
    named = used + re.findall(r"--[a-z0-9-]+", others)
    assert sorted(named) == sorted(flags_of(method))


def test_values_are_those_that_hold_beside_the_other_flags(capsys):
    page = told(capsys, "robust_loss", "--loss", "gce", "--epochs", "7", "-h")
    assert "Loss function (default: gce)" in page
    assert "(default: 7)" in page
    assert "Root seed (default: 0)" in page


def test_all_of_the_help_describes_every_flag_in_its_group(capsys):
    page = told(capsys, "robust_loss", "--help-all")
    _, *parts = re.split(r"^\W*([a-z-]+) options\b.*$", page, flags=re.MULTILINE)
    shown = {
        title.replace("-", "_"): set(re.findall(r"^\W*(--[a-z][a-z0-9-]*)", text, re.MULTILINE))
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }
    method = load_method("robust_loss")
    assert list(shown)[:3] == ["run", "seeds", "robust_loss"]
    shown["run"] |= shown.pop("seeds")  # --seeds.STREAM
    for title, fields in groups(method).items():
        assert shown[title] == {f"--{name.replace('_', '-')}" for name in fields}
    assert set().union(*shown.values()) == flags_of("robust_loss")
    text = " ".join(re.sub(r"[│\n]", " ", page).split())
    for field in RunSettings.model_fields.values():
        assert field.description.split()[0] in text
    assert "where the authors' code and paper differ" in text.lower()
