"""Several networks in one method: each with a random start and parameter groups of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn

from pipeline.config import RunSettings


@contextmanager
def seeded(settings: RunSettings, *names: str | int) -> Iterator[None]:
    """Within the block torch's stream of the CPU is the named one of a run; after it, as before.

    What is built there is the same on all processes, whatever was drawn before: the start of a
    peer, or of a part that is re-initialised (build it anew, then load its state).

    Args:
        settings: of the run.
        names: of the stream, below `init`.
    """
    state = torch.random.get_rng_state()
    torch.default_generator.manual_seed(settings.stream("init", *names))
    try:
        yield
    finally:
        torch.random.set_rng_state(state)


@contextmanager
def asked_once(method: nn.Module) -> Iterator[None]:
    """Within the block a peer that is asked about the same images again answers as before.

    For what asks a pair and then each of its networks. No weight may change within the block.

    Args:
        method: whose `Peers` remember their answers.
    """
    groups = [module for module in method.modules() if isinstance(module, Peers)]
    # A compiled peer has a `forward` of its own, which it gets back.
    own = {peer: vars(peer).get("forward") for group in groups for peer in group.values()}
    for peer in own:
        vars(peer)["forward"] = _remembering(peer.forward)
    try:
        yield
    finally:
        for peer, forward in own.items():
            del vars(peer)["forward"]
            if forward is not None:
                vars(peer)["forward"] = forward


def _remembering(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of images that is computed once for each batch, known by the tensor that it is."""
    answers: dict[int, tuple[Tensor, Tensor]] = {}

    def remembered(images: Tensor) -> Tensor:
        # The images are kept as well: another tensor could get the place of one that is gone.
        if id(images) not in answers:
            answers[id(images)] = images, forward(images)
        return answers[id(images)][1]

    return remembered


class Peers(nn.ModuleDict):
    """Networks by name, alike but for their random start.

    Args:
        names: of the peers, for their parameter groups and for phases.
        build: makes one network.
        settings: of the run; each peer is built from a random stream of its name.
    """

    def __init__(
        self, names: tuple[str, ...], build: Callable[[], nn.Module], settings: RunSettings
    ) -> None:
        made = {}
        for name in names:
            with seeded(settings, "peer", name):
                made[name] = build()
        super().__init__(made)
        self._training = names

    def groups(self) -> list[dict[str, object]]:
        """A parameter group per peer, under its name."""
        return [
            {"name": name, "params": [p for p in peer.parameters() if p.requires_grad]}
            for name, peer in self.items()
        ]

    def members(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """The softmax of each peer, for `Method.members`."""

        def softmax_of(peer: nn.Module) -> Callable[[Tensor], Tensor]:
            return lambda images: peer(images).softmax(dim=1)

        return {name: softmax_of(peer) for name, peer in self.items()}

    def train_only(self, *names: str) -> None:
        """Put these peers in training mode whenever the method is, and the others never.

        A peer that is not named keeps its running statistics of batch norm; that its weights stay
        is for the phase to say (`trains`).
        """
        self._training = names
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode, as `train_only` asked."""
        super().train(mode)
        for name, peer in self.items():
            peer.train(mode and name in self._training)
        return self
