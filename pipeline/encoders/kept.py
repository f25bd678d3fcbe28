"""The weights that runs keep: a folder each, or objects of which a copy lies in the cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from pipeline.encoders.artefact import CARD, WEIGHTS, save_encoder
from pipeline.encoders.encoder import EncoderCard
from pipeline.files import cache_folder, replacing_folder
from pipeline.identity import digest
from pipeline.storage.belongings import weights_folder
from pipeline.storage.place import Place
from pipeline.storage.places import artefact_place


def kept_weights_folder(key: str) -> Path:
    """Folder of the weights that a run kept, to read; it holds none where there are none.

    Args:
        key: of the run.

    Returns:
        The folder itself, or that of a copy of the weights as they are now.
    """
    place = _place(key)
    if place.is_folder:
        return place.folder
    # The card is written last: who sees it sees the weights, too.
    card = place.head(CARD)
    version = digest([place.address, card.e_tag] if card else [])
    copy = cache_folder() / "encoders" / f"{key}-{version}"
    if card is not None and not copy.exists():
        with replacing_folder(copy) as new:
            for name in (WEIGHTS, CARD):
                (new / name).write_bytes(place.get(name) or b"")
    return copy


def save_kept_weights(key: str, card: EncoderCard, state: Mapping[str, Tensor]) -> None:
    """Write the weights that a run keeps; they appear whole or not at all.

    Args:
        key: of the run.
        card: their description.
        state: as for `save_encoder`.
    """
    place = _place(key)
    if place.is_folder:
        save_encoder(place.folder, card, state)
        return
    with TemporaryDirectory() as folder:
        save_encoder(Path(folder) / key, card, state)
        for name in (WEIGHTS, CARD):
            place.put(name, (Path(folder) / key / name).read_bytes())


def _place(key: str) -> Place:
    return artefact_place().below(weights_folder(key))
