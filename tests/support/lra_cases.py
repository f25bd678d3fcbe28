"""Small label diffusion models for tests: an encoder, a method, a batch of the digits' shape."""

from types import SimpleNamespace

import torch

from methods.lra_diffusion import LraDiffusion, LraDiffusionSettings
from pipeline.training.context import Context
from pipeline.training.gather import ALONE
from pipeline.training.method import Batch, Problem
from tests.support.tiny_encoder import tiny_encoder

N, N_CLASSES = 40, 10
INDEX = torch.arange(N)
Y = INDEX % N_CLASSES
X = torch.sin(torch.arange(N * 64.0)).view(N, 1, 8, 8)
MEAN, STD = (0.25,), (0.5,)


def features(encoder, x=X):
    """f_p of normalised images."""
    return encoder(x * STD[0] + MEAN[0])


def make_context(f_p, y=Y, epoch=0):
    """The context of a run whose training samples have these features."""
    return Context(
        method="lra_diffusion", knows=frozenset(), y_noisy=y, y_clean=None, n_classes=N_CLASSES,
        n_epochs=10, seed=0, predict_pass=lambda *asked: f_p, epoch=epoch,
    )  # fmt: skip


def make_method(y=Y, started=True, **settings):
    """A method on the training samples X with labels y."""
    encoder = tiny_encoder()
    problem = Problem(N_CLASSES, N, (8, 8, 1), MEAN, STD, encoder=encoder)
    torch.manual_seed(0)
    given = {"backbone": "small-cnn", "width": 32, "k": 5, "epochs": 10, "ddim_steps": 5}
    method = LraDiffusion(LraDiffusionSettings(**(given | settings)), problem)
    if started:
        context = make_context(features(encoder), y)
        method.start(context)
        method.epoch_start(context)
    return method.train()


def make_batch(method, rows=INDEX, together=ALONE, y=Y):
    """The training samples `rows` with the views that the method asks for."""
    known = {"weak": X[rows], "embedding": features(method._frozen[0], X[rows])}
    return Batch(tuple(known[name] for name in method.views), y[rows], rows, together)


def stub_encoder(n_features):
    """Stands in for an encoder that is never asked."""
    return SimpleNamespace(card=SimpleNamespace(n_features=n_features, has_network=True))
