"""Damaged settings, as the stages read them: they end well or in one line that helps."""

import copy
import random

import pytest
import yaml

from pipeline.stages import runs, sources
from tests.support.endings import check, ending
from tests.support.mutations import mutated_values
from tests.support.paths import PROJECT

FULL = yaml.safe_load((PROJECT / "params.yaml").read_text())


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 9))]
)
def test_the_stages_on_a_damaged_params_file(lab, seed, capsys, monkeypatch) -> None:
    rng, ends = random.Random(seed), []
    for number in range(40):
        # A file of its own each time: two within a clock tick would look like one.
        path = lab / f"{number}.yaml"
        try:
            path.write_text(yaml.safe_dump(mutated_values(FULL, rng), allow_unicode=True))
        except (yaml.YAMLError, ValueError):  # a value that no file can hold
            continue
        ends.append(ending(capsys, monkeypatch, runs.main, "--plan", "--params", str(path)))
        check(*ends[-1])
    assert {code for code, _ in ends} >= {0, 2}


@pytest.mark.parametrize("key", ["dataset", "noise", "method", "seed", "kind"])
@pytest.mark.parametrize("value", ["[digits]", "{a: 1}", "null", "1.5", "true", "''"])
def test_an_entry_of_an_encoder_of_another_kind_is_one_line(
    lab, key, value, capsys, monkeypatch
) -> None:
    params = copy.deepcopy(FULL)
    params["encoders"]["simclr-digits"][key] = yaml.safe_load(value)
    (lab / "params.yaml").write_text(yaml.safe_dump(params))
    for main, words in ((runs.main, ["--plan"]), (sources.main, [])):
        code, complaint = ending(capsys, monkeypatch, main, *words)
        check(code, complaint)
        if main is runs.main and (value != "null" or key in ("method", "kind")):
            assert code == 2


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "1e999"])
@pytest.mark.parametrize("place", ["encoders.simclr-digits.lr", "run.lr", "noise.pair-40.rate"])
def test_a_number_that_is_not_finite_is_one_line(lab, number, place, capsys, monkeypatch) -> None:
    params = copy.deepcopy(FULL)
    *way, last = place.split(".")
    block = params
    for key in way:
        block = block[key]
    block[last] = "HERE"
    (lab / "params.yaml").write_text(yaml.safe_dump(params).replace("HERE", number))
    for main, words in ((runs.main, ["--plan"]), (sources.main, [])):
        code, complaint = ending(capsys, monkeypatch, main, *words)
        assert code == 2
        assert "finite" in complaint
        check(code, complaint)


@pytest.mark.parametrize("name", ["..", "a b", "symmetric-40", "x" * 300])
def test_a_method_that_is_none_says_what_to_try(lab, name, capsys, monkeypatch) -> None:
    params = copy.deepcopy(FULL)
    params["grid"]["runs"][0]["method"] = name
    (lab / "params.yaml").write_text(yaml.safe_dump(params))
    code, complaint = ending(capsys, monkeypatch, runs.main, "--plan")
    assert code == 2
    check(code, complaint)
