"""An encoder on disk: a folder with weights.safetensors and card.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.encoders.encoder import Encoder, EncoderCard
from pipeline.errors import LabError
from pipeline.files import replacing_folder
from pipeline.identity import digest

WEIGHTS, CARD = "weights.safetensors", "card.json"


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """First 16 hex digits of the SHA-256 over names, types, shapes and values of weights."""
    content = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        content.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        content.update(value.view(-1).view(torch.uint8).numpy().data)  # numpy knows no bfloat16
    return content.hexdigest()[:16]


def save_encoder(folder: Path, card: EncoderCard, state: Mapping[str, Tensor]) -> None:
    """Write an encoder; the folder appears complete or not at all.

    Args:
        folder: to make or to replace.
        card: its description.
        state: its weights, named encoder.*, projection.* and classifier.*.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    facts = json.loads(json.dumps(asdict(card)))
    with replacing_folder(folder) as new:
        save_file(plain, new / WEIGHTS)
        text = json.dumps(facts | {"digest": digest(facts)}, indent=2)
        (new / CARD).write_text(text + "\n", encoding="utf-8")


def read_encoder_card(folder: Path) -> EncoderCard | None:
    """The card of an encoder; None where there is no whole encoder, so that it is made again.

    Args:
        folder: of the encoder.

    Returns:
        The card; None also for one that is damaged, edited, or of another version.
    """
    if not (folder / WEIGHTS).is_file():
        return None
    try:
        facts: Any = json.loads((folder / CARD).read_bytes())
        # Cards written before there was a digest have none.
        if facts.pop("digest", None) not in {None, digest(facts)}:
            return None
        return _checked_card(facts)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return None


@cache
def _adapter() -> TypeAdapter[EncoderCard]:
    return TypeAdapter(EncoderCard)  # made once: it takes longer than a card does


def _checked_card(facts: dict[str, Any]) -> EncoderCard:
    if not set(facts) <= set(EncoderCard.__dataclass_fields__):
        raise ValueError("a card with other fields")
    try:
        return _adapter().validate_python(facts)
    except ValidationError as failure:
        raise ValueError("a card with other values") from failure


def load_encoder(folder: Path) -> Encoder:
    """Load an encoder onto the CPU.

    Args:
        folder: written by `save_encoder`.

    Returns:
        The encoder.

    Raises:
        LabError: where it is missing, or its weights are damaged or not those of its card.
    """
    card = read_encoder_card(folder)
    if card is None:
        raise LabError(
            f"no whole encoder in {folder}", "a folder with weights and card", _remedy(folder)
        )
    try:
        state = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as failure:
        raise _damaged(folder) from failure
    if weights_digest(state) != card.weights_digest:
        raise _damaged(folder)
    return Encoder(card, state)


def _damaged(folder: Path) -> LabError:
    return LabError(f"{folder / WEIGHTS} is damaged", "the file as it was written", _remedy(folder))


def _remedy(folder: Path) -> str:
    return f"rm -r {folder}: the encoder is then made again"
