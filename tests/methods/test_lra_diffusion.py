"""Label diffusion: the authors' training steps, what is drawn, what is predicted, its switches."""

import numpy as np
import pytest
import torch
from torch import nn

from methods.lra_diffusion import Draws, LraDiffusion, LraDiffusionSettings
from pipeline.diffusion.process import q_sample
from pipeline.encoders.neighbours import nearest
from pipeline.errors import LabError
from pipeline.training.method import Batch, Problem
from pipeline.training.optimisation import WeightAverage, make_optimizer, set_learning_rate
from tests.support.lra_cases import (
    INDEX,
    MEAN,
    N_CLASSES,
    STD,
    N,
    X,
    Y,
    features,
    make_batch,
    make_context,
    make_method,
    stub_encoder,
)
from tests.support.paths import REFERENCES
from tests.support.tiny_encoder import tiny_encoder


@pytest.fixture(autouse=True)
def own_cache(lab):
    """Tables of neighbours go to a folder of the test."""


def test_training_steps_are_the_authors():
    """Loss, clipped gradient, weights, running statistics and average of recorded steps."""
    path = REFERENCES / "lra_train_reference.npz"
    given = {name: torch.from_numpy(value) for name, value in np.load(path).items()}
    settings = LraDiffusionSettings(
        n_steps=int(given["T"]), ddim_steps=5, k=int(given["k"]), width=16, optimizer="adam",
        lr=1e-3, weight_decay=0.0, schedule="warmup-cosine", lr_horizon=1000,
        warmup_epochs=int(given["warmup_epochs"]), clip_norm=1.0, image_encoder="head_2023_05",
    )  # fmt: skip
    method = LraDiffusion(settings, Problem(10, 42, (2, 2, 3), encoder=stub_encoder(12)))
    method.image_encoder = nn.Sequential(nn.Flatten(), nn.Linear(12, 16)).requires_grad_(False)
    method.image_encoder[1].load_state_dict(part(given, "encoder."))
    method.head.load_state_dict(part(given, "init."))
    method.start(make_context(given["fp_all"], given["labels"]))
    method.train()
    optimizer = make_optimizer(method, settings)
    average = WeightAverage(method.head, 0.9999, buffers=False)
    names = [name for name, _ in method.head.named_parameters()]
    for step, rows in enumerate(given["batch_order"].flatten(0, 1)):
        rate = set_learning_rate(optimizer, settings, step / 3)
        assert rate == pytest.approx(float(given["lr"][step]), rel=1e-12)
        half = given["draw_t_half"][step]
        times = torch.cat([half, settings.n_steps - 1 - half])[: len(rows)]
        draws = Draws(given["draw_position"][step], times, given["draw_noise"][step])
        method._draw = lambda batch, n, draws=draws: draws
        views = (given["x"][rows], given["fp_all"][rows])
        output = method(Batch(views, given["labels"][rows], rows))
        assert float(output.loss.detach()) == pytest.approx(float(given["loss"][step]), abs=1e-5)
        output.loss.backward()
        nn.utils.clip_grad_norm_(method.head.parameters(), settings.clip_norm)
        gradients = {name: p.grad.clone() for name, p in method.head.named_parameters()}
        optimizer.step()
        optimizer.zero_grad()
        average.update()
        if f"step{step}.net.norm.weight" in given:
            close(gradients, part(given, f"step{step}.grad."), 1e-5)
            close(method.head.state_dict(), part(given, f"step{step}.net."), 1e-4)
            shadow = dict(zip(names, average.state(), strict=True))
            close(shadow, part(given, f"step{step}.ema."), 1e-5)
    close(method.image_encoder[1].state_dict(), part(given, "encoder."), 0)


def part(given, prefix):
    """The arrays whose names begin so, without the beginning."""
    return {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}


def close(found, expected, atol):
    """Every expected array is found."""
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=atol, rtol=0, msg=name)


def test_each_sample_has_its_own_draws_whatever_the_batch():
    method = make_method()
    whole = method._draw(make_batch(method), 6)
    part_of_it = method._draw(make_batch(method, INDEX[10:30].flip(0)), 6)
    assert part_of_it.position.equal(whole.position[10:30].flip(0))
    assert part_of_it.noise.equal(whole.noise[10:30].flip(0))
    method.epoch_start(make_context(None, epoch=1))
    later = method._draw(make_batch(method), 6)
    assert not later.noise.equal(whole.noise)
    assert not later.t.equal(whole.t)


@pytest.mark.parametrize("n", [2, 7, 40])
def test_steps_come_in_pairs_and_cover_all(n):
    method = make_method(n_steps=20)
    counts, batch = torch.zeros(20), make_batch(method, INDEX[:n])
    for epoch in range(400):
        method.epoch_start(make_context(None, epoch=epoch))
        t = method._draw(batch, 6).t
        first = n // 2 + 1
        assert t[first:].equal(19 - t[: n - first])
        counts += t.bincount(minlength=20)
    expected = 400 * n / 20
    assert (counts - expected).abs().max() < 5 * (2 * expected) ** 0.5


def test_labels_are_drawn_by_their_share_among_the_candidates():
    torch.manual_seed(0)
    y = torch.randint(3, (N,))
    method = make_method(y)
    batch = make_batch(method, y=y)
    options = method._candidates(batch, batch.views[1])
    counts = torch.zeros(N, 3)
    for epoch in range(1000):
        method.epoch_start(make_context(None, epoch=epoch))
        position = method._draw(batch, options.shape[1]).position
        counts[INDEX, options.gather(1, position[:, None])[:, 0]] += 1
    shares = torch.nn.functional.one_hot(options, 3).float().mean(dim=1)
    tolerance = 5 * (shares * (1 - shares) / 1000).sqrt() + 1e-6
    assert ((counts / 1000 - shares).abs() <= tolerance).all()


@pytest.mark.parametrize("append_own", [True, False])
def test_candidates_are_the_labels_of_neighbours_with_or_without_the_own_one(append_own):
    method = make_method(append_own=append_own)
    batch = make_batch(method)
    found = method._candidates(batch, batch.views[1])
    f_p = features(method._frozen[0])
    if append_own:
        rows = nearest(f_p, f_p, 5).row
        assert found[:, :-1].equal(Y[rows])
        assert found[:, -1].equal(Y)
        assert (rows[:, 0] == INDEX).all()  # the own label counts twice
    else:
        assert found.equal(Y[nearest(f_p, f_p, 6).row])


def test_other_labels_need_no_other_table_and_never_give_old_ones():
    first = make_method()
    second = make_method((Y + 1) % 10)
    assert second._neighbours.equal(first._neighbours)
    batch = make_batch(first)
    own = (Y + 1) % 10
    moved = second._candidates(make_batch(second, y=own), batch.views[1])
    assert moved.equal((first._candidates(batch, batch.views[1]) + 1) % 10)


def test_features_of_an_image_encoded_anew_are_the_cached_ones():
    cached, anew = make_method(), make_method(query="re-encoded")
    assert anew.views == ("weak",)
    left, right = make_batch(cached), make_batch(anew)
    torch.testing.assert_close(anew._features(right), cached._features(left))
    f_p = cached._features(left)
    assert anew._candidates(right, f_p).equal(cached._candidates(left, f_p))
    torch.testing.assert_close(anew(right).loss, cached(left).loss)


def test_queries_are_encoded_as_precisely_as_the_bank_in_any_run():
    method = make_method(query="re-encoded")
    batch = make_batch(method)
    expected = method._features(batch)
    with torch.autocast("cpu", torch.bfloat16):
        assert method._features(batch).equal(expected)


def test_weights_are_the_agreement_over_its_mean():
    torch.manual_seed(0)
    y = torch.randint(3, (N,))
    weighted, plain = make_method(y), make_method(y, weighted=False)
    batch = make_batch(weighted, y=y)
    options = weighted._candidates(batch, batch.views[1])
    drawn = weighted._draw(batch, options.shape[1])
    label = options.gather(1, drawn.position[:, None])
    n_agree = (options == label).sum(dim=1)
    y_0 = torch.nn.functional.one_hot(label[:, 0], N_CLASSES).float()
    y_t = q_sample(weighted.schedule, y_0, drawn.t, drawn.noise)
    h_x = weighted.image_encoder(batch.x)
    error = (weighted.head(h_x, y_t, drawn.t, batch.views[1]) - drawn.noise) ** 2
    torch.testing.assert_close(plain(batch).loss, error.mean())
    w = n_agree / n_agree.sum()
    torch.testing.assert_close(weighted(batch).loss, (w[:, None] * error).sum() / N_CLASSES)
    scalars = weighted(batch).scalars
    torch.testing.assert_close(scalars["agreement"], n_agree.float().mean() / 6)
    torch.testing.assert_close(scalars["retrieved_as_given"], (label[:, 0] == y).float().mean())


@pytest.mark.parametrize("f_q", ["none", "neighbours"])
def test_a_perfect_head_predicts_the_label(f_q):
    method = make_method(f_q=f_q).eval()
    f_p = features(method._frozen[0])
    mean = 0
    if f_q == "neighbours":
        mean = nn.functional.one_hot(Y[nearest(f_p, f_p, 5).row], 10).float().mean(dim=1)

    def perfect(h, y, t, f_p):
        abar = method.schedule.alpha_bar[t]
        y_0 = nn.functional.one_hot(Y, N_CLASSES).float()
        return (y - abar.sqrt() * y_0 - (1 - abar.sqrt()) * mean) / (1 - abar).sqrt()

    method.head.denoised = perfect
    p = method.predict(X, f_p)
    assert p.dtype == torch.float64
    assert p.argmax(dim=1).equal(Y)


def test_the_predicted_class_is_nearest_to_one_even_where_entries_are_close():
    method = make_method().eval()
    y = torch.tensor([[3.0, 0.4, 0.2], [1.00002, 1.00001, 5.0], [1.4, 0.8, 0.0]])
    method._sample = lambda *_: y
    p = method.predict(X[:3], features(method._frozen[0])[:3])
    assert p.argmax(dim=1).equal((y - 1).abs().argmin(dim=1))
    assert p.argmax(dim=1).tolist() == [1, 1, 1]


def test_predicting_runs_the_image_encoder_once_and_the_head_once_a_step():
    method = make_method(ddim_steps=8).eval()
    calls = {"image": 0, "head": 0}
    method.image_encoder.register_forward_hook(lambda *_: calls.update(image=calls["image"] + 1))
    denoised = method.head.denoised

    def counted(*given):
        calls["head"] += 1
        return denoised(*given)

    method.head.denoised = counted
    method.predict(X, features(method._frozen[0]))
    assert calls == {"image": 1, "head": 8}


def test_predictions_of_the_training_pass_leave_running_statistics_alone():
    method = make_method()
    batch = make_batch(method)
    logits = method(batch).logits
    assert not logits.requires_grad
    assert method.head.norm.num_batches_tracked == 1
    assert all(module.training for module in method.head.modules())
    method.eval()
    torch.testing.assert_close(
        method(batch).logits.double().softmax(dim=1), method.predict(*batch.views), rtol=1e-5,
        atol=1e-6,
    )  # fmt: skip


def test_the_frozen_encoder_is_no_part_of_the_module():
    method = make_method(query="re-encoded", f_q="neighbours")
    names = {name.split(".")[0] for name in method.state_dict()}
    assert names == {"head", "image_encoder"}
    before = {name: value.clone() for name, value in method._frozen[0].state_dict().items()}
    method(make_batch(method)).loss.backward()
    assert all(p.grad is None for p in method._frozen[0].parameters())
    assert not method._frozen[0].training
    for name, value in method._frozen[0].state_dict().items():
        assert value.equal(before[name])


@pytest.mark.parametrize("kind", ["trained", "fixed", "head_2023_05"])
def test_which_image_encoder_learns_and_how_it_normalises(kind):
    method = make_method(image_encoder=kind, backbone="resnet18")
    before = {name: value.clone() for name, value in method.image_encoder.state_dict().items()}
    groups = method.parameter_groups()
    assert len(groups) == (2 if kind == "trained" else 1)
    optimizer = make_optimizer(method, method.settings)
    rows = INDEX[:8]
    for _ in range(2):
        method(make_batch(method, rows)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    after = method.image_encoder.state_dict()
    weights_kept = all(
        after[name].equal(value) for name, value in before.items() if "running" not in name
        and "num_batches" not in name
    )  # fmt: skip
    statistics_kept = all(after[name].equal(v) for name, v in before.items() if "running" in name)
    assert (weights_kept, statistics_kept) == {
        "trained": (False, False), "fixed": (True, True), "head_2023_05": (True, False),
    }[kind]  # fmt: skip
    method.eval()
    assert method.image_encoder.training == (kind == "head_2023_05")
    f_p = features(method._frozen[0])
    with torch.no_grad():
        whole, alone = method.predict(X[:8], f_p[:8])[:4], method.predict(X[:4], f_p[:4])
    assert torch.allclose(whole, alone, atol=1e-6) == (kind != "head_2023_05")


@pytest.mark.parametrize(
    ("settings", "n_weights"),
    [
        ({"backbone": "resnet34", "width": 512}, 21_539_648),
        ({"backbone": "resnet18", "width": 512}, 11_431_488),
        ({"backbone": "timm/resnet50", "width": 1024, "inner_width": 512}, 25_082_432),
    ],
)
def test_sizes_of_the_image_encoders(settings, n_weights):
    problem = Problem(N_CLASSES, N, (32, 32, 3), encoder=stub_encoder(16))
    with torch.device("meta"):
        method = LraDiffusion(LraDiffusionSettings(**settings), problem)
    assert sum(p.numel() for p in method.image_encoder.parameters()) == n_weights


def test_gates_and_statistics_of_the_views():
    method = make_method()
    assert (float(method._mean), float(method._std)) == (*MEAN, *STD)
    assert method.head.lin1.embed.num_embeddings == 1001
    assert make_method(beta_schedule="linear").schedule.beta[0] == pytest.approx(1e-4)


def test_faulty_settings_are_answered_with_what_is_allowed():
    with pytest.raises(LabError, match="7 sampling steps.*1, 2, 4, 5, 8, 10"):
        LraDiffusionSettings(ddim_steps=7)
    with pytest.raises(LabError, match="--encoder"):
        LraDiffusion(LraDiffusionSettings(backbone="small-cnn"), Problem(10, 40, (8, 8, 1)))
    method = make_method()
    with pytest.raises(LabError, match="one sample.*--drop-last"):
        method(make_batch(method, INDEX[:1]))


class Spied:
    """An encoder that notes whether it is asked in reduced precision."""

    def __init__(self, encoder):
        self.card, self._encoder, self.reduced = encoder.card, encoder, []

    def __call__(self, x):
        """The features of images, noted."""
        self.reduced.append(torch.is_autocast_enabled("cpu"))
        return self._encoder(x)


def test_queries_have_the_precision_of_the_bank():
    spied = Spied(tiny_encoder())
    settings = LraDiffusionSettings(
        backbone="small-cnn", width=32, k=5, epochs=10, ddim_steps=5, query="re-encoded"
    )
    problem = Problem(N_CLASSES, N, (8, 8, 1), MEAN, STD, encoder=spied)
    method = LraDiffusion(settings, problem)
    context = make_context(features(tiny_encoder()))
    method.start(context)
    method.epoch_start(context)
    with torch.autocast("cpu", torch.bfloat16):
        method.train()(Batch((X,), Y, INDEX))
    assert spied.reduced == [False]
