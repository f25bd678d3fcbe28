"""One network that classifies images, which most methods train."""

from __future__ import annotations

from torch import Tensor

from pipeline.config import RunSettings
from pipeline.encoders.start import network_state, started_network
from pipeline.training.method import Method, Problem


class OneNetwork(Method):
    """A method whose prediction is the softmax of one network.

    Args:
        settings: of the run.
        problem: what the method is built for.
    """

    settings: RunSettings

    def __init__(self, settings: RunSettings, problem: Problem) -> None:
        super().__init__()
        self.settings, self.n_classes = settings, problem.n_classes
        self.network = started_network(
            settings.backbone, problem.n_classes, problem.image_shape[2], problem.start
        )

    def predict(self, images: Tensor) -> Tensor:
        """Softmax of the network."""
        return self.network(images).softmax(dim=1)

    def encoder_state(self) -> dict[str, Tensor]:
        """The network with its classifier."""
        return network_state(self.network)
