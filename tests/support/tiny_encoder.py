"""An encoder that no test has to train, and the entry of one that trains in a moment."""

import torch

from pipeline.backbones import make_backbone
from pipeline.encoders.encoder import Encoder, EncoderCard
from pipeline.encoders.start import network_state

ENTRY = {
    "kind": "run", "method": "simclr", "dataset": "digits", "noise": "clean", "seed": 0,
    "recipe": "pocket", "epochs": 1,
}  # fmt: skip
"""For the `encoders` block of params.yaml."""


def tiny_encoder() -> Encoder:
    """A small-cnn for grey images, with weights of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        state = network_state(make_backbone("small-cnn", 1, 1))
    card = EncoderCard(
        name="tiny", kind="run", network="small-cnn", n_features=64, mean=(0.5,), std=(0.25,),
        image_size=None, unit_length=True, external=False, weights_digest="0",
    )  # fmt: skip
    return Encoder(card, state)
