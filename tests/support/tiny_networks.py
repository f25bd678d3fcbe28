"""The networks of reference trainings of two-network methods, put in place of the real ones."""

import torch
from torch import nn

from pipeline.backbones import Backbone


class TinyNet(Backbone):
    """Convolution, batch norm, mean over positions, linear layer."""

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.n_features = width
        self.fc = self.linear = nn.Linear(width, n_classes)

    def features(self, x):
        """[B, width]."""
        return torch.relu(self.bn(self.conv(x))).mean(dim=(2, 3))


def tiny_net(state):
    """One with weights by their official names."""
    width, n_classes = state["conv.weight"].shape[0], state["fc.weight"].shape[0]
    network = TinyNet(width, n_classes)
    load_official(network, state)
    return network


def load_official(network, state):
    """The linear layer goes by two names here."""
    doubled = {name.replace("fc.", "linear."): v for name, v in state.items()}
    network.load_state_dict(state | doubled)


def official_state(network):
    """Weights by their official names."""
    return {name: v for name, v in network.state_dict().items() if "linear." not in name}


class Mlp(Backbone):
    """784 - 256 - K."""

    def __init__(self, n_classes: int = 10) -> None:
        super().__init__()
        self.first = nn.Linear(784, 256)
        self.n_features = 256
        self.linear = nn.Linear(256, n_classes)

    def features(self, x):
        """[B, 256]."""
        return torch.relu(self.first(x.flatten(1)))
