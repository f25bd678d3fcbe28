"""Where encoders come from: the models behind the `encoders` block of params.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from pipeline.config import STRICT, validated_kind
from pipeline.errors import LabError, quoted, suggest
from pipeline.names import checked_name


class RunEncoder(BaseModel):
    """A run of a method made here, whose weights are kept.

    All further keys are settings of the method. What is left out of dataset, noise and seed is that
    of the run that asks for the encoder.
    """

    model_config = ConfigDict(**(STRICT | ConfigDict(extra="allow")))

    kind: Literal["run"] = "run"
    method: str
    """File name of the method."""
    dataset: str | None = None
    """Data set that it learns from."""
    noise: str | None = None
    """Label table that it learns from."""
    seed: int | None = Field(None, ge=0)
    """Root seed of the run."""

    @property
    def is_closed(self) -> bool:
        """Whether the entry names all it needs, so that it means one encoder."""
        return None not in (self.dataset, self.noise, self.seed)

    @property
    def explicit(self) -> dict[str, Any]:
        """The settings that the entry gives."""
        place = {name: getattr(self, name) for name in ("dataset", "noise", "seed")}
        given = {name: value for name, value in place.items() if value is not None}
        return given | (self.model_extra or {})


class _Imported(BaseModel):
    model_config = STRICT

    unit_length: bool = False
    """Whether features are scaled to length 1."""


class _Network(_Imported):
    antialias: bool = True
    """Bicubic resize as PIL does it; false for that of tensors, as old torchvision versions do."""


class TimmEncoder(_Network):
    """A model of the timm library with its published weights."""

    kind: Literal["timm"] = "timm"
    model: str
    """Name with tag, such as resnet50.tv_in1k or vit_large_patch14_clip_quickgelu_224.openai."""
    weights: str = "hub"
    """`hub` to download them, or a file: .safetensors, or .pt and .pth (read without pickle)."""
    projection: bool | None = None
    """Whether features are the output of the last layer, as the image embedding of CLIP is; None
    for: of CLIP models that were not fine-tuned to classify."""


class SimclrEncoder(_Network):
    """A checkpoint in the layout of the public SimCLR codes for CIFAR (f.* and g.*)."""

    kind: Literal["simclr"] = "simclr"
    path: str
    """The file."""
    network: Literal["resnet18", "resnet34", "resnet50"]
    """Which ResNet with the 32-pixel stem it holds."""
    normalisation: Literal["cifar10", "cifar100", "imagenet"] = "cifar10"
    """Channel means and deviations it was trained with."""
    external: bool = False
    """Whether it was trained on images beyond those of the data set."""
    unit_length: bool = True
    """Whether features are scaled to length 1."""


class CcEncoder(_Network):
    """A checkpoint of the CC network for Clothing1M: ResNet-50 and a linear layer to 128."""

    kind: Literal["cc"] = "cc"
    path: str
    """The file."""


class EmbeddingsEncoder(_Imported):
    """Features that were computed elsewhere: tables without the network that made them."""

    kind: Literal["embeddings"] = "embeddings"
    files: dict[str, str] = Field(min_length=1)
    """Split of the data set -> .npy, .npz or .pt file, floating [N, D], whose row i belongs to
    image i."""


NetworkSpec = TimmEncoder | SimclrEncoder | CcEncoder
ImportedSpec = NetworkSpec | EmbeddingsEncoder
EncoderSpec = Annotated[RunEncoder | ImportedSpec, Field(discriminator="kind")]

_KINDS: dict[str, type[BaseModel]] = {
    "run": RunEncoder,
    "timm": TimmEncoder,
    "simclr": SimclrEncoder,
    "cc": CcEncoder,
    "embeddings": EmbeddingsEncoder,
}


def parse_encoder(values: object, where: str) -> EncoderSpec:
    """The checked model of one entry of the `encoders` block.

    Args:
        values: the entry as read from params.yaml.
        where: what it belongs to, for the error.

    Returns:
        One of the models of `EncoderSpec`.

    Raises:
        LabError: for an unknown kind, an unknown key or a value out of range.
    """
    example = "{kind: run, method: simclr, noise: clean, seed: 0}; others: docs/encoders.md"
    return cast("EncoderSpec", validated_kind(_KINDS, values, where, example))


def encoder_spec(name: str, entries: Mapping[str, object]) -> EncoderSpec:
    """The encoder that params.yaml names.

    Args:
        name: of the entry.
        entries: the `encoders` block.

    Returns:
        Its checked model.

    Raises:
        LabError: for an unknown name, one that cannot be a folder, or a faulty entry.
    """
    if not isinstance(name, str) or name not in entries:
        raise LabError(
            f"unknown encoder {quoted(name)}",
            *suggest(
                name,
                entries,
                "a new entry under encoders in params.yaml, as in  "
                "NAME: {kind: run, method: simclr, noise: clean, seed: 0}",
            ),
        )
    checked_name(name, "encoder")  # it becomes a folder
    return parse_encoder(entries[name], f"params.yaml: encoders.{name}")
