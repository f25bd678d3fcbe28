"""Embeddings that were computed elsewhere: tables of whole splits in place of a network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from pipeline.data.matrix import read_matrix
from pipeline.encoders.checkpoint_files import source_path
from pipeline.encoders.embeddings import Embeddings, Precision
from pipeline.encoders.encoder import Encoder
from pipeline.encoders.encoder_spec import EmbeddingsEncoder
from pipeline.errors import LabError


def read_tables(spec: EmbeddingsEncoder) -> dict[str, Tensor]:
    """Read the files of an entry.

    Args:
        spec: names a file per split, floating [N, D].

    Returns:
        Split -> [N, D]: float16 as it is in the file, others as float32, in which they are used;
        float32 of length 1 where the entry asks for that.

    Raises:
        LabError: when a file is missing, damaged, holds something else or numbers that are not
            finite, or when D differs between files.
    """
    tables = {split: _read(split, path, spec.unit_length) for split, path in spec.files.items()}
    widths = {split: table.shape[1] for split, table in tables.items()}
    if len(set(widths.values())) > 1:
        raise LabError(
            f"embeddings of different lengths: {widths}",
            "files of one and the same encoder",
            "compute the split that stands out with the encoder of the others",
        )
    return tables


def _read(split: str, path: str, unit_length: bool) -> Tensor:
    rows = read_matrix(str(source_path(path)), f"the embeddings of split {split}, [N, D]")
    keeps_half = rows.dtype == np.float16 and not unit_length
    table = torch.from_numpy(np.array(rows, np.float16 if keeps_half else np.float32))
    return normalize(table, dim=1) if unit_length else table


def given_embeddings(encoder: Encoder, split: str, n: int, precision: Precision) -> Embeddings:
    """The table of a split.

    Args:
        encoder: without a network.
        split: of the data set.
        n: images of the split.
        precision: of the numbers; float16 tables are never made wider.

    Returns:
        [n, D].

    Raises:
        LabError: for a split without a table, or one with another number of rows.
    """
    name, tables = encoder.card.name, encoder.state
    if split not in tables:
        raise LabError(
            f"encoder {name} has no embeddings of split {split}",
            f"those of every split of the data set; there are: {', '.join(sorted(tables))}",
            f"add {split}: FILE.npy to its files in params.yaml",
        )
    table = tables[split]
    if len(table) != n:
        raise LabError(
            f"encoder {name}: {len(table)} rows of embeddings for the {n} images of split {split}",
            "one row per image, in the order of the prepared data set",
            "name the file that belongs to this data set",
        )
    rows: Embeddings = table.numpy()
    return rows.astype(np.float16, copy=False) if precision == "float16" else rows
