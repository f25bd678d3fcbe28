"""The weights that runs keep: a folder each, or objects of which a copy lies in the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.encoders.artefact import CARD
from pipeline.files import cache_folder, replacing_folder
from pipeline.identity import digest
from pipeline.storage.belongings import MODEL_CARD, weights_folder
from pipeline.storage.place import Place
from pipeline.storage.places import artefact_place


def kept_weights_folder(key: str, place: Place | None = None) -> Path:
    """Folder of the weights that a run kept, to read; it holds none where there are none.

    Args:
        key: of the run.
        place: of what runs left; that of this program if None.

    Returns:
        The folder itself, or that of a copy of the weights as they are now.
    """
    place = (place or artefact_place()).below(weights_folder(key))
    if place.is_folder:
        return place.folder
    # Cards are written last: who sees them sees the weights, too.
    cards = [card for name in (CARD, MODEL_CARD) if (card := place.head(name))]
    version = digest([place.address, *(card.e_tag for card in cards)] if cards else [])
    copy = cache_folder() / "encoders" / f"{key}-{version}"
    if cards and not copy.exists():
        with replacing_folder(copy) as new:
            for entry in place.entries():
                (new / entry.name).parent.mkdir(exist_ok=True)
                (new / entry.name).write_bytes(place.get(entry.name) or b"")
    return copy


def save_kept_weights(key: str, write: Callable[[Path], None]) -> None:
    """Write the weights that a run keeps; they appear whole or not at all.

    Args:
        key: of the run.
        write: writes them with their cards into an empty folder.
    """
    place = artefact_place().below(weights_folder(key))
    if place.is_folder:
        with replacing_folder(place.folder) as new:
            write(new)
        return
    with TemporaryDirectory() as made:
        folder = Path(made)
        write(folder)
        names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.*")]
        # Weights first, the cards of the whole last.
        for name in sorted(names, key=lambda name: (name.endswith(".json"), "/" not in name)):
            place.put(name, (folder / name).read_bytes())
