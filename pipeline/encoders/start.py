"""Weights between networks and encoders: which a network keeps, and which it starts from."""

from __future__ import annotations

from torch import Tensor, nn

from pipeline.backbones import Backbone, make_backbone
from pipeline.encoders.encoder import Encoder, misfits
from pipeline.errors import LabError, quoted


def network_state(backbone: Backbone, projection: nn.Module | None = None) -> dict[str, Tensor]:
    """The weights of a trained network, as `Method.encoder_state` returns them.

    Args:
        backbone: becomes encoder.* and classifier.*.
        projection: head beside the classifier, becomes projection.*; None if there is none.

    Returns:
        Name -> value, parameters and buffers.
    """
    state = {}
    for name, value in backbone.state_dict().items():
        part = "classifier" if backbone.in_classifier(name) else "encoder"
        state[f"{part}.{name}"] = value
    if projection is not None:
        state |= {f"projection.{name}": value for name, value in projection.state_dict().items()}
    return state


def started_network(name: str, n_classes: int, n_channels: int, start: Encoder | None) -> Backbone:
    """A new network, started from the encoder if there is one; its classifier is random.

    Args:
        name: of the backbone.
        n_classes: K.
        n_channels: of the images.
        start: as in `load_into`.
    """
    network = make_backbone(name, n_classes, n_channels)
    load_into(network, start, name)
    return network


def load_into(
    backbone: Backbone, start: Encoder | None, name: str, classifier: bool = False
) -> None:
    """Start a network from the weights of an encoder; the one place that `start_from` leads to.

    Args:
        backbone: gets the weights.
        start: where they come from; None leaves the network as it is.
        name: of the backbone, for the error.
        classifier: whether the classifier is taken over, too.

    Raises:
        LabError: when the weights are those of another architecture, or there are none.
    """
    if start is None:
        return
    if not start.card.has_network:
        raise LabError(
            f"start_from {start.card.name}, a table of embeddings without weights",
            "an entry of kind run, timm, simclr or cc",
            f"--encoder {start.card.name}, for methods that use its embeddings",
        )
    parts = start.part("encoder") | (start.part("classifier") if classifier else {})
    own = {
        key: value
        for key, value in backbone.state_dict().items()
        if classifier or not backbone.in_classifier(key)
    }
    wrong = misfits(own, parts)
    if wrong:
        raise LabError(
            f"start_from {start.card.name}: {len(wrong)} weights of {start.card.network} do not "
            f"fit the backbone {name}, such as {quoted(min(wrong))}",
            "an encoder of the same architecture, for images with as many channels",
            f"--backbone {start.card.network}",
        )
    backbone.load_state_dict(parts, strict=False)


def load_projection(projection: nn.Module, start: Encoder) -> None:
    """Start a projection head from that of an encoder; one without such a head leaves it as it is.

    Args:
        projection: gets the weights.
        start: where they come from.

    Raises:
        LabError: when the encoder has a projection head of another form.
    """
    # A layer that belongs to the encoder's own features is not a head beside a classifier.
    given = {} if start.card.projected else start.part("projection")
    if not given:
        return
    own = {name: value.shape for name, value in projection.state_dict().items()}
    if own != {name: value.shape for name, value in given.items()}:
        raise LabError(
            f"the projection head of start_from {start.card.name} is of another form",
            "a head with the same layers, normalisation and sizes",
            "--projection-norm layer, if it was trained with layer norm",
        )
    projection.load_state_dict(given)
