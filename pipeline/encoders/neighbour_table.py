"""Tables of nearest neighbours, computed once per encoder and data set."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from pipeline.encoders.cached_array import cached_array
from pipeline.encoders.neighbours import MAX_BYTES, VERSION, NeighbourSearch, Rows
from pipeline.identity import digest

_ENTRY = np.dtype([("row", "<i4"), ("distance", "<f4")])


class NeighbourTable(NamedTuple):
    """Neighbours of every row of a bank, nearest first, mapped from a file.

    Args:
        row: int32 [N, k], positions in the bank.
        distance: float32 [N, k], Euclidean.
    """

    row: npt.NDArray[np.int32]
    distance: npt.NDArray[np.float32]


def neighbour_table(
    folder: Path,
    bank_digest: str,
    bank: Rows,
    k: int,
    *,
    exclude_self: bool = True,
    max_bytes: int = MAX_BYTES,
    device: torch.device | str | None = None,
) -> NeighbourTable:
    """The k nearest neighbours of every row of a bank among its rows.

    The first call computes and writes them, under a name that holds everything they depend on; the
    next ones map the file. It holds rows, not labels: other labels need no other table.

    Args:
        folder: where tables lie.
        bank_digest: digest of the features: of the encoder, the images and their transform.
        bank: floating [N, D], finite; see `NeighbourSearch`.
        k: how many neighbours.
        exclude_self: a row is not its own neighbour; otherwise it normally comes first.
        max_bytes: working memory.
        device: where to compute; see `NeighbourSearch`.

    Returns:
        Rows and distances, mapped for reading.

    Raises:
        LabError: for a k that does not fit or features that are not finite.
    """
    facts = {"bank": bank_digest, "k": k, "exclude_self": exclude_self, "version": VERSION}
    table = cached_array(
        folder / f"neighbours-{digest({**facts, 'shape': list(bank.shape)})}.npy",
        _ENTRY,
        (len(bank), k),
        lambda path: _write(path, bank, k, exclude_self, max_bytes, device),
        facts,
    )
    return NeighbourTable(table["row"], table["distance"])


def _write(
    path: Path,
    bank: Rows,
    k: int,
    exclude_self: bool,
    max_bytes: int,
    device: torch.device | str | None,
) -> None:
    header = {"descr": _ENTRY.descr, "fortran_order": False, "shape": (len(bank), k)}
    search = NeighbourSearch(bank, k, exclude_self=exclude_self, max_bytes=max_bytes, device=device)
    with (
        path.open("wb") as file,
        tqdm(total=len(bank), desc=f"{k} neighbours of each row", disable=None) as progress,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for rows, found in search.blocks(bank):
            block = np.empty(found.row.shape, _ENTRY)
            block["row"] = found.row.cpu().numpy()
            block["distance"] = found.distance.cpu().numpy()
            file.write(block.tobytes())
            progress.update(rows.stop - rows.start)
