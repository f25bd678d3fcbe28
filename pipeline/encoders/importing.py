"""Encoders that others trained: models of timm, SimCLR checkpoints, the CC network of Clothing1M.

Each import gives weights in the laboratory's names (encoder.*, projection.*, classifier.*) and the
card that says how images become features; embeddings that others computed have neither.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.backbones import make_backbone
from pipeline.backbones.simclr_resnet import own_name
from pipeline.data.views import CONSTANTS
from pipeline.encoders.artefact import weights_digest
from pipeline.encoders.checkpoint_files import file_digest, read_weights, source_path
from pipeline.encoders.encoder import NO_NETWORK, Encoder, EncoderCard
from pipeline.encoders.encoder_spec import (
    CcEncoder,
    EmbeddingsEncoder,
    ImportedSpec,
    NetworkSpec,
    SimclrEncoder,
    TimmEncoder,
)
from pipeline.encoders.given import read_tables
from pipeline.errors import LabError, quoted
from pipeline.identity import digest

_CLOTHING1M = ((0.6959, 0.6537, 0.6371), (0.3113, 0.3192, 0.3214))
_SIMCLR_PARTS = {"f": "encoder", "g": "projection", "fc": "classifier"}
_IMAGENET_CLASSES = {1000, 11821, 12000, 21841, 21843}


class Imported(NamedTuple):
    """An encoder that was brought in."""

    card: EncoderCard
    state: dict[str, Tensor]


_Found = tuple[dict[str, Any], dict[str, Tensor]]
"""What an import says for the card, and the weights."""


def import_encoder(name: str, spec: ImportedSpec) -> Imported:
    """Bring an encoder in.

    Args:
        name: of its entry in params.yaml.
        spec: the entry.

    Returns:
        Card and weights, which fit the network that the card names.

    Raises:
        LabError: when a file is missing, damaged or of another layout, or nothing can be fetched.
    """
    match spec:
        case EmbeddingsEncoder():
            facts, state = _from_tables(spec)
        case _:
            facts, state = _from_network(spec)
    card = EncoderCard(
        name=name,
        kind=spec.kind,
        unit_length=spec.unit_length,
        weights_digest=weights_digest(state),
        settings=import_settings(spec),
        **facts,
    )
    Encoder(card, state)  # refuses weights of another network
    broken = [name for name, value in state.items() if not value.isfinite().all()]
    if broken:
        raise LabError(
            f"encoder {name}: {len(broken)} weights, such as {quoted(broken[0])}, are not finite",
            "weights of a training that went well",
            "an earlier checkpoint of it",
        )
    return Imported(card, state)


def import_settings(spec: ImportedSpec) -> dict[str, Any]:
    """What an import was made from: the entry, and the digest of the files it names.

    The digest is None where none of them is there, and where the entry names none.
    """
    match spec:
        case EmbeddingsEncoder():
            files = list(spec.files.values())
        case TimmEncoder():
            files = [] if spec.weights == "hub" else [spec.weights]
        case _:
            files = [spec.path]
    found = [file_digest(source_path(path)) for path in files]
    if not any(found):
        found = [None]
    return {
        "spec": spec.model_dump(mode="json"),
        "file_digest": found[0] if len(found) == 1 else digest(found),
    }


def _from_tables(spec: EmbeddingsEncoder) -> _Found:
    state = read_tables(spec)
    facts = {
        "network": NO_NETWORK,
        "n_features": next(iter(state.values())).shape[1],
        "mean": (),
        "std": (),
        "image_size": None,
        "external": True,
    }
    return facts, state


def _from_network(spec: NetworkSpec) -> _Found:
    match spec:
        case TimmEncoder():
            facts, state = _from_timm(spec)
        case SimclrEncoder():
            facts, state = _from_simclr(spec)
        case CcEncoder():
            facts, state = _from_cc(spec)
    width = make_backbone(str(facts["network"]), n_classes=1, n_channels=3).n_features
    if facts.get("projected"):
        width = len(state["projection.weight"])
    return facts | {"n_features": width, "antialias": spec.antialias}, state


def _from_timm(spec: TimmEncoder) -> _Found:
    from timm.data.config import resolve_model_data_config

    network = f"timm/{spec.model}"
    names = make_backbone(network, n_classes=1, n_channels=3).classifier_names  # a known model
    head = f"{names[0].removeprefix('network.')}."
    projected = embeds(spec.model) if spec.projection is None else spec.projection
    model, has_head = _timm_model(spec, head, projected)
    config = resolve_model_data_config(model)
    state = {}
    for name, value in model.state_dict().items():
        if not name.startswith(head):
            state[f"encoder.network.{name}"] = value
        elif projected:
            state[f"projection.{name.removeprefix(head)}"] = value
        elif has_head:
            state[f"classifier.network.{name}"] = value
    facts = {
        "network": network,
        "mean": tuple(config["mean"]),
        "std": tuple(config["std"]),
        "image_size": config["input_size"][1],
        "projected": projected,
        "external": True,
    }
    return facts, state


def _timm_model(spec: TimmEncoder, head: str, needs_head: bool) -> tuple[Any, bool]:
    """The model with its weights, and whether its classifier is one of them.

    A file may have been trained to classify something else, or have no classifier: features need
    none. One without numbers then stands in for it, so that all other weights must fit as always.
    """
    import timm

    if spec.weights == "hub":
        return _pretrained(spec, {}), True
    weights = read_weights(source_path(spec.weights))
    try:
        return _pretrained(spec, {"state_dict": dict(weights)}), True
    except LabError:
        plain = {name: value for name, value in weights.items() if not name.startswith(head)}
        with torch.device("meta"):
            heads = timm.create_model(spec.model, pretrained=False).state_dict()
        standing_in = {
            name: torch.zeros(value.shape) for name, value in heads.items() if name.startswith(head)
        }
        changed = {name: value.shape for name, value in weights.items() if name.startswith(head)}
        if needs_head or changed == {name: value.shape for name, value in standing_in.items()}:
            raise
        return _pretrained(spec, {"state_dict": plain | standing_in}), False


def _pretrained(spec: TimmEncoder, overlay: dict[str, Any]) -> Any:
    import timm

    try:
        return timm.create_model(spec.model, pretrained=True, pretrained_cfg_overlay=overlay)
    # Whatever the hub, the network or a checkpoint of another form makes timm raise.
    except Exception as failure:
        raise LabError(
            f"weights of {spec.model} from {spec.weights}: {failure}",
            "weights that timm has for this model, on a machine that reaches them",
            "weights: FILE in the entry takes a local .safetensors, .pt or .pth file",
        ) from failure


def embeds(model: str) -> bool:
    """Whether the last layer of a timm model gives an image embedding, as CLIP's does, not classes.

    Args:
        model: name with the tag of its weights.
    """
    import timm

    published = timm.get_pretrained_cfg(model)
    n_classes = 0 if published is None else published.num_classes
    return "clip" in model and n_classes not in {*_IMAGENET_CLASSES, 0}


def _from_simclr(spec: SimclrEncoder) -> _Found:
    path = source_path(spec.path)
    state = {}
    for name, value in read_weights(path).items():
        part, _, rest = name.partition(".")
        own = own_name(rest) if part == "f" else f"linear.{rest}" if part == "fc" else rest
        if part not in _SIMCLR_PARTS or own is None:
            raise LabError(
                f"{path} holds {quoted(name)}",
                "the layout of the SimCLR codes: f.* of the network, g.* of its head",
                "the kind of encoder that the file holds, see docs/encoders.md",
            )
        state[f"{_SIMCLR_PARTS[part]}.{own}"] = value
    mean, std = CONSTANTS[spec.normalisation]
    facts = {
        "network": spec.network,
        "mean": mean,
        "std": std,
        "image_size": None,
        "external": spec.external,
    }
    return facts, state


def _from_cc(spec: CcEncoder) -> _Found:
    path = source_path(spec.path)
    weights = read_weights(path)
    mark = "layer4.2.conv3.weight"
    prefixes = [name.removesuffix(mark) for name in weights if name.endswith(mark)]
    if len(prefixes) != 1 or "dr.weight" not in {_last_two(name) for name in weights}:
        raise LabError(
            f"{path} is not the CC network",
            "a ResNet-50 with a linear layer `dr` to 128 features",
            "the kind of encoder that the file holds, see docs/encoders.md",
        )
    # Two classifier heads and the ImageNet classifier are in the file, too; nothing uses them.
    backbone = make_backbone("timm/resnet50", n_classes=1, n_channels=3)
    wanted = [name for name in backbone.state_dict() if not backbone.in_classifier(name)]
    state = {}
    for name in wanted:
        published = prefixes[0] + name.removeprefix("network.")
        if published not in weights:
            raise LabError(
                f"{path} lacks {quoted(published)}",
                "all weights of ResNet-50",
                "fetch the checkpoint again",
            )
        state[f"encoder.{name}"] = weights[published]
    for name, value in weights.items():
        if _last_two(name) in {"dr.weight", "dr.bias"}:
            state[f"projection.{name.rsplit('.', 1)[1]}"] = value
    facts = {
        "network": "timm/resnet50",
        "mean": _CLOTHING1M[0],
        "std": _CLOTHING1M[1],
        "image_size": 224,
        "projected": True,
        "external": True,  # it was started from ImageNet
    }
    return facts, state


def _last_two(name: str) -> str:
    return ".".join(name.split(".")[-2:])
