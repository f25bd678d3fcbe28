"""One training step of any method on a batch of four, with an encoder that no test has to train."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from pipeline.backbones import make_backbone
from pipeline.config import RunSettings
from pipeline.encoders.encoder import Encoder
from pipeline.encoders.start import network_state
from pipeline.training.context import Context
from pipeline.training.method import Batch, Method, Partners, Problem
from pipeline.training.phases import Stream
from tests.support.tiny_encoder import tiny_encoder

N, N_CLASSES = 60, 10
INDEX = torch.arange(N)
Y = INDEX % N_CLASSES
X = torch.sin(torch.arange(N * 64.0)).view(N, 1, 8, 8)
SMALL = {"backbone": "small-cnn"}
"""In place of the networks of recipes, which would take minutes."""


def warm_start() -> Encoder:
    """The small network as a run with a classifier leaves it."""
    torch.manual_seed(3)
    state = network_state(make_backbone("small-cnn", N_CLASSES, 1))
    return Encoder(replace(tiny_encoder().card, name="warm"), state)


def build(method_class: type[Method], settings: RunSettings) -> Method:
    """A method for 60 grey images, with what its settings name to start from and to ask."""
    problem = Problem(
        N_CLASSES, N, (8, 8, 1), (0.5,), (0.25,),
        start=None if settings.start_from is None else warm_start(), encoder=tiny_encoder(),
    )  # fmt: skip
    torch.manual_seed(0)
    return method_class(settings, problem)


def shown(view: str, x: torch.Tensor) -> torch.Tensor:
    """A view of images x."""
    return tiny_encoder()(x) if view == "embedding" else x


def first_epoch(method: Method, epoch: int = 0) -> Context:
    """Start a method and its epoch; the context that it was given."""

    def predict_pass(_augmented, _averaged, samples=None, function=None, views=None, *_):
        x = X if samples is None else X[samples]
        with torch.no_grad():
            given = [shown(view, x) for view in views or method.predict_views]
            return (function or method.predict)(*given)

    context = Context(
        method=method.name(), knows=method.knows, y_noisy=Y, y_clean=Y, n_classes=N_CLASSES,
        n_epochs=method.settings.epochs, seed=0, predict_pass=predict_pass, epoch=epoch,
    )  # fmt: skip
    method.start(context)
    method.train()
    method.epoch_start(context)
    return context


def first_streams(method: Method, context: Context) -> dict[str, Stream]:
    """What the method draws from in the first phase of its epoch; nothing for all samples."""
    context.phase = method.phases(context)[0]
    return dict(method.phase_start(context).streams or {})


def one_step(
    method: Method, rows: torch.Tensor = INDEX[:4], streams: Mapping[str, Stream] | None = None
) -> torch.Tensor:
    """The loss of one step, after its gradients; four samples of each stream, if there are any."""

    def part(samples: torch.Tensor, names: tuple[str, ...]) -> Batch:
        views = tuple(shown(view, X[samples].roll(i, dims=3)) for i, view in enumerate(names))
        return Batch(views, Y[samples], samples)

    partners = None
    if method.partner_views:
        partners = Partners(tuple(X[rows].flip(0) for _ in method.partner_views), Y[rows].roll(1))
    parts = {
        name: part(stream.samples[:4], stream.views or method.views)
        for name, stream in (streams or {}).items()
    }
    main = next(iter(parts.values()), None) or part(rows, method.views)
    output = method(replace(main, partners=partners, parts=parts))
    total = output.loss + sum((output.terms or {}).values())
    total = total if output.coupled is None else total + output.coupled
    total.backward()
    return total.detach()
