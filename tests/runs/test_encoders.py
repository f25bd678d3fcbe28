"""Runs that make encoders and runs that start from them: identity, order, waiting, refusals."""

import threading
import time

import pytest
import torch

from methods.robust_loss import RobustLoss, RobustLossSettings
from pipeline.config import Params, Seeds, read_params
from pipeline.encoders.artefact import load_encoder, read_encoder_card
from pipeline.encoders.encoder import Encoder
from pipeline.encoders.kept import kept_weights_folder
from pipeline.encoders.start import load_into
from pipeline.errors import LabError
from pipeline.files import encoders_folder
from pipeline.grids.cells import cells
from pipeline.grids.plan import plan
from pipeline.results.claims import claim
from pipeline.results.store import Store
from pipeline.runs.key import EncoderIdentity, identify
from pipeline.runs.planning import Planner
from pipeline.runs.pretraining import missing_encoders
from pipeline.stages import encoder as stage
from pipeline.storage.places import store_place
from pipeline.training.method import Problem
from tests.support.engines import compute
from tests.support.lab import PARAMS, write_params
from tests.support.runs import numbers, planned, row, run

CE = {"kind": "run", "method": "robust_loss", "loss": "ce", "epochs": 1, "val_rate": 0.0}
SIMCLR = {"kind": "run", "method": "simclr", "epochs": 1}
CLOSED = SIMCLR | {"dataset": "digits", "noise": "clean", "seed": 0}
ONE = {"epochs": 1, "val_rate": 0.0}


def entries(folder, **encoders):
    write_params(folder, PARAMS | {"encoders": encoders})


def settings(**changes):
    return RobustLossSettings(dataset="digits", noise="symmetric-40", loss="ce", **changes)


def found(role="start_from", **changes):
    """The encoder that a robust-loss run with these settings names."""
    asking = settings(**changes)
    return Planner(read_params()).encoder(getattr(asking, role), asking)


def test_a_run_that_names_no_encoder_keeps_its_key_and_one_that_does_has_another():
    digests = "d" * 16, "1" * 16, "1" * 16
    plain = identify("robust_loss", 1, RobustLossSettings(loss="ce", seed=3), *digests, {})
    # Stored results hang on this key.
    assert plain == ("r5cbc22b628d660d8", "94f43965267d7362")
    named = RobustLossSettings(loss="ce", seed=3, start_from="any-name")
    assert identify("robust_loss", 1, named, *digests, {}) == plain
    keys = {
        identify("robust_loss", 1, named, *digests, {role: EncoderIdentity(identity, identity)}).key
        for role in ("start_from", "encoder")
        for identity in ("one", "other")
    }
    assert len(keys | {plain.key}) == 5


@pytest.mark.slow
def test_a_run_starts_from_the_weights_of_another(lab):
    entries(lab, base=CLOSED)
    key = run(start_from="base", lr=1e-9, **ONE).key
    stored = row(key)
    encoder = load_encoder(encoders_folder("base"))
    assert stored["encoder_digest"] == encoder.card.run_key
    assert encoder.card.name == "base"
    assert Store().status(encoder.card.run_key) == "done"
    assert stored["knows"] == []
    # At this rate the weights of the run are still those it started from.
    kept = run(start_from="base", lr=1e-9, execution={"keep_weights": True}, **ONE)
    assert kept.key == key
    mine = load_encoder(kept_weights_folder(key))
    for name, value in mine.part("encoder").items():
        torch.testing.assert_close(value, encoder.part("encoder")[name], atol=1e-6, rtol=0)
    assert set(mine.part("classifier")) == {"linear.weight", "linear.bias"}


@pytest.mark.slow
def test_another_encoder_is_another_run(lab):
    entries(lab, one=CLOSED, other=CLOSED | {"seed": 1})
    keys = {run(**ONE).key, run(start_from="one", **ONE).key, run(start_from="other", **ONE).key}
    assert len(keys) == 3
    accuracies = {numbers(key)[0]["test_loss"][0] for key in keys}
    assert len(accuracies) == 3
    groups = {row(key)["group"] for key in keys}
    assert len(groups) == 3


def test_what_an_entry_leaves_open_is_that_of_the_asking_run(lab):
    entries(lab, warm=CE)
    first, second = found(start_from="warm", seed=0), found(start_from="warm", seed=1)
    assert first.run.key != second.run.key
    assert (first.run.resolved.settings.seed, second.run.resolved.settings.seed) == (0, 1)
    assert first.run.resolved.settings.noise == "symmetric-40"
    key = run(start_from="warm", seed=1, **ONE).key
    assert row(key)["encoder_digest"] == second.run.key
    assert read_encoder_card(kept_weights_folder(second.run.key)).run_key == second.run.key
    assert not encoders_folder("warm").exists()
    assert not first.exists


def test_an_open_entry_learns_from_the_draw_of_labels_that_the_asking_run_has(lab):
    pinned = {"warm": CE, "one": CE | {"seed": 0}, "other": CE | {"noise": "pair-40"}}
    write_params(lab, PARAMS | {"encoders": pinned, "run": PARAMS["run"] | {"seeds": {"order": 9}}})
    for name, follows in (("warm", True), ("one", True), ("other", False)):
        usual = found(start_from=name)
        redrawn = found(start_from=name, seeds=Seeds(noise=5, init=4))
        assert (redrawn.run.key != usual.run.key) == follows
        assert redrawn.run.settings.seeds.set_apart == ({"noise": 5} if follows else {})
        # One group of runs for all draws: whoever asks is averaged over them.
        assert redrawn.identity.group == usual.identity.group


@pytest.mark.slow
def test_an_encoder_may_start_from_another_one(lab):
    entries(lab, base=CLOSED, warm=CE | {"start_from": "base"})
    key = run(start_from="warm", **ONE).key
    done = Store().runs().collect()
    assert len(done) == 3
    digests = dict(zip(done["key"], done["encoder_digest"], strict=True))
    warm = digests[key]
    assert digests[warm] == read_encoder_card(encoders_folder("base")).run_key
    assert run(start_from="warm", **ONE).ending == "stored"


@pytest.mark.parametrize(
    "circle",
    [
        {"a": CE | {"start_from": "a"}},
        {"a": CE | {"start_from": "b"}, "b": CE | {"start_from": "a"}},
    ],
)
def test_a_circle_is_refused(lab, circle):
    entries(lab, **circle)
    with pytest.raises(LabError, match=r"need one another: a -> .*a"):
        run(start_from="a", **ONE)


def test_what_runs_pin_as_their_start_is_not_that_of_their_encoders(lab):
    pinned = {"methods": {"robust_loss": {"loss": "ce", **ONE, "start_from": "warm"}}}
    write_params(lab, PARAMS | pinned | {"encoders": {"warm": CE}})
    assert run(backbone="small-cnn").ending == "done"
    assert len(Store().runs().collect()) == 2


def test_knowledge_comes_along_with_the_weights(lab):
    write_params(lab, PARAMS | {
        "datasets": {"digits": {"kind": "digits"}, "more": {"kind": "digits", "test_rate": 0.3}},
        "encoders": {"told": CE | {"noise": "clean"}, "elsewhere": SIMCLR | {"dataset": "more"},
                     "clean": SIMCLR | {"noise": "clean"}, "same": CE,
                     "chain": CE | {"start_from": "elsewhere"}},
    })  # fmt: skip
    knows = {name: set(planned(start_from=name).row["knows"])
             for name in ("told", "elsewhere", "clean", "same", "chain")}  # fmt: skip
    assert knows["told"] == {"clean_labels"}
    assert knows["elsewhere"] == knows["chain"] == {"extra_features"}
    assert knows["clean"] == knows["same"] == set()


@pytest.mark.slow
def test_a_run_whose_weights_are_gone_is_computed_again_when_they_are_asked_for(lab):
    entries(lab, warm=CE)
    warm = run(loss="ce", backbone="small-cnn", **ONE).key
    assert found(start_from="warm", backbone="small-cnn").run.key == warm
    assert not kept_weights_folder(warm).exists()
    before = numbers(warm)[0]
    key = run(start_from="warm", **ONE).key
    assert row(key)["encoder_digest"] == warm
    assert kept_weights_folder(warm).exists()
    assert numbers(warm)[0].equals(before)
    assert run(**ONE).ending == "stored"


def test_a_stored_run_needs_no_encoder_any_more(lab):
    entries(lab, warm=CE)
    warm = row(run(start_from="warm", **ONE).key)["encoder_digest"]
    folder = kept_weights_folder(warm)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert run(start_from="warm", **ONE).ending == "stored"
    assert not folder.exists()


@pytest.mark.slow
def test_an_encoder_that_was_pulled_is_not_trained_again(lab, monkeypatch):
    entries(lab, base=CLOSED)
    run(start_from="base", **ONE)
    monkeypatch.setenv("LNL_STORE", str(lab / "another store"))
    key = run(start_from="base", **ONE).key
    assert Store().runs().collect()["key"].to_list() == [key]


@pytest.mark.slow
def test_a_second_program_waits_for_the_first(lab):
    entries(lab, warm=CE)
    warm = found(start_from="warm")
    other = claim(store_place(), warm.run.key)
    seen = []

    def release():
        seen.append(warm.exists)
        other.release()

    threading.Timer(1.5, release).start()
    began = time.perf_counter()
    assert run(start_from="warm", **ONE).ending == "done"
    assert seen == [False]
    assert time.perf_counter() - began > 1.5
    assert warm.exists


def test_weights_of_another_architecture_are_refused_with_both_names(lab):
    entries(lab, base=CLOSED)
    with pytest.raises(LabError, match=r"base.*small-cnn.*resnet18.*--backbone small-cnn"):
        run(start_from="base", backbone="resnet18", **ONE)


def test_a_classifier_is_taken_over_on_request_only(lab):
    run(loss="ce", execution={"keep_weights": True}, **ONE)
    start = load_encoder(kept_weights_folder(Store().runs().collect()["key"].item()))
    network = RobustLoss(settings(backbone="small-cnn"), Problem(10, 40, (8, 8, 1))).network
    before = network.linear.weight.clone()
    load_into(network, start, "small-cnn")
    assert torch.equal(network.linear.weight, before)
    load_into(network, start, "small-cnn", classifier=True)
    assert torch.equal(network.linear.weight, start.part("classifier")["linear.weight"])
    load_into(network, None, "small-cnn")


@pytest.mark.slow
def test_a_grid_plans_without_training_and_its_cells_share_encoders(lab):
    grid = PARAMS["grid"] | {"runs": [
        {"method": "robust_loss", "loss": ["ce", "gce"], "start_from": "base", **ONE},
        {"method": "robust_loss", "loss": "ce", "start_from": "warm", **ONE},
    ]}  # fmt: skip
    write_params(lab, PARAMS | {"grid": grid, "encoders": {"base": CLOSED, "warm": CE}})
    all_cells = cells(read_params())
    assert len(plan(all_cells, Store())) == 3
    missing = [missing_encoders(cell) for cell in all_cells]
    names = [[encoder.name for encoder in made.values()] for made in missing]
    assert names == [["base"], ["base"], ["warm"]]
    assert Store().runs().collect().is_empty()
    assert compute(all_cells) == {"done": 3}
    # Three cells, one shared encoder, one warm start; each encoder trained once.
    assert len(Store().runs().collect()) == 5
    assert plan(cells(read_params()), Store()) == []


def test_the_stage_makes_closed_entries_and_refuses_open_ones(lab, monkeypatch, capsys):
    entries(lab, base=CLOSED, warm=CE)
    monkeypatch.setattr("sys.argv", ["encoder", "base", "--no-tracking"])
    stage.main()
    card = read_encoder_card(encoders_folder("base"))
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == f"base: small-cnn, 64 features, weights {card.weights_digest}"
    monkeypatch.setattr("sys.argv", ["encoder", "warm"])
    with pytest.raises(SystemExit):
        stage.main()
    assert "dataset, noise and seed" in capsys.readouterr().err


def test_an_import_is_brought_in_once_and_again_when_its_file_changes(lab, monkeypatch):
    from pipeline.backbones.heads import projection_head

    head = {f"g.{name}": value for name, value in projection_head(512).state_dict().items()}

    def write(scale):
        import torchvision
        from torch import nn

        torch.manual_seed(0)
        network = torchvision.models.resnet18()
        network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        children = [m for name, m in network.named_children() if name not in {"maxpool", "fc"}]
        state = nn.Sequential(*children).state_dict()
        state = {f"f.{name}": value * scale for name, value in state.items()}
        torch.save(state | head, lab / "model.pth")

    write(1)
    entries(lab, file={"kind": "simclr", "path": "model.pth", "network": "resnet18"})
    first = found("start_from", start_from="file")
    assert first.identity.key == first.load().card.identity
    assert first.knows == frozenset()
    written = (first.folder / "weights.safetensors").stat().st_mtime_ns
    assert found(start_from="file").identity == first.identity
    assert (first.folder / "weights.safetensors").stat().st_mtime_ns == written
    write(2)
    assert found(start_from="file").identity != first.identity
    entries(lab, file={"kind": "simclr", "path": "model.pth", "network": "resnet18",
                       "external": True})  # fmt: skip
    assert found(start_from="file").knows == {"extra_features"}
    (lab / "model.pth").unlink()
    assert found(start_from="file").exists
    assert isinstance(found(start_from="file").load(), Encoder)


def test_precisions_of_run_and_encoder_must_agree(lab):
    entries(lab, base=CLOSED | {"precision": "bf16"})
    with pytest.raises(LabError, match="encoder base in bf16 for a run in fp32"):
        run(start_from="base", **ONE)


def test_an_unknown_encoder_is_answered_with_the_nearest(lab):
    entries(lab, base=CLOSED)
    with pytest.raises(LabError, match="try: base"):
        run(start_from="bsae", **ONE)
    assert Params().encoders == {}
