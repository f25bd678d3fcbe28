"""Small methods that use the parts of the frame, and sessions of them on twelve tiny images."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pipeline.config import Execution, RunSettings
from pipeline.data.randomness import sample_uniforms
from pipeline.errors import Interrupted
from pipeline.runs.inputs.splits import Splits
from pipeline.runs.session import open_session
from pipeline.training.batches import Labelled, TrainSamples
from pipeline.training.checkpoints import save_checkpoint
from pipeline.training.context import Context
from pipeline.training.loop import Session, run_epochs
from pipeline.training.method import Batch, Method, Problem, StepOutput
from pipeline.training.mixing import Mixing
from pipeline.training.peers import Peers
from pipeline.training.phases import Phase, Stream
from pipeline.training.processes import Processes

N, K = 13, 3
EVERYONE = torch.arange(N)
Y = EVERYONE % K
KEY = "r0123456789abcdef"
TRAIN_NOISE = 0.3


class ToyImages:
    """Images that are a function of their position and of the seed of the view."""

    def batches(self, requests, views, seeds):
        """Every view is the image and some noise of its own, but for the plain one."""
        for index in requests:
            yield tuple(self._view(*view, index) for view in zip(views, seeds, strict=True))

    def _view(self, name: str, seed: int, index: Tensor) -> Tensor:
        x = torch.sin(index[:, None].float() + torch.arange(16.0))
        if name != "plain":
            x = x + TRAIN_NOISE * sample_uniforms(seed, index, 16)
        return x.view(-1, 1, 4, 4)


def batch_norm_network() -> nn.Module:
    """Three layers, of which the first has running statistics."""
    return nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(16, K))


class Plain(Method):
    """One linear network without batch norm: processes see what one process sees."""

    def __init__(self, settings: RunSettings, problem: Problem) -> None:
        super().__init__()
        self.settings = settings
        self.body, self.head = nn.Linear(16, 5), nn.Linear(5, K)

    def logits(self, x: Tensor) -> Tensor:
        """Of images."""
        return self.head(self.body(x.flatten(1)).tanh())

    def forward(self, batch: Batch) -> StepOutput:
        """Cross-entropy."""
        logits = self.logits(batch.x)
        return StepOutput(nn.functional.cross_entropy(logits, batch.y_noisy), logits, {})

    def predict(self, x: Tensor) -> Tensor:
        """Softmax."""
        return self.logits(x).softmax(dim=1)


class Divided(Method):
    """Two peers in turn, each on the samples that the other finds easy and those it does not.

    Has every part: streams, peers, phases, parameters per sample, mixing and a restart.
    """

    network: Callable[[], nn.Module] = staticmethod(batch_norm_network)
    losses: Tensor

    def __init__(self, settings: RunSettings, problem: Problem) -> None:
        super().__init__()
        self.peers = Peers(("a", "b"), self.network, settings)
        self.shift = nn.Parameter(torch.zeros(problem.n_train, K))
        self.register_buffer("losses", torch.zeros(2, problem.n_train))
        self.now = "a"

    def parameter_groups(self) -> list[dict[str, object]]:
        """The peers, and the shift of each sample."""
        shift = {"name": "shift", "params": [self.shift], "per_sample": True, "lr": 2.0}
        return [*self.peers.groups(), shift]

    @classmethod
    def n_networks(cls, settings: RunSettings) -> int:
        """Two."""
        return 2

    def members(self) -> Mapping[str, Callable[..., Tensor]]:
        """Each peer."""
        return {name: lambda x, n=name: self.peers[n](x).softmax(dim=1) for name in self.peers}

    def epoch_start(self, context: Context) -> None:
        """Measure both peers, but not in the middle of an epoch."""
        if context.epoch and not context.resumed:
            for number, peer in enumerate(self.peers.values()):
                logits = context.predict_train(function=peer)
                self.losses[number] = nn.functional.cross_entropy(
                    logits, context.y_noisy, reduction="none"
                )

    def phases(self, context: Context) -> tuple[str, ...]:
        """One after the other."""
        return ("a", "b")

    def phase_start(self, context: Context) -> Phase:
        """All samples at first; then two streams, divided by the other peer."""
        self.now = context.phase
        self.peers.train_only(self.now)
        if not context.epoch:
            return Phase(trains=(self.now, "shift"))
        of_other = self.losses[1 - "ab".index(self.now)]
        easy = of_other <= of_other.quantile(0.7)
        return Phase(
            streams={
                "easy": Stream(easy.nonzero()[:, 0], views=("weak", "weak")),
                "hard": Stream((~easy).nonzero()[:, 0], batch_size=3, views=("strong",)),
            },
            partition=True,
            trains=(self.now, "shift"),
            restart=(self.now,),
            options={self.now: {"lr_factor": 0.5}},
        )

    def forward(self, batch: Batch) -> StepOutput:
        """Cross-entropy of mixed samples, and sharp predictions of the hard ones."""
        network, ce = self.peers[self.now], nn.functional.cross_entropy
        if not batch.parts:
            logits = network(batch.x) + self.shift[batch.index]
            return StepOutput(ce(logits, batch.y_noisy), logits, {"drawn": torch.rand(())})
        easy, hard = batch.parts["easy"], batch.parts["hard"]
        mixing = Mixing(batch.seed, 4.0, easy, easy, hard)
        rows = torch.cat(mixing(*easy.views, hard.x))
        targets = [nn.functional.one_hot(part.y_noisy, K).float() for part in (easy, easy, hard)]
        sizes = [len(target) for target in targets]
        first, second, other = network(rows).split(sizes)
        target, also, _ = mixing(*targets)
        logits = first + self.shift[easy.index]
        p = (other + self.shift[hard.index]).softmax(dim=1)
        return StepOutput(
            ce(logits, target) + ce(second, also),
            {"easy": logits, "hard": other},
            {"share": logits.new_tensor(mixing.share, dtype=torch.float64)},
            terms={"hard": -(p * p.clamp(min=1e-6).log()).sum(dim=1).mean()},
        )

    def predict(self, x: Tensor) -> Tensor:
        """Mean of both."""
        return torch.stack([peer(x).softmax(dim=1) for peer in self.peers.values()]).mean(dim=0)


class DividedAlike(Divided):
    """The same without batch norm."""

    network = staticmethod(lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, K)))


def toy_session(method: type[Method], posterior: bool = False, **settings) -> Session:
    """A session of a method, the same each time."""
    usual = {"batch_size": 4, "epochs": 3, "lr": 0.1, "weight_decay": 0.01}
    own = method.Settings(**(usual | settings))
    images, problem = ToyImages(), Problem(K, N, (4, 4, 1))
    splits = Splits(
        TrainSamples(images, EVERYONE, Y, Y), None, Labelled(images, EVERYONE, None, Y), {}
    )
    execution = Execution(tracking=False, posterior=posterior, channels_last=False)
    return open_session(method, own, execution, Processes(), problem, splits)


class StopAt:
    """Saves and stops after a number of steps of the run; never for None."""

    def __init__(self, session: Session, number: int | None) -> None:
        self._session, self._left = session, number

    def save_now(self) -> bool:
        """Whether the step is the one."""
        if self._left is not None:
            self._left -= 1
        return self._left == 0

    def save(self) -> None:
        """Save, and end."""
        save_checkpoint(self._session, KEY)
        raise Interrupted("stopped", 15)


def to_the_end(session: Session, stop_at: int | None = None) -> bool:
    """Run a session until it ends or is stopped; returns whether it ended."""
    try:
        list(run_epochs(session, StopAt(session, stop_at)))
    except Interrupted:
        return False
    return True


def everything(session: Session) -> dict[str, object]:
    """All that a run leaves: weights, buffers, optimiser, records and what was observed."""
    optimizer = session.optimizer.state_dict()
    records = [
        {name: value for name, value in record.items() if name != "seconds"}
        for record in session.progress.records
    ]
    return {
        "method": dict(session.method.state_dict()),
        "moments": optimizer["state"],
        "groups": optimizer["param_groups"],
        "records": records,
        "samples": session.ledger.samples(),
        "ledger": session.ledger.state(),
    }
