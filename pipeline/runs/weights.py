"""The weights that a finished run leaves behind: as an encoder, and as a model."""

from __future__ import annotations

from pathlib import Path

from pipeline.backbones import make_backbone
from pipeline.data.dataset import DataCard
from pipeline.encoders.artefact import weights_digest, write_encoder
from pipeline.encoders.encoder import EncoderCard
from pipeline.encoders.kept import kept_weights_folder, save_kept_weights
from pipeline.models.kept import read_model_card, write_model
from pipeline.runs.inputs.splits import usual_transform
from pipeline.runs.planned import PlannedRun
from pipeline.training.loop import Session
from pipeline.training.method import Problem


def are_kept(key: str) -> bool:
    """Whether the weights of a run are there: its model, and its encoder if it makes one."""
    return read_model_card(kept_weights_folder(key)) is not None


def keep_weights(session: Session, planned: PlannedRun, problem: Problem, with_model: bool) -> None:
    """Write what a run made; called on the main process, before the run counts.

    Args:
        session: at its end.
        planned: the run.
        problem: that its method was built for.
        with_model: beside the encoder, if the method makes one.
    """
    key, data = planned.key, planned.inputs.dataset.card
    state = session.method.encoder_state()

    def write(folder: Path) -> None:
        if state is not None:
            external = "extra_features" in planned.row["knows"]
            card = _encoder_card(session, key, problem, data, external, weights_digest(state))
            write_encoder(folder, card, state)
        if with_model:
            digests = data.digest, planned.inputs.table.card.labels_digest
            transform = usual_transform(data, session.settings)
            write_model(folder, session, key, problem, transform, digests, data.class_names)

    save_kept_weights(key, write)


def _encoder_card(
    session: Session, key: str, problem: Problem, data: DataCard, external: bool, weights: str
) -> EncoderCard:
    """Describe the encoder that a run made.

    Args:
        session: at its end.
        key: of the run.
        problem: that its method was built for.
        data: card of the data set it learned from.
        external: whether weights it started from knew images beyond that data set.
        weights: their digest.
    """
    settings = session.settings
    return EncoderCard(
        name=key,
        kind="run",
        network=settings.backbone,
        n_features=make_backbone(settings.backbone, 1, len(problem.mean)).n_features,
        mean=problem.mean,
        std=problem.std,
        image_size=None,
        unit_length=session.method.makes_encoder,
        external=external,
        weights_digest=weights,
        run_key=key,
        data_digest=data.digest,
        settings={"method": session.context.method, **settings.model_dump(mode="json")},
    )
