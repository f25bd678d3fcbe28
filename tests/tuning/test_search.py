"""A search: trials are runs of the store, judged by noisy validation, and the best is a recipe."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import Params, read_params
from pipeline.errors import LabError
from pipeline.grids.run import missing_cells
from pipeline.results.store import Store
from pipeline.results.view import read_views
from pipeline.runs.planning import Planner
from pipeline.runs.settings.recipes import found_file
from pipeline.stages import tune as stage
from pipeline.tuning.choice import keep_choice
from pipeline.tuning.search import Found, Search, carried_out, searches, tune_of
from pipeline.tuning.trial import Trial
from tests.support.lab import PARAMS, write_params
from tests.support.results_builder import epoch_rows, sample_rows
from tests.support.runs import planned, row

BLOCK = {"method": "robust_loss", "loss": "gce", "q": [0.3, 0.7], "lr": [0.1, 0.01]}
TUNE = {"name": "found", "search": "exhaustive", "seeds": [5, 6], "runs": [BLOCK]}


def params_with(lab: Path, **tune: Any) -> Params:
    """The small laboratory with a search; what it pins of the method would win over the recipe."""
    params = copy.deepcopy(PARAMS) | {"tune": TUNE | tune}
    write_params(lab, params)
    return read_params()


class StandIn:
    """Stores runs in the place of training them.

    Args:
        good: how good settings are; None for a run that diverges.
    """

    def __init__(self, good: Any) -> None:
        self._good, self.computed = good, list[str]()

    def __call__(self, search: Search, trials: Sequence[Trial], **how: Any) -> None:
        """Store what is missing; on the test split the order is the other way round."""
        for cell in missing_cells([cell for trial in trials for cell in trial.cells]):
            value = self._good(cell.settings)
            known = {"n_train": 4, "n_val": 2, "n_test": 6}
            status = "diverged" if value is None else "done"
            right = value or 0.5
            curve = {"val_noisy_accuracy": [right - 0.1, right]}
            epochs = epoch_rows(cell.key, [1 - right, 1 - right], **curve)
            Store().write_finished(
                cell.row | known | {"status": status}, epochs, sample_rows(cell.key)
            )
            self.computed.append(cell.key)


def search(params: Params, compute: StandIn) -> Found:
    planner = Planner(params)
    (one,) = searches(params, planner)
    return carried_out(one, params, planner, compute)


def test_trials_are_the_runs_of_flags_and_the_best_by_noisy_validation_is_chosen(lab: Path) -> None:
    params = params_with(lab)
    compute = StandIn(lambda s: {0.3: 0.6, 0.7: 0.8}[s.q] - s.lr + 0.01 * s.seed)
    found = search(params, compute)
    by_flags = [
        planned(loss="gce", q=q, lr=lr, seed=seed).key
        for lr in (0.1, 0.01) for q in (0.3, 0.7) for seed in (5, 6)
    ]  # fmt: skip
    assert compute.computed == by_flags
    assert found.best.settings == {"q": 0.7, "lr": 0.01}
    assert found.best.accuracy == pytest.approx(0.8 - 0.01 + 0.055)
    # What is stored is not computed again.
    again = StandIn(lambda s: 1 / 0)
    repeated = search(params, again).best
    assert (repeated.settings, repeated.accuracy) == (found.best.settings, found.best.accuracy)
    assert again.computed == []


def test_a_diverged_trial_counts_as_nothing_and_of_equal_ones_the_first_is_taken(lab: Path) -> None:
    params = params_with(lab)
    found = search(params, StandIn(lambda s: None if s.q == 0.7 and s.seed == 6 else 0.5))
    assert [trial.accuracy for trial in found.trials] == [0.5, None, 0.5, None]
    assert found.best.settings == {"q": 0.3, "lr": 0.1}


def test_a_search_of_which_no_trial_ends_well_has_no_choice(lab: Path) -> None:
    found = search(params_with(lab), StandIn(lambda s: None))
    with pytest.raises(LabError, match="none of 4 trials has ended well"):
        keep_choice(found, tune_of(read_params()))


def test_the_choice_is_a_recipe_marked_own_and_its_runs_tell_of_the_trials(lab: Path) -> None:
    params = params_with(lab)
    found = search(params, StandIn(lambda s: s.q - s.lr))
    path = keep_choice(found, tune_of(params))
    assert path == found_file("robust_loss") == lab / "recipes" / "robust_loss.yaml"
    recipe = yaml.safe_load(path.read_text())["found"]
    assert recipe["cells"] == [{"dataset": "digits", "noise": "symmetric-40"}]
    (one,) = recipe["rows"]
    assert (one["status"], one["trials"]) == ("own", 4)
    assert one["set"].items() >= {"loss": "gce", "q": 0.7, "lr": 0.01, "val_rate": 0.1}.items()
    assert re.fullmatch(r"search found: 4 trials \(exhaustive\), accuracy .* 0\.6900, .*5, 6",
                        " ".join(one["source"].split()))  # fmt: skip
    marked = {cell.key: row(cell.key)["n_trials"] for t in found.trials for cell in t.cells}
    assert [key for key, n in marked.items() if n == 4] == [c.key for c in found.best.cells]
    # The recipe by itself gives the settings of the choice; one that is changed is no choice.
    tuned = planned(recipe="found", loss="gce", seed=5)
    assert tuned.key == found.best.cells[0].key
    assert (tuned.row["recipe"], tuned.row["recipe_status"]) == ("found", "own")
    assert tuned.row["n_trials"] == 4
    assert planned(recipe="found", loss="gce", q=0.2).row["n_trials"] is None
    elsewhere = planned(recipe="found", loss="gce", noise="pair-40").row
    assert (elsewhere["recipe_status"], elsewhere["n_trials"]) == ("extrapolated", None)


def test_a_search_of_the_same_name_writes_its_rows_anew_and_leaves_others(lab: Path) -> None:
    params = params_with(lab)
    keep_choice(search(params, StandIn(lambda s: s.q)), tune_of(params))
    other = copy.deepcopy(PARAMS) | {"tune": TUNE}
    other["grid"] |= {"noises": ["pair-40"]}
    write_params(lab, other)
    keep_choice(search(read_params(), StandIn(lambda s: 1 - s.q)), tune_of(read_params()))
    params = params_with(lab, runs=[BLOCK | {"q": [0.1, 0.2]}])
    path = keep_choice(search(params, StandIn(lambda s: s.q)), tune_of(params))
    rows = yaml.safe_load(path.read_text())["found"]["rows"]
    assert {one["where"]["noise"]: one["set"]["q"] for one in rows} == {
        "pair-40": 0.3, "symmetric-40": 0.2,
    }  # fmt: skip


def test_what_a_recipe_chose_by_the_noise_stays_knowledge_of_the_noise(lab: Path) -> None:
    rows = [
        {"where": {"noise_kind": "symmetric"}, "set": {"q": 0.5}, "status": "own", "source": "s"}
    ]
    found_file("robust_loss").parent.mkdir()
    by_hand = {"by_noise": {"cells": [{"dataset": "digits"}], "rows": rows}}
    found_file("robust_loss").write_text(yaml.safe_dump(by_hand))
    block = {"method": "robust_loss", "recipe": "by_noise", "loss": "gce", "lr": [0.1, 0.01]}
    params = params_with(lab, runs=[block], seeds=[5])
    found = search(params, StandIn(lambda s: 0.5 + s.lr))
    keep_choice(found, tune_of(params))
    before, after = found.best.cells[0], planned(recipe="found", loss="gce", seed=5)
    assert after.key == before.key
    assert after.row["knows"] == before.row["knows"] == ["noise_recipe"]
    assert "noise_recipe" not in planned(recipe="found", loss="gce", q=0.5).row["knows"]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"val_rate": 0.0}, "val_rate 0; expected: held-out samples with noisy labels"),
        ({"qq": [1, 2]}, "unknown key 'qq' in settings of robust_loss; .*try: q"),
        ({"lr": [0.1, 5000.0]}, "lr = 5000.0; expected: a number, above 0, at most 1,000"),
        ({"method": "robust_los"}, "unknown method 'robust_los'; .*try: robust_loss"),
    ],
)
def test_a_faulty_block_is_told_before_any_trial_is_computed(
    lab: Path, block: dict[str, Any], words: str
) -> None:
    compute = StandIn(lambda s: 0.5)
    with pytest.raises(LabError, match=words):
        search(params_with(lab, runs=[BLOCK | block]), compute)
    assert compute.computed == []


def test_the_name_of_a_recipe_that_comes_with_the_method_is_refused(lab: Path) -> None:
    with pytest.raises(LabError, match="tune.name = 'pocket', which is a recipe of robust_loss al"):
        tune_of(params_with(lab, name="pocket"))


def test_the_bounds_of_a_range_are_checked_before_optuna_proposes_anything(lab: Path) -> None:
    compute = StandIn(lambda s: 0.5)
    params = params_with(lab, search="optuna", trials=2,
                         runs=[BLOCK | {"lr": {"low": 0.1, "high": 5000.0}}])  # fmt: skip
    with pytest.raises(LabError, match=r"lr = 5000\.0"):
        search(params, compute)
    assert compute.computed == []


def test_the_stage_tells_its_choice_and_leaves_a_view_of_all_trials(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search(params_with(lab, seeds=[5]), StandIn(lambda s: s.q - s.lr))
    for words in (["--plan"], []):
        monkeypatch.setattr(sys, "argv", ["tune", *words])
        stage.main()
    planned, judged, *ranked, recipe, hint = capsys.readouterr().out.splitlines()
    title = "robust_loss on digits/symmetric-40"
    assert planned == f"{title}: 4 trials of 4 combinations (exhaustive)"
    assert judged.startswith(f"{title}: 4 different trials; judged by val_noisy_accuracy, ")
    assert ranked[0] == "  69.00 %  lr 0.01, q 0.7"
    assert len(ranked) == 4
    assert recipe.startswith("recipe found of robust_loss in ")
    assert recipe.endswith(": --recipe found")
    assert "--grid found" in hint
    view = lab / "results" / "views" / "found.parquet"
    assert len(read_views([view]).runs.collect()) == 4


@pytest.mark.slow
def test_a_stopped_search_goes_on_with_equal_proposals_and_the_grid_takes_its_recipe(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from analysis import leaderboard
    from pipeline.stages import runs

    def started(module: Any, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", [module.__name__, *words])
        module.main()
        return capsys.readouterr().out

    lr = {"low": 0.001, "high": 0.1, "log": True}
    params = copy.deepcopy(PARAMS)
    params["methods"]["robust_loss"] |= {"epochs": 1}
    params["grid"] |= {"seeds": [0, 5], "workers": 0, "runs": [
        {"method": "robust_loss", "loss": "gce"},
        {"method": "robust_loss", "recipe": "found", "loss": "gce"},
    ]}  # fmt: skip
    tune = {
        "name": "found",
        "trials": 3,
        "seeds": [5],
        "runs": [{"method": "robust_loss", "loss": "gce", "q": [0.3, 0.7], "lr": lr}],
    }
    write_params(lab, params | {"tune": tune | {"trials": 2}})
    started(stage, "--no-tracking")
    first = set(Store().runs().collect()["key"])
    write_params(lab, params | {"tune": tune})
    assert "3 trials of a continuous space (optuna)" in started(stage, "--plan")
    told = started(stage, "--no-tracking")
    found = Store().runs().collect()
    assert first < set(found["key"])
    assert len(found) == 3
    assert told.count(" begins, ") == told.count(": trial ") == told.count("trial 3 of 3, ") == 1
    assert set(found["grid"]) == {"found"}
    chosen = found.filter(n_trials=3)
    assert len(chosen) == 1
    assert "4 cells; 3 done" in started(runs, "--no-tracking")
    assert len(Store().runs().filter(n_trials=3).collect()) == 2
    table = started(leaderboard, "--grid", "tiny", "--format", "markdown")
    assert "n\\_trials" in table or "n_trials" in table
    assert "Settings chosen by a search, by noisy validation: gce" in table
    assert "(3 trials)" in table
    trials = started(leaderboard, "--grid", "found", "--format", "csv")
    assert trials.count("\n") == 4
