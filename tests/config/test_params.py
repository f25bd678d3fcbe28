"""params.yaml and flags: what is accepted, and one clear line for what is not."""

import pytest
from pydantic import Field

from methods.robust_loss import RobustLoss
from pipeline import files
from pipeline.config import Execution, Params, RunSettings, key_facts, read_params, validated
from pipeline.config import params as params_module
from pipeline.errors import LabError
from pipeline.runs.settings.flags import parse_flags
from pipeline.runs.settings.resolve import resolve
from pipeline.runs.settings.specs import data_spec, noise_spec
from tests.support.lab import PARAMS, write_params
from tests.support.paths import PROJECT


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gird": {}}, ["'gird'", "try: grid"]),
        ({"grid": PARAMS["grid"] | {"sedes": [1]}}, ["grid.sedes", "try: seeds"]),
        (
            {
                "grid": {
                    "name": "g",
                    "datasets": ["digits"],
                    "noises": ["pair-40"],
                    "sedes": [1],
                    "runs": [{}],
                }
            },
            ["grid.sedes", "try: seeds"],
        ),
        ({"grid": PARAMS["grid"] | {"seeds": "many"}}, ["grid.seeds", "'many'"]),
    ],
)
def test_a_faulty_params_file_is_named_with_the_nearest_key(lab, change, words):
    write_params(lab, PARAMS | change)
    with pytest.raises(LabError) as error:
        read_params()
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


def test_a_params_file_that_is_no_yaml_or_missing(lab):
    (lab / "params.yaml").write_text("a: [")
    with pytest.raises(LabError, match=r"params.yaml, line \d+: did not find"):
        read_params()
    (lab / "params.yaml").unlink()
    with pytest.raises(LabError, match="missing"):
        read_params()


def test_a_wheel_has_params_where_nobody_named_a_project(lab, monkeypatch):
    (lab / "params.yaml").unlink()
    monkeypatch.chdir(lab)
    for module in (files, params_module):
        monkeypatch.setattr(module, "is_checkout", lambda: False)
    with pytest.raises(LabError, match="missing"):  # LNL_ROOT names the folder
        read_params()
    monkeypatch.delenv("LNL_ROOT")
    assert read_params() == read_params(PROJECT / "params.yaml")
    write_params(lab, PARAMS)
    assert set(read_params().noise) == set(PARAMS["noise"])


def test_unknown_names_are_answered_with_known_ones(lab):
    params = read_params()
    with pytest.raises(LabError, match="try: symmetric-40"):
        noise_spec("digits", "symetric-40", params)
    with pytest.raises(LabError, match="try: cifar10"):
        data_spec("cifar-10", params)
    with pytest.raises(LabError, match="try: pocket"):
        resolve(RobustLoss, {"recipe": "poket"}, params)


@pytest.mark.parametrize("rate", [-0.1, 1.5, "half"])
def test_a_noise_rate_outside_its_range_is_refused(lab, rate):
    params = Params(noise={"bad": {"kind": "symmetric", "rate": rate}})
    with pytest.raises(LabError, match=r"noise\.bad.*rate"):
        noise_spec("digits", "bad", params)


def test_flags_win_over_params_and_params_over_the_recipe(lab):
    resolved, _ = parse_flags(RobustLoss, ["--loss", "gce", "--epochs", "150"], read_params())
    assert resolved.settings.loss == "gce"
    assert resolved.settings.q == 0.7  # default of the loss
    assert resolved.settings.epochs == 150  # a flag, although equal to the class default
    assert resolved.settings.batch_size == 64  # params.yaml
    assert resolved.settings.optimizer == "adam"  # recipe row of digits


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ([], "off"),
        (["--compile"], "default"),
        (["--compile", "--seed", "3"], "default"),
        (["--no-compile"], "off"),
        (["--compile", "reduce-overhead", "--seed", "3"], "reduce-overhead"),
        (["--compile=default"], "default"),
    ],
)
def test_a_flag_without_a_mode_compiles_as_it_always_did(lab, words, mode):
    _, execution = parse_flags(RobustLoss, words, read_params())
    assert execution.compile == mode


def test_a_mode_that_was_a_switch_is_read(lab):
    for given, mode in (True, "default"), (False, "off"), ("off", "off"):
        assert validated(Execution, {"compile": given}, "batch").compile == mode
    with pytest.raises(LabError, match="compile"):
        parse_flags(RobustLoss, ["--compile", "max"], read_params())


def test_the_paper_recipe_knows_its_cells(lab):
    params = Params(noise={"s": {"kind": "symmetric-inclusive", "rate": 0.4},
                           "t": {"kind": "symmetric-inclusive", "rate": 0.45}})  # fmt: skip
    base = {"recipe": "paper", "dataset": "cifar100", "loss": "dal"}
    inside = resolve(RobustLoss, base | {"noise": "s"}, params)
    assert inside.recipe_status == "published"
    assert (inside.settings.epochs, inside.settings.lr) == (150, 0.01)
    assert resolve(RobustLoss, base | {"noise": "t"}, params).recipe_status == "extrapolated"
    tuned = resolve(RobustLoss, base | {"noise": "s", "loss": "sce"}, params)
    assert (tuned.recipe_status, tuned.settings.alpha) == ("published", 6.0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"loss": "ce", "q": 0.5}, "loss ce takes no q"),
        ({"loss": "js", "pi": 1.0}, "pi"),
        ({"loss": "dal", "q_start": 1.2}, "q_start < 1 < q_end"),
        ({"loss": "gec"}, "loss"),
        ({"lr": -1.0}, "lr"),
        ({"epcohs": 3}, "try: epochs"),
    ],
)
def test_faulty_settings_are_one_clear_line(lab, values, words):
    with pytest.raises(LabError) as error:
        resolve(RobustLoss, values, read_params())
    assert words in str(error.value)


def test_a_new_field_at_its_old_meaning_leaves_the_key_alone():
    class Later(RunSettings):
        smoothing: float = Field(0.0, json_schema_extra={"as_before": 0.0})

    before, after = RunSettings(), Later()
    assert key_facts(before) == key_facts(after)
    assert "smoothing" in key_facts(Later(smoothing=0.1))


def test_names_of_inputs_are_no_part_of_the_key():
    facts = key_facts(validated(RunSettings, {"dataset": "mine", "noise": "theirs"}, "test"))
    assert not {"dataset", "noise", "recipe"} & set(facts)
