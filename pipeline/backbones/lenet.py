"""The small network of Co-teaching+ on CIFAR-10 (code a68ed61): two convolutions, three layers.

Names of modules follow that code, but for the last layer.
"""

from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from pipeline.backbones.backbone import Backbone


class LeNet(Backbone):
    """Two 5x5 convolutions and three linear layers: 62,006 parameters for ten classes.

    Args:
        n_classes: number of classes.
        n_channels: channels of the images, which are 32 pixels wide: the layers look at positions.
    """

    def __init__(self, n_classes: int, n_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.n_features = 84
        self.linear = nn.Linear(84, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """Features [B, 84] of images [B, C, 32, 32]."""
        for convolution in (self.conv1, self.conv2):
            x = max_pool2d(relu(convolution(x)), 2)
        return relu(self.fc2(relu(self.fc1(x.flatten(1)))))
