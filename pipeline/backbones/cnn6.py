"""The six-layer network of JoCoR (86db359) and, on CIFAR-100, of Co-teaching+ (a68ed61).

Names of modules and PyTorch's default initialisation follow those codes, but for the last layer.
"""

from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from pipeline.backbones.backbone import Backbone

_WIDTHS = (64, 64, 128, 128, 196, 16)


class CNN6(Backbone):
    """Six 3x3 convolutions with batch norm: 541,280 parameters for 100 classes, three channels.

    Args:
        n_classes: number of classes.
        n_channels: channels of the images, which are 32 pixels wide: the classifier looks at
            positions.
    """

    def __init__(self, n_classes: int, n_channels: int) -> None:
        super().__init__()
        n_in = n_channels
        for number, width in enumerate(_WIDTHS, start=1):
            self.add_module(f"c{number}", nn.Conv2d(n_in, width, 3, padding=1))
            self.add_module(f"bn{number}", nn.BatchNorm2d(width))
            n_in = width
        self.n_features = n_in * 4 * 4
        self.linear = nn.Linear(self.n_features, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """Features [B, 256] of images [B, C, 32, 32]."""
        for number in range(1, len(_WIDTHS) + 1):
            convolved = self.get_submodule(f"c{number}")(x)
            x = relu(self.get_submodule(f"bn{number}")(convolved))
            if number % 2 == 0:
                x = max_pool2d(x, 2)
        return x.flatten(1)
