"""A session without data: a small network with batch norm, for tests of what surrounds the loop."""

import torch
from torch import Tensor, nn

from pipeline.config import RunSettings
from pipeline.training.batches import Labelled, TrainSamples
from pipeline.training.context import Context
from pipeline.training.loop import Progress, Session
from pipeline.training.method import Batch, Method, StepOutput
from pipeline.training.observers import Ledger
from pipeline.training.optimisation import WeightAverage, make_optimizer
from pipeline.training.processes import Processes

N, K = 12, 3
EVERYONE = torch.arange(N)
Y = EVERYONE % K


class Tiny(Method):
    """Batch norm and a linear layer on images of one channel."""

    def __init__(self, n_classes: int = K) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(16, n_classes))
        self.register_buffer("targets", torch.zeros(N))

    def forward(self, batch: Batch) -> StepOutput:
        """Cross-entropy."""
        logits = self.network(batch.x)
        return StepOutput(nn.functional.cross_entropy(logits, batch.y_noisy), logits, {})

    def predict(self, x: Tensor) -> Tensor:
        """Softmax."""
        return self.network(x).softmax(dim=1)


class Images:
    """Images that are a function of their position."""

    def batches(self, requests, views, seeds):
        """All views are alike."""
        for index in requests:
            yield tuple(images_of(index) for _ in views)


def images_of(index: Tensor) -> Tensor:
    return torch.sin(index[:, None].float() + torch.arange(16.0)).view(-1, 1, 4, 4)


def tiny_session(n_classes: int = K, posterior: bool = False, **settings) -> Session:
    """The same weights each time."""
    own = RunSettings(**({"batch_size": 4, "epochs": 2, "lr": 0.1} | settings))
    torch.manual_seed(0)
    method, processes = Tiny(n_classes), Processes()
    return Session(
        settings=own,
        processes=processes,
        method=method,
        trained=processes.connect(method),
        optimizer=make_optimizer(method, own),
        train=TrainSamples(Images(), EVERYONE, Y, Y),
        test=Labelled(Images(), EVERYONE, None, Y),
        other_tests={},
        validation=None,
        context=Context("tiny", frozenset(), Y, Y, K, own.epochs, own.seed, torch.empty),
        ledger=Ledger(Y, Y, K, processes, posterior),
        progress=Progress(),
        average=WeightAverage(method, 0.5),
    )


def trained_a_step(session: Session, samples: Tensor) -> Session:
    """After one optimiser step on some samples."""
    output = session.method(Batch((images_of(samples),), Y[samples], samples))
    output.loss.backward()
    processes = session.processes
    for parameter in session.method.parameters():
        parameter.grad = processes.sum(parameter.grad) / processes.n_processes
    session.optimizer.step()
    session.average.update()
    session.ledger.record(samples, output.logits)
    session.progress.step += 1
    session.progress.sums = {"loss": float(output.loss.detach())}
    return session
