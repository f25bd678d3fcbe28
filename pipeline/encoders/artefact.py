"""An encoder on disk: a folder with weights.safetensors and card.json, which has a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.encoders.encoder import Encoder, EncoderCard
from pipeline.errors import LabError
from pipeline.files import replacing_folder
from pipeline.identity import digest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

WEIGHTS, CARD = "weights.safetensors", "card.json"

Card = TypeVar("Card", bound="DataclassInstance")


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
    with replacing_folder(folder) as new:
        write_encoder(new, card, state)


def write_encoder(folder: Path, card: EncoderCard, state: Mapping[str, Tensor]) -> None:
    """As `save_encoder`, into a folder that somebody else makes appear."""
    write_weights(folder / WEIGHTS, state)
    write_card(folder / CARD, card)


def write_weights(file: Path, state: Mapping[str, Tensor]) -> None:
    """Write tensors by name, from whatever device."""
    plain = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    save_file(plain, file)


def write_card(file: Path, card: DataclassInstance) -> None:
    """Write a card as JSON, with a digest of its own."""
    facts = json.loads(json.dumps(asdict(card)))
    text = json.dumps(facts | {"digest": digest(facts)}, indent=2)
    file.write_text(text + "\n", encoding="utf-8")


def read_encoder_card(folder: Path) -> EncoderCard | None:
    """The card of an encoder; None where there is no whole encoder, so that it is made again.

    Args:
        folder: of the encoder.

    Returns:
        The card; None also for one that is damaged, edited, or of another version.
    """
    return read_card(folder / CARD, EncoderCard) if (folder / WEIGHTS).is_file() else None


def read_card(file: Path, kind: type[Card]) -> Card | None:
    """A card by `write_card`; None for one that is missing, damaged, edited or of another version.

    Args:
        file: that holds it.
        kind: dataclass that it is one of.
    """
    try:
        facts: Any = json.loads(file.read_bytes())
        # Cards written before there was a digest have none.
        if facts.pop("digest", None) not in {None, digest(facts)}:
            return None
        return _checked_card(facts, kind)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return None


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)  # made once: it takes longer than a card does


def _checked_card(facts: dict[str, Any], kind: type[Card]) -> Card:
    if not set(facts) <= set(kind.__dataclass_fields__):
        raise ValueError("a card with other fields")
    try:
        card: Card = _adapter(kind).validate_python(facts)
    except ValidationError as failure:
        raise ValueError("a card with other values") from failure
    return card


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
    remedy = f"rm -r {folder}: the encoder is then made again"
    if card is None:
        raise LabError(f"no whole encoder in {folder}", "a folder with weights and card", remedy)
    return Encoder(card, read_weights(folder / WEIGHTS, card.weights_digest, remedy))


def read_weights(file: Path, due: str, remedy: str) -> dict[str, Tensor]:
    """Read tensors by name, onto the CPU.

    Args:
        file: written by `write_weights`.
        due: their `weights_digest`.
        remedy: what to do about a damaged file.

    Raises:
        LabError: where they are missing, damaged or others.
    """
    try:
        state = load_file(file)
    except (SafetensorError, OSError, ValueError) as failure:
        raise _damaged(file, remedy) from failure
    if weights_digest(state) != due:
        raise _damaged(file, remedy)
    return state


def _damaged(file: Path, remedy: str) -> LabError:
    return LabError(f"{file} is damaged", "the file as it was written", remedy)
