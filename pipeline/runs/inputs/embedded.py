"""The view `embedding` of a run: rows of its encoder's cached embeddings beside the images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TypeVar

from pipeline.encoders.embeddings import Precision, WithEmbeddings, embeddings
from pipeline.encoders.encoder import Encoder
from pipeline.encoders.given import given_embeddings
from pipeline.errors import LabError
from pipeline.runs.inputs.splits import Opener
from pipeline.training.batches import Labelled
from pipeline.training.loop import Session

Split = TypeVar("Split", bound=Labelled)


def show_embeddings(session: Session, opener: Opener, encoder: Encoder | None) -> None:
    """Add the view `embedding` to the images of all splits of a session.

    Args:
        session: whose splits; its setting `embedding_dtype`, where the method has one, says how
            exactly embeddings are stored.
        opener: of the run's images.
        encoder: computes what is not in the cache, or holds the embeddings of all splits.

    Raises:
        LabError: without an encoder, or when given embeddings are not those of the images.
    """
    if encoder is None:
        raise LabError(
            f"{session.context.method} asks for embeddings without an encoder",
            "a run whose setting `encoder` names one",
            "--encoder NAME, an entry of the encoders block of params.yaml",
        )
    device = session.processes.device
    precision: Precision = getattr(session.settings, "embedding_dtype", "float32")

    def shown(data: Split, split: str) -> Split:
        n = opener.size(split)
        if encoder.card.has_network:
            table = embeddings(
                encoder, partial(opener.pixels, split), n, opener.digest(split), split, precision,
                device,
            )  # fmt: skip
        elif opener.has_replaced_images(split):
            raise LabError(
                f"embeddings of encoder {encoder.card.name} for open-set labels, which replace "
                "images",
                "labels of the images that the embeddings belong to",
                "an encoder with a network, or another label table",
            )
        else:
            table = given_embeddings(encoder, split, n, precision)
        return replace(data, images=WithEmbeddings(data.images, table, device))

    session.train, session.test = shown(session.train, "train"), shown(session.test, "test")
    session.other_tests = {name: shown(data, name) for name, data in session.other_tests.items()}
    if session.validation is not None:
        split = "val" if session.settings.validation == "provided" else "train"
        session.validation = shown(session.validation, split)
