"""Two networks of one kind that start differently, with a parameter group each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from pipeline.backbones import Backbone
from pipeline.config import RunSettings
from pipeline.encoders.start import network_state, started_network
from pipeline.training.method import Method, Problem
from pipeline.training.peers import Peers

PEERS = ("first", "second")
"""Names of the networks, of their parameter groups, phases and test accuracies."""


def new_networks(
    names: tuple[str, ...],
    settings: RunSettings,
    problem: Problem,
    around: Callable[[Backbone], nn.Module] = lambda network: network,
) -> Peers:
    """Networks by name, each from a random stream of its own or from the start of the run.

    Args:
        names: of the networks.
        settings: of the run.
        problem: what they are built for.
        around: makes, of each network, the module that it is part of.
    """
    sizes = problem.n_classes, problem.image_shape[2]

    def build() -> nn.Module:
        return around(started_network(settings.backbone, *sizes, problem.start))

    return Peers(names, build, settings)


class TwoNetworks(Method):
    """A method whose prediction joins two networks.

    Args:
        settings: of the run.
        problem: what the method is built for.
        names: of the networks.
        around: see `new_networks`.
    """

    settings: RunSettings

    def __init__(
        self,
        settings: RunSettings,
        problem: Problem,
        names: tuple[str, ...] = PEERS,
        around: Callable[[Backbone], nn.Module] = lambda network: network,
    ) -> None:
        super().__init__()
        self.settings, self.n_classes = settings, problem.n_classes
        self.networks = new_networks(names, settings, problem, around)

    @classmethod
    def n_networks(cls, settings: RunSettings) -> int:
        """Two."""
        del settings
        return len(PEERS)

    def parameter_groups(self) -> list[dict[str, object]]:
        """One group for each network."""
        return self.networks.groups()

    def members(self) -> Mapping[str, Callable[..., Tensor]]:
        """The softmax of each network."""
        return self.networks.members()

    def encoder_state(self) -> dict[str, Tensor]:
        """The first network with its classifier."""
        network = next(iter(self.networks.values()))
        assert isinstance(network, Backbone)
        return network_state(network)
