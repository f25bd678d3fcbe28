"""Training with a regulariser between the representations of one batch: the RRR system.

    uv run accelerate launch methods/representation_regularization.py --loss gce
    uv run accelerate launch methods/representation_regularization.py --start-from simclr-digits

Cheng, Zhu, Sun, Liu: Mitigating Memorization of Noisy Labels via Regularization between
Representations (ICLR 2023, arXiv 2110.09022). With one weak view v0 and two strong views v1, v2 of
an image, encoder f, classifier z and projection head g, a step minimises

    base_weight base(z(v0), y) + info_nce_weight InfoNCE(g(v1), g(v2))
        + reg_weight Reg(z(v0), g(v0))

Reg asks distances (rkd_dis) or angles (rkd_angle) between outputs to follow those between
projections. Both pair terms are taken over the batch of all processes. Any loss of methods/losses
can be the base, also without the other terms (`--regulariser none`).

Where the authors' code and paper differ, or the code does what it does not mean to:
  --pair-mean offdiag    divides by the pairs of different samples (paper), all by B^2 (code);
  --detach-teacher True  the regulariser gives the projections no gradient; in the code it does;
  --clamp 0, --eps 0     losses without a floor inside powers and logarithms, as in the code;
  --hoc-returns last     the last T that was tried (code) instead of the best one;
  --estimate-in-train-mode True
                         T is estimated on augmented images with batch statistics (code);
  --extra-views-in-baseline True
                         runs without pair terms pass the strong views as well, which moves the
                         running statistics of batch norm (the ELR and CIFAR-100 scripts).
ELR's targets have as many columns as there are classes; the code crashes on CIFAR-10.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from methods import losses
from methods.losses.choice import Choices, EpochLoss, EveryLossSettings, completed
from methods.losses.common import at_least_single
from pipeline.backbones import make_backbone
from pipeline.backbones.heads import projection_head
from pipeline.config import RunSettings
from pipeline.encoders.start import load_into, load_projection, network_state
from pipeline.errors import LabError
from pipeline.noise.estimation.anchor import anchor_transition
from pipeline.noise.estimation.hoc import estimate
from pipeline.runs.script import run_script
from pipeline.training.context import Context
from pipeline.training.method import Batch, Method, Problem, StepOutput

REGULARISERS: Choices = {
    "none": {},
    "rkd_dis": {
        "reg_weight": 1.0,
        "w_feature": 2.0,
        "w_output": 1.0,
        "pair_mean": "all",
        "detach_teacher": False,
    },
    "rkd_angle": {"reg_weight": 1.0, "detach_teacher": False},
}
"""Parameters of each regulariser and their defaults, those of the authors' code."""
PAIR_TERMS: Choices = {
    "with pair terms": {"projection_norm": "batch", "warmup_reg": None},
    "without pair terms": {"extra_views_in_baseline": False},
}
"""What means something with regulariser or self-supervised term, and what without both."""
SELF_SUPERVISED: Choices = {
    "with self-supervised term": {"temperature": 0.5},
    "without self-supervised term": {},
}
TRANSITIONS = ("forward", "hoc")
"""Losses that estimate T."""


class RrrSettings(EveryLossSettings):
    """Settings of RRR; a parameter left at None takes the default of what it belongs to."""

    drop_last: bool = True
    """Leave out the last batch of an epoch where it is smaller: its pair terms mean another."""
    base_weight: float = Field(1.0, ge=0)
    """Weight of the base loss."""
    warmup_base: int | None = Field(None, ge=0, le=100_000)
    """Last epoch, from 0, in which cross entropy stands for the base loss; None for no such."""
    regulariser: Literal["none", "rkd_dis", "rkd_angle"] = "rkd_dis"
    """What ties outputs to projections: their distances, their angles, or nothing."""
    reg_weight: float | None = Field(None, ge=0)
    """Weight of the regulariser (lambda)."""
    w_feature: float | None = Field(None, gt=0)
    """Exponent of the distances between projections in rkd_dis."""
    w_output: float | None = Field(None, gt=0)
    """Exponent of the distances between outputs in rkd_dis."""
    pair_mean: Literal["all", "offdiag"] | None = None
    """Mean of rkd_dis over all B^2 pairs, or over those of different samples."""
    detach_teacher: bool | None = None
    """Whether the regulariser leaves the projections without gradient."""
    info_nce_weight: float | None = Field(None, ge=0)
    """Weight of the self-supervised term; by default 1 beside a regulariser, else 0."""
    temperature: float | None = Field(None, gt=0)
    """Temperature of the self-supervised term."""
    warmup_reg: int | None = Field(None, ge=0, le=100_000)
    """Last epoch, from 0, without regulariser and self-supervised term; None for no such."""
    projection_norm: Literal["batch", "layer"] | None = None
    """Normalisation in the projection head; layer norm does not couple the samples of a process."""
    extra_views_in_baseline: bool | None = None
    """Whether strong views pass the network although no term looks at them."""
    tune: Literal["all", "fc"] = "all"
    """What trains: everything, or the linear classifier on a fixed encoder."""

    @model_validator(mode="before")
    @classmethod
    def _complete_terms(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in the parameters of the terms in use; refuse those of others."""
        regulariser = values.get("regulariser", cls.model_fields["regulariser"].default)
        done = completed(values, "regulariser", regulariser, REGULARISERS)
        fixed = done.get("tune") == "fc"
        weight = done.setdefault("info_nce_weight", float(regulariser != "none" and not fixed))
        term = "with" if weight else "without"
        done = completed(done, "a run", f"{term} self-supervised term", SELF_SUPERVISED)
        terms = "with" if weight or regulariser != "none" else "without"
        return completed(done, "a run", f"{terms} pair terms", PAIR_TERMS)

    @model_validator(mode="after")
    def _something_to_train(self) -> Self:
        if self.tune == "fc" and self.info_nce_weight:
            raise LabError(
                f"info_nce_weight {self.info_nce_weight:g} at tune fc, which trains the classifier",
                "0",
                "info_nce_weight: 0",
            )
        return self

    @property
    def has_pair_terms(self) -> bool:
        """Whether the loss has a regulariser or a self-supervised term."""
        return self.regulariser != "none" or bool(self.info_nce_weight)


class RepresentationRegularization(Method):
    """A network whose outputs keep the distances of its self-supervised representation."""

    Settings = RrrSettings
    VERSION: ClassVar[int] = 1
    targets: Tensor
    transition: Tensor
    epoch_loss: EpochLoss

    def __init__(self, settings: RrrSettings, problem: Problem) -> None:
        super().__init__()
        self.settings = settings
        n_classes, n_channels = problem.n_classes, problem.image_shape[2]
        self.network = make_backbone(settings.backbone, n_classes, n_channels)
        self.projection: nn.Module | None = None
        if settings.has_pair_terms:
            norm = settings.projection_norm or "batch"
            self.projection = projection_head(self.network.n_features, norm=norm)
        self._take_over(problem)
        trains_all = settings.tune == "all"
        for name, parameter in self.named_parameters():
            own = name.removeprefix("network.")
            parameter.requires_grad_(trains_all or self.network.in_classifier(own))
        if settings.extra_views_in_baseline or (settings.has_pair_terms and trains_all):
            self.views = ("weak", "strong", "strong")
        if settings.loss == "peer":
            self.partner_views = ("weak",)
        if settings.loss == "elr":
            self.register_buffer("targets", torch.zeros(problem.n_train, n_classes))
        if settings.loss in TRANSITIONS:
            self.register_buffer("transition", torch.zeros(n_classes, n_classes))
        self.base: str = settings.loss
        self.regularising = False

    def _take_over(self, problem: Problem) -> None:
        """Start from the weights that `start_from` names: encoder, and the heads it has."""
        settings, start = self.settings, problem.start
        has_classifier = start is not None and bool(start.part("classifier"))
        load_into(self.network, start, settings.backbone, classifier=has_classifier)
        if start is not None and self.projection is not None:
            load_projection(self.projection, start)
        warm = has_classifier if settings.loss == "forward" else start is not None
        if settings.loss in TRANSITIONS and settings.warmup_base is None and not warm:
            raise LabError(
                f"loss {settings.loss} estimates T from the network, which is still random",
                "a warm start, or epochs of cross entropy before",
                "--start-from ENTRY of a run that trained a classifier, or --warmup-base 9",
            )

    @classmethod
    def variant(cls, settings: RunSettings) -> str:
        """The base loss, what is added to it, and whether the encoder is fixed: ce+rkd_dis."""
        assert isinstance(settings, RrrSettings)
        terms: list[str] = [settings.loss]
        if settings.regulariser != "none":
            terms.append(settings.regulariser)
        elif settings.info_nce_weight:
            terms.append("info_nce")
        return "+".join(terms) + ("-fc" if settings.tune == "fc" else "")

    def train(self, mode: bool = True) -> Self:
        """A fixed encoder stays in evaluation mode: its running statistics are fixed, too."""
        return super().train(mode and self.settings.tune == "all")

    def epoch_start(self, context: Context) -> None:
        """Set what changes with the epoch, and estimate T where its use begins."""
        settings, epoch = self.settings, context.epoch
        first = 0 if settings.warmup_base is None else settings.warmup_base + 1
        self.base = settings.loss if epoch >= first else "ce"
        self.regularising = settings.has_pair_terms and (
            settings.warmup_reg is None or epoch > settings.warmup_reg
        )
        parameters = settings.parameters() if epoch >= first else {}
        name: str = self.base
        if name in TRANSITIONS:
            name, parameters = "forward_correction", {"eps": settings.eps}
            # In the middle of an epoch the weights have moved on: T is the stored one.
            if epoch == first and not context.resumed:
                self.transition.copy_(self._estimated(context))
        self.epoch_loss = EpochLoss(name, parameters, context)

    def _estimated(self, context: Context) -> Tensor:
        """T from anchor points or high-order consensus, the same on all processes."""
        settings, anchors = self.settings, self.base == "forward"
        in_train_mode = bool(settings.estimate_in_train_mode)
        rows = context.predict_train(
            augmented=in_train_mode,
            function=self.predict if anchors else self.network.features,
            training=in_train_mode,
        )

        def matrix() -> Tensor:
            if anchors:
                return torch.from_numpy(anchor_transition(rows.double().cpu().numpy()))
            found = estimate(
                rows,
                context.y_noisy.cpu().numpy(),
                context.n_classes,
                rounds=settings.hoc_rounds or 1,
                sample=settings.hoc_sample or 3,
                steps=settings.hoc_steps or 1,
                seed=context.method_seed("hoc"),
                returns=settings.hoc_returns or "best",
            )
            return torch.from_numpy(found.T)

        return context.from_main(matrix, self.transition)

    def idle_parameters(self) -> list[nn.Parameter]:
        """The projection head, while no term passes a gradient to it."""
        learns = self.settings.info_nce_weight or not self.settings.detach_teacher
        if self.projection is None or (self.regularising and learns):
            return []
        return [parameter for parameter in self.projection.parameters() if parameter.requires_grad]

    def forward(self, batch: Batch) -> StepOutput:
        """Loss and logits of a batch."""
        features = self.network.features(batch.x)
        logits = self.network.classify(features)
        contrasts = self.regularising and bool(self.settings.info_nce_weight)
        # What no term looks at moves the running statistics of batch norm alone.
        with torch.set_grad_enabled(contrasts and torch.is_grad_enabled()):
            others = [self.network.features(view) for view in batch.views[1:]]
        loss, coupled = self._base_term(logits, batch)
        if self.regularising:
            coupled |= self._pair_terms(logits, features, others, batch)
        scalars = {"base_loss": loss} | coupled if self.projection is not None else {}
        total = torch.stack(list(coupled.values())).sum() if coupled else None
        return StepOutput(loss, logits, scalars, total)

    def _base_term(self, logits: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted base loss: as a mean over this process, or of the batch of all processes."""
        weight = self.settings.base_weight if self.base == self.settings.loss else 1.0
        y, index, gather = batch.y_noisy, batch.index, batch.gather.rows
        state: dict[str, Tensor] = {}
        match self.base:
            case "dmi":
                value = self.epoch_loss(gather(at_least_single(logits)), gather(y), gather(index))
                return value.new_zeros(()), {"base_loss": weight * value}
            case "elr":
                loss, moved = self.epoch_loss(logits, y, index, target=self.targets[index])
                # A sample is on another process in the next epoch: all keep all targets.
                self.targets[gather(index)] = gather(moved).to(self.targets)
                return weight * loss, {}
            case "peer":
                if batch.partners is None:
                    raise ValueError("peer loss of a batch without partners")
                peer_logits = self.network(batch.partners.views[0])
                state = {"peer_logits": peer_logits, "y_peer": batch.partners.y_noisy}
            case "forward" | "hoc":
                state = {"transition": self.transition}
        return weight * self.epoch_loss(logits, y, index, **state), {}

    def _pair_terms(
        self, logits: Tensor, features: Tensor, others: list[Tensor], batch: Batch
    ) -> dict[str, Tensor]:
        """Weighted self-supervised term and regulariser over the batch of all processes."""
        assert self.projection is not None
        settings, gather = self.settings, batch.gather.rows
        # In the order of the views, in which batch norm takes them in.
        projected = [self.projection(rows) for rows in (features, *others)]
        first, *strong = [gather(at_least_single(rows)) for rows in projected]
        terms = {}
        if settings.info_nce_weight:
            info_nce = losses.info_nce(*strong, temperature=settings.temperature or 0.5)
            terms["info_nce"] = settings.info_nce_weight * info_nce
        if settings.regulariser != "none":
            own = {name: getattr(settings, name) for name in REGULARISERS[settings.regulariser]}
            weight = own.pop("reg_weight")
            regulariser = getattr(losses, settings.regulariser)
            terms["regulariser"] = weight * regulariser(
                gather(at_least_single(logits)), first, **own
            )
        return terms

    def predict(self, images: Tensor) -> Tensor:
        """Softmax of the network."""
        return self.network(images).softmax(dim=1)

    def encoder_state(self) -> dict[str, Tensor]:
        """The network with its classifier, and the projection head where there is one."""
        return network_state(self.network, self.projection)


if __name__ == "__main__":
    run_script(RepresentationRegularization)
