"""The weights that a finished run leaves behind as an encoder."""

from __future__ import annotations

from pipeline.backbones import make_backbone
from pipeline.data.dataset import DataCard
from pipeline.encoders.artefact import read_encoder_card, weights_digest
from pipeline.encoders.encoder import EncoderCard
from pipeline.encoders.kept import kept_weights_folder, save_kept_weights
from pipeline.errors import LabError
from pipeline.training.loop import Session
from pipeline.training.method import Problem


def are_kept(key: str) -> bool:
    """Whether the weights of a run are there."""
    return read_encoder_card(kept_weights_folder(key)) is not None


def refuse_no_weights(session: Session) -> None:
    """Refuse to keep the weights of a method that keeps none, before it is trained.

    Raises:
        LabError: for such a method.
    """
    if session.method.encoder_state() is None:
        raise LabError(
            f"{session.context.method} keeps no weights",
            "a method with encoder_state()",
            "leave --keep-weights out",
        )


def keep_weights(
    session: Session, key: str, problem: Problem, data: DataCard, external: bool
) -> None:
    """Write the encoder that a run made; called on the main process, before the run counts.

    Args:
        session: at its end.
        key: of the run.
        problem: that its method was built for.
        data: card of the data set it learned from.
        external: whether weights it started from knew images beyond that data set.
    """
    state = session.method.encoder_state()
    assert state is not None  # see `refuse_no_weights`
    settings = session.settings
    card = EncoderCard(
        name=key,
        kind="run",
        network=settings.backbone,
        n_features=make_backbone(settings.backbone, 1, len(problem.mean)).n_features,
        mean=problem.mean,
        std=problem.std,
        image_size=None,
        unit_length=session.method.makes_encoder,
        external=external,
        weights_digest=weights_digest(state),
        run_key=key,
        data_digest=data.digest,
        settings={"method": session.context.method, **settings.model_dump(mode="json")},
    )
    save_kept_weights(key, card, state)
