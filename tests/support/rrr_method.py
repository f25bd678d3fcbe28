"""A small RRR method and what it asks for, for tests without a run."""

import torch
from torch import Tensor

from methods.representation_regularization import RepresentationRegularization, RrrSettings
from pipeline.encoders.encoder import Encoder, EncoderCard
from pipeline.training.context import Context
from pipeline.training.method import Batch, Partners, Problem

N = 40
PROBLEM = Problem(n_classes=10, n_train=N, image_shape=(8, 8, 1))
Y = torch.arange(N) % 10


def settings(**values) -> RrrSettings:
    """Settings for the small network."""
    return RrrSettings(**({"backbone": "small-cnn", "epochs": 10} | values))


def make(
    values: dict | None = None, start: Encoder | None = None, **more
) -> RepresentationRegularization:
    """A method with seeded weights."""
    torch.manual_seed(0)
    chosen = settings(**(values or {}), **more)
    return RepresentationRegularization(chosen, PROBLEM._replace(start=start))


def images(n: int = N, shift: float = 0.0) -> Tensor:
    """Images [n, 1, 8, 8], all different."""
    return torch.sin(shift + 1.7 * torch.arange(n * 64.0).sqrt()).view(n, 1, 8, 8)


def batch(method: RepresentationRegularization, index: Tensor | None = None) -> Batch:
    """The views that the method wants of some samples, and partners if it has any."""
    index = torch.arange(N) if index is None else index
    views = tuple(images(shift=number)[index] for number in range(len(method.views)))
    partners = None
    if method.partner_views:
        partners = Partners((images(shift=9.0)[index],), Y.flip(0)[index])
    return Batch(views, Y[index], index, partners=partners)


def context(method: RepresentationRegularization, epoch: int = 0, resumed: bool = False) -> Context:
    """The services of a run on one process."""

    def predict_pass(augmented, _averaged, samples, function, _views, training):
        method.train(training)
        x = images(shift=5.0 if augmented else 0.0)
        with torch.no_grad():
            rows = (function or method.predict)(x if samples is None else x[samples])
        method.train()
        return rows

    return Context(
        method=method.name(), knows=method.knows, y_noisy=Y, y_clean=None, n_classes=10,
        n_epochs=method.settings.epochs, seed=0, predict_pass=predict_pass, epoch=epoch,
        resumed=resumed,
    )  # fmt: skip


def begun(method: RepresentationRegularization, epoch: int = 0) -> RepresentationRegularization:
    """The method in training mode at the start of an epoch."""
    method.train()
    method.epoch_start(context(method, epoch))
    return method


def encoder(state: dict[str, Tensor], network: str = "small-cnn") -> Encoder:
    """An encoder with given weights."""
    card = EncoderCard(
        name="warm", kind="run", network=network, n_features=64, mean=(0.5,), std=(0.25,),
        image_size=None, unit_length=True, external=False, weights_digest="0",
    )  # fmt: skip
    return Encoder(card, state)
