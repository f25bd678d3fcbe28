"""Label diffusion with labels retrieved from neighbours: LRA-Diffusion.

    uv run accelerate launch methods/lra_diffusion.py
    uv run accelerate launch methods/lra_diffusion.py --dataset cifar10 --recipe paper

Chen et al.: Label-Retrieval-Augmented Diffusion Models for Learning from Noisy Labels (NeurIPS
2023, arXiv 2305.19518). A diffusion process over the one-hot label: y_t = sqrt(abar_t) y_0
+ sqrt(1 - abar_t) e. A small head predicts e from y_t, t, the features of an image encoder that is
trained along, and frozen features f_p of another encoder. The label y_0 is drawn, each time anew,
from those of the k nearest training images by f_p and the given one; the loss weighs a sample by
the number of candidates that agree with it. Predictions run the image encoder once and the head in
a few deterministic steps from y = 0; the class is the one whose entry comes nearest to 1.
Mathematics: pipeline/diffusion/. Neighbours: pipeline/encoders/neighbours.py.

Where the authors' code, its history and the paper differ, and which switch gives which:
  --image-encoder trained       trained with the head, as until May 2023 and as in the scripts for
                                Clothing1M and WebVision; running statistics at test time;
  --image-encoder head_2023_05  as since then in the scripts for CIFAR and Food-101N: it keeps its
                                first weights and normalises by the batch, at test time too;
  --image-encoder fixed         keeps its first weights (--start-from) and is in evaluation mode;
  --beta-schedule linear        until May 2023; cosine since;
  --no-weighted                 all samples weigh the same (Clothing1M, WebVision);
  --no-append-own               k + 1 nearest training images, the image itself usually among them
                                (Food-101N); otherwise k nearest, itself among them where features
                                are cached, and the given label once more (all other scripts);
  --query re-encoded            f_p of the augmented image, computed in each step;
  --clip-separately             head and image encoder have a limit each (Clothing1M, WebVision).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import one_hot

from pipeline.backbones import make_backbone
from pipeline.config import NOT_IN_KEY, RunSettings
from pipeline.data.randomness import sample_normals, sample_uniforms
from pipeline.diffusion.denoiser import NoisePredictor
from pipeline.diffusion.noise_schedule import ddim_times, make_schedule
from pipeline.diffusion.process import class_probabilities, ddim_sample, mirrored, q_sample
from pipeline.diffusion.retrieval import candidates, label_shares, take
from pipeline.encoders.embeddings import encoded
from pipeline.encoders.neighbour_table import neighbour_table
from pipeline.encoders.neighbours import NeighbourSearch
from pipeline.encoders.start import load_into
from pipeline.errors import LabError
from pipeline.files import cache_folder
from pipeline.runs.script import run_script
from pipeline.training.context import Context
from pipeline.training.method import Batch, Method, Problem, StepOutput


class LraDiffusionSettings(RunSettings):
    """Settings of label diffusion."""

    encoder: str = Field("simclr-digits", json_schema_extra=NOT_IN_KEY)
    """Encoder (params.yaml: encoders) of the frozen features f_p."""
    embedding_dtype: Literal["float32", "float16"] = "float32"
    """Precision in which features f_p are cached."""
    query: Literal["cached", "re-encoded"] = "cached"
    """Features f_p while training: of the plain image, or of the augmented one in each step."""
    k: int = Field(10, ge=1, le=10_000)
    """Neighbours whose labels are candidates, 1 to 10,000."""
    append_own: bool = True
    """Add the given label to those of the k nearest; if not, take the k + 1 nearest."""
    weighted: bool = True
    """Weigh samples by how many candidates agree with the label that was drawn."""
    f_q: Literal["none", "neighbours"] = "none"
    """Mean that the process ends at: 0, or each class's share of the neighbours' labels."""
    beta_schedule: Literal["cosine", "linear"] = "cosine"
    """How much noise each diffusion step adds."""
    n_steps: int = Field(1000, ge=2, le=100_000)
    """Diffusion steps of the training, 2 to 100,000."""
    ddim_steps: int = Field(10, ge=1, le=100_000)
    """Steps of a prediction; a divisor of n_steps, smaller than it."""
    width: int = Field(512, ge=1, le=2**16)
    """Length of the image features and of the head's hidden layers, 1 to 65,536."""
    inner_width: int | None = Field(None, ge=1, le=2**16)
    """Length between the two last linear layers of the image encoder; None for one such layer."""
    image_encoder: Literal["trained", "fixed", "head_2023_05"] = "trained"
    """Whether the image encoder (backbone) is trained with the head, kept as it starts, or kept and
    normalising by the batch at all times, as the authors' scripts for CIFAR do since May 2023."""
    drop_last: bool = Field(True, json_schema_extra={"as_before": True})
    """Leave out the last batch of an epoch where it is smaller than the others."""

    @model_validator(mode="after")
    def _steps_divide(self) -> Self:
        ddim_times(self.ddim_steps, self.n_steps)
        return self


class Draws(NamedTuple):
    """What is drawn for the samples of a batch.

    Args:
        position: int64 [B], which candidate is the label.
        t: int64 [B], diffusion steps.
        noise: float32 [B, K], standard normal.
    """

    position: Tensor
    t: Tensor
    noise: Tensor


class LraDiffusion(Method):
    """A label diffusion model: head, image encoder, and where the labels are retrieved from."""

    Settings = LraDiffusionSettings
    VERSION: ClassVar[int] = 1
    predict_views = ("plain", "embedding")

    _mean: Tensor
    _std: Tensor

    def __init__(self, settings: LraDiffusionSettings, problem: Problem) -> None:
        super().__init__()
        if problem.encoder is None:
            raise LabError(
                "lra_diffusion without an encoder",
                "the name of an entry of the encoders block of params.yaml",
                "--encoder NAME",
            )
        if settings.query == "re-encoded" and not problem.encoder.card.has_network:
            raise LabError(
                f"query re-encoded with encoder {problem.encoder.card.name}, a table of embeddings "
                "without a network",
                "an encoder that can embed augmented images",
                "--query cached",
            )
        self.settings, self.n_classes = settings, problem.n_classes
        cached = settings.query == "cached"
        self.views = ("weak", "embedding") if cached else ("weak",)
        # In a tuple, so that the frozen encoder is no part of the module and of its checkpoints.
        self._frozen = (problem.encoder,)
        n_features = problem.encoder.card.n_features
        self.head = NoisePredictor(self.n_classes, n_features, settings.width, settings.n_steps)
        self.image_encoder = _image_encoder(settings, problem)
        self.image_encoder.requires_grad_(settings.image_encoder == "trained")
        self.schedule = make_schedule(settings.beta_schedule, settings.n_steps)
        self.register_buffer("_mean", torch.tensor(problem.mean)[:, None, None], persistent=False)
        self.register_buffer("_std", torch.tensor(problem.std)[:, None, None], persistent=False)

    def parameter_groups(self) -> list[dict[str, object]]:
        """The head and, where it is trained, the image encoder."""
        modules = (self.head, self.image_encoder)
        groups = [[p for p in module.parameters() if p.requires_grad] for module in modules]
        return [{"params": group} for group in groups if group]

    def train(self, mode: bool = True) -> Self:
        """Set the mode, but for an image encoder that is not trained."""
        super().train(mode)
        if self.settings.image_encoder != "trained":
            self.image_encoder.train(self.settings.image_encoder == "head_2023_05")
        return self

    def start(self, context: Context) -> None:
        """Find or load the neighbours of the training samples."""
        self._y_noisy = context.y_noisy
        bank = context.predict_train(views=("embedding",), function=lambda f_p: f_p)
        if self.settings.query == "cached":
            digest = hashlib.sha256(bank.cpu().numpy().data).hexdigest()
            table = neighbour_table(
                cache_folder() / "neighbours", digest, bank, self._n_nearest, exclude_self=False
            )
            self._neighbours = torch.tensor(table.row, device=bank.device)
        if self.settings.query == "re-encoded" or self.settings.f_q != "none":
            self.remember({"features": bank, "labels": context.y_noisy})

    def memory(self) -> dict[str, Tensor]:
        """Features and given labels of the training samples, where f_q comes from them."""
        return {} if self.settings.f_q == "none" else self._memory

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Retrieve labels from these training samples."""
        self._memory, self._y_noisy = dict(memory), memory["labels"]
        self._search = NeighbourSearch(memory["features"], self._n_nearest)

    @property
    def _n_nearest(self) -> int:
        return self.settings.k + (not self.settings.append_own)

    def epoch_start(self, context: Context) -> None:
        """Seed what is drawn per sample."""
        self._seeds = {
            name: context.method_seed(name, context.epoch) for name in ("label", "step", "noise")
        }

    def forward(self, batch: Batch) -> StepOutput:
        """Loss of a batch; its logits are those of a prediction from the same image features."""
        f_p = self._features(batch)
        options = self._candidates(batch, f_p)
        f_q = label_shares(options, self.n_classes) if self.settings.f_q != "none" else None
        drawn = self._draw(batch, options.shape[1])
        label, n_agree = take(options, drawn.position)
        y_0 = one_hot(label, self.n_classes).float()
        y_t = q_sample(self.schedule, y_0, drawn.t, drawn.noise, f_q)
        h_x = self.image_encoder(batch.x)
        predicted = self.head(h_x, y_t, drawn.t, f_p).float()
        losses = (predicted - drawn.noise).square().mean(dim=1)
        agreement = n_agree.float()
        if self.settings.weighted:
            losses = losses * agreement / batch.gather.mean(agreement)
        scalars = {
            "retrieved_as_given": (label == batch.y_noisy).float().mean(),
            "agreement": agreement.mean() / options.shape[1],
        }
        return StepOutput(losses.mean(), self._training_logits(h_x, f_p, f_q), scalars)

    def _features(self, batch: Batch) -> Tensor:
        """f_p [B, D] of a training batch."""
        if len(batch.index) == 1:
            raise LabError(
                "a batch of one sample",
                "two or more per process, over which batch norm measures",
                "--drop-last, or another --batch-size",
            )
        if self.settings.query == "cached":
            return batch.views[1].float()
        pixels = batch.x * self._std + self._mean
        return encoded(self._frozen[0], pixels, self.settings.embedding_dtype).float()

    def _candidates(self, batch: Batch, f_p: Tensor) -> Tensor:
        """The labels to draw from, [B, k + 1]: looked up now, so that none is an old one."""
        if self.settings.query == "cached":
            rows = self._neighbours[batch.index].long()
        else:
            rows = self._search.nearest(f_p).row
        own = batch.y_noisy if self.settings.append_own else None
        return candidates(self._y_noisy[rows], own)

    def _draw(self, batch: Batch, n_candidates: int) -> Draws:
        """Draws that are a function of seed, epoch, sample and, for t, the batch of all processes.

        Steps come in pairs t and T - 1 - t. Which samples share one follows from their order in the
        training set, so that it is the same however the batch is spread over processes.
        """
        index, n_steps = batch.index, self.settings.n_steps
        everyone = batch.gather.rows(index).sort().values
        uniform = sample_uniforms(self._seeds["step"], everyone[: len(everyone) // 2 + 1], 1)
        t = mirrored((uniform[:, 0] * n_steps).long(), len(everyone), n_steps)
        position = sample_uniforms(self._seeds["label"], index, 1)[:, 0] * n_candidates
        noise = sample_normals(self._seeds["noise"], index, self.n_classes)
        return Draws(position.long(), t[torch.searchsorted(everyone, index)], noise)

    @torch.no_grad()
    def _training_logits(self, h_x: Tensor, f_p: Tensor, f_q: Tensor | None) -> Tensor:
        """Logits [B, K] of the present prediction; their softmax is that of `predict`."""
        self.head.eval()
        y = self._sample(h_x, f_p, f_q)
        self.head.train(self.training)
        return -(y - 1).square()

    def _sample(self, h_x: Tensor, f_p: Tensor, f_q: Tensor | None) -> Tensor:
        """A label [B, K] from the reverse process; it starts at f_q, and draws nothing."""
        # Not `len`, which an exported graph would hold as a constant.
        shape = h_x.shape[0], self.n_classes
        start = h_x.new_zeros(shape, dtype=torch.float32) if f_q is None else f_q
        h = self.head.norm(h_x)
        return ddim_sample(
            lambda y, t: self.head.denoised(h, y, t, f_p).float(),
            self.schedule, self.settings.ddim_steps, start, f_q,
        )  # fmt: skip

    def predict(self, images: Tensor, f_p: Tensor) -> Tensor:
        """Softmax of -(y - 1)^2, float64, of a sampled label y: largest where y is nearest to 1."""
        f_p, f_q = f_p.float(), None
        if self.settings.f_q != "none":
            rows = self._search.nearest(f_p).row[:, : self.settings.k]
            f_q = label_shares(self._y_noisy[rows], self.n_classes)
        return class_probabilities(self._sample(self.image_encoder(images), f_p, f_q))


def _image_encoder(settings: LraDiffusionSettings, problem: Problem) -> nn.Module:
    """The backbone with one linear layer in place of its classifier, or two, without activation."""
    n_out = settings.inner_width or settings.width
    backbone = make_backbone(settings.backbone, n_out, n_channels=problem.image_shape[2])
    load_into(backbone, problem.start, settings.backbone)
    if settings.inner_width is None:
        return backbone
    return nn.Sequential(backbone, nn.Linear(settings.inner_width, settings.width))


if __name__ == "__main__":
    run_script(LraDiffusion)
