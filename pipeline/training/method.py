"""The contract of a method: `forward(batch)`, `predict(images)` and optional hooks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from pipeline.config import RunSettings
from pipeline.encoders.encoder import Encoder
from pipeline.training.context import Context, Knowledge
from pipeline.training.gather import ALONE, Chosen, Gather
from pipeline.training.phases import WHOLE, Phase


class Partners(NamedTuple):
    """Images and labels drawn independently of a batch, and of each other.

    Args:
        views: float32 [B, C, H, W] each, in the order of `Method.partner_views`.
        y_noisy: int64 [B], given labels; of other samples than the images.
    """

    views: tuple[Tensor, ...]
    y_noisy: Tensor


@dataclass(frozen=True)
class Batch:
    """What one process sees of one step.

    Args:
        views: float32 [B, C, H, W] each, in the order of `Method.views`.
        y_noisy: int64 [B], the given labels.
        index: int64 [B], positions among the training samples, in [0, n_train).
        gather: joins what the processes have of this step.
        partners: where the method names `partner_views`.
        parts: where the phase has streams, the batch of each by name; the main one is this batch.
        seed: of what is drawn once for the whole step: the same on all processes, see `Mixing`.
        done: share of the steps of the phase that lie behind, in [0, 1).
    """

    views: tuple[Tensor, ...]
    y_noisy: Tensor
    index: Tensor
    gather: Gather = ALONE
    partners: Partners | None = None
    parts: Mapping[str, Batch] = field(default_factory=dict)
    seed: int = 0
    done: float = 0.0

    @property
    def x(self) -> Tensor:
        """The first view."""
        return self.views[0]

    def part(self, chosen: Chosen) -> Batch:
        """Samples of this step that were chosen, as a batch with a `gather` of its own.

        Args:
            chosen: by `gather.chosen`.

        Returns:
            Those of this process, without partners and parts; where one of several processes has
            none, one that does not count.
        """
        rows, gather = chosen.own, chosen.gather
        views = tuple(view[rows] for view in self.views)
        y_noisy, index = self.y_noisy[rows], self.index[rows]
        return Batch(views, y_noisy, index, gather, seed=self.seed, done=self.done)


class StepOutput(NamedTuple):
    """What a method returns for a batch.

    Args:
        loss: scalar, the mean over the batch of this process.
        logits: [B, K] on the first view, from which training dynamics are recorded: those of the
            prediction that the method stands for, so joint ones of several networks. Where the
            phase has streams, of each that is to be recorded, by its name. None if the method
            predicts no classes while it trains.
        scalars: further named scalars, averaged over the steps of the epoch that have them, and
            stored.
        coupled: scalar to be added to the loss, of the batch of all processes: a function of what
            `batch.gather` joined, the same on each of them.
        terms: scalars to be added to the loss, by the stream over whose part of this process each
            is a mean. What is a mean over a part does not belong in `loss`: processes may have
            different shares of different parts.
        learns: False for a batch from which nothing is to be learned: no weight moves, nor
            momentum, nor decays a weight, and the step counts all the same. Alike on all processes.
            Of a tensor, bool [], the host asks once the gradients are on their way.
    """

    loss: Tensor
    logits: Tensor | Mapping[str, Tensor] | None
    scalars: dict[str, Tensor]
    coupled: Tensor | None = None
    terms: Mapping[str, Tensor] | None = None
    learns: bool | Tensor = True

    @property
    def total(self) -> Tensor:
        """The loss with the coupled term but without those of streams, detached."""
        loss = self.loss.detach()
        return loss if self.coupled is None else loss + self.coupled.detach()


class Problem(NamedTuple):
    """What a method is built for: the sizes of the data, and the weights it starts from."""

    n_classes: int
    n_train: int
    image_shape: tuple[int, int, int]
    """Height, width, channels."""
    mean: tuple[float, ...] = (0.0,)
    """Per channel, subtracted from pixels / 255 in all views."""
    std: tuple[float, ...] = (1.0,)
    """Per channel, divided by."""
    start: Encoder | None = None
    """Encoder that `start_from` names."""
    encoder: Encoder | None = None
    """Frozen encoder that the setting `encoder` of a method names; the field is marked NOT_IN_KEY,
    because what the name stands for is in the key."""


class Method(nn.Module):
    """A way of training under noisy labels.

    To add one, write `methods/NAME.py` with one subclass and `run_script(Subclass)` under
    `if __name__ == "__main__"`. Nothing else is needed: without a file of recipes it runs on the
    defaults of its settings, and the contract tests find it by themselves.

    A subclass in `methods/NAME.py` declares its settings and version, builds its networks in
    `__init__(settings, problem)` and implements `forward` and `predict`. State per training sample
    is registered as buffers `[n_train, ...]`, so that checkpoints hold it.

    What a method may ask for besides, each with an example in docs/method_parts.md:

    - an epoch in phases (`phases`, `phase_start`), each on streams of its own (`Phase`, `Stream`);
    - several networks (`pipeline.training.peers`), trained together or one phase each;
    - parameter groups with options of their own, restarts, frozen parts, parameters per sample;
    - mixture fits on statistics of the samples (`pipeline.noise.estimation.mixture`);
    - mixing of inputs and targets (`pipeline.training.mixing`).
    """

    Settings: ClassVar[type[RunSettings]] = RunSettings
    """Settings class; its fields become the flags of the script."""
    VERSION: ClassVar[int] = 1
    """Part of every key: raised when the same settings give other numbers."""
    knows: ClassVar[frozenset[Knowledge]] = frozenset()
    """Knowledge beyond the noisy labels that the method may use; see `knowledge`."""
    makes_encoder: ClassVar[bool] = False
    """Whether the purpose of the method is an encoder: its weights are always kept, and its
    features are used at unit length."""
    views: tuple[str, ...] = ("weak",)
    """Views of each image that a batch holds: plain, strong, embedding or one of `AUGMENTATIONS`
    (pipeline/data/images/augmentation.py), such as weak. Instances may override this according to
    their settings."""
    partner_views: tuple[str, ...] = ()
    """Views of further images that come with a batch, see `Partners`."""
    predict_views: tuple[str, ...] = ("plain",)
    """Views that `predict` takes: plain or embedding. It runs in the precision of the run."""

    @classmethod
    def variant(cls, settings: RunSettings) -> str:
        """Short name of the method under these settings, for tables (such as the loss)."""
        del settings
        return cls.name()

    @classmethod
    def knowledge(cls, settings: RunSettings) -> frozenset[Knowledge]:
        """What of `knows` the method uses under these settings: what tables mark."""
        del settings
        return cls.knows

    @classmethod
    def name(cls) -> str:
        """File name of the method without ending."""
        return inspect.getfile(cls).rsplit("/", 1)[-1].removesuffix(".py")

    @classmethod
    def n_networks(cls, settings: RunSettings) -> int:
        """How many networks `predict` joins, a column of the runs table."""
        del settings
        return 1

    def forward(self, batch: Batch) -> StepOutput:
        """Loss of a batch; subclasses implement it."""
        raise TypeError(f"{type(self).__name__} lacks forward(batch)")

    # Typed so that a subclass may name the views it takes.
    def predict(self, *views: Any, **_: Any) -> Tensor:
        """Class probabilities [B, K] from the `predict_views`; subclasses implement it."""
        raise TypeError(f"{type(self).__name__} lacks predict(images)")

    def encoder_state(self) -> dict[str, Tensor] | None:
        """Weights that an encoder made from this run consists of; a method without gives None."""
        return None

    def memory(self) -> dict[str, Tensor]:
        """What `predict` looks up besides parameters and buffers, such as features of samples.

        A model that a run keeps holds it, and hands it to `remember`.
        """
        return {}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Predict from now on with what `memory` of another module of this kind returned."""

    def idle_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters to be trained that take no part in the loss of the current epoch."""
        return ()

    def parameter_groups(self) -> list[dict[str, object]]:
        """Parameter groups for the optimiser.

        Returns:
            Dictionaries with `params` and, where a group differs from the run's settings:
            name: by which a `Phase` speaks of it;
            lr, schedule: instead of those of the run;
            lr_factor: times the rate of the schedule;
            from_epoch, over_epochs: epoch from which the schedule counts, and its length instead of
            `epochs`: how a schedule is restarted;
            momentum, betas, weight_decay: as in torch;
            optimizer: sgd or adam; a phase may change it where the group names one;
            clipped: False for gradients that `clip_norm` leaves alone;
            per_sample: True for parameters [n_train, ...] of which a step moves the rows of its
            samples. They are trained by SGD at a constant rate without momentum, weight decay and
            clipping unless the group says otherwise, and averaged weights leave them out. Their
            gradient is that of the mean over the global batch: a rate means a batch size.
        """
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def start(self, context: Context) -> None:
        """Called once before the first step of a run (again after a resume)."""

    def epoch_start(self, context: Context) -> None:
        """Called before each epoch (again when a resume enters the middle of one)."""

    def phases(self, context: Context) -> tuple[str, ...]:
        """Names of the phases of the epoch, one after the other; called after `epoch_start`."""
        del context
        return (WHOLE,)

    def phase_start(self, context: Context) -> Phase:
        """Called before each phase (again when a resume enters the middle of one); see `Phase`.

        `context.phase` is its name. What a phase is derived from must be in buffers where
        `context.resumed` says that the weights have moved on.
        """
        del context
        return Phase()

    def step_end(self, context: Context) -> None:
        """Called after each optimiser step."""

    def epoch_end(self, context: Context) -> None:
        """Called after the last step of each epoch, before evaluation."""

    def members(self) -> Mapping[str, Callable[..., Tensor]]:
        """Networks whose test accuracy is recorded beside that of `predict`, by name.

        Returns:
            Functions like `predict`: the epoch has a scalar `test_accuracy_NAME` for each.
        """
        return {}

    def corrected_labels(self) -> Tensor | None:
        """Labels int64 [n_train] that the method itself settled on; None if it does not."""
        return None
