"""The nine-layer network of the Co-teaching code (7c7fbe2), for images of 28 pixels or more.

Names of modules and PyTorch's default initialisation follow that code, but for the last layer. Its
dropout took effect in training or not by the version of PyTorch, in evaluation too since 2018; the
published numbers were made without. Here there is none.
"""

from torch import Tensor, nn
from torch.nn.functional import leaky_relu, max_pool2d

from pipeline.backbones.backbone import Backbone

_WIDTHS = (128, 128, 128, 256, 256, 256, 512, 256, 128)


class CNN9(Backbone):
    """Nine 3x3 convolutions with batch norm: 4,434,570 parameters for ten classes, three channels.

    Args:
        n_classes: number of classes.
        n_channels: channels of the images.
    """

    def __init__(self, n_classes: int, n_channels: int) -> None:
        super().__init__()
        n_in = n_channels
        for number, width in enumerate(_WIDTHS, start=1):
            # The last three shrink the image.
            padding = int(number <= 6)
            self.add_module(f"c{number}", nn.Conv2d(n_in, width, 3, padding=padding))
            self.add_module(f"bn{number}", nn.BatchNorm2d(width))
            n_in = width
        self.n_features = n_in
        self.linear = nn.Linear(n_in, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """Pooled features [B, 128] of images [B, C, H, W]."""
        for number in range(1, len(_WIDTHS) + 1):
            convolved = self.get_submodule(f"c{number}")(x)
            x = leaky_relu(self.get_submodule(f"bn{number}")(convolved), 0.01)
            if number in {3, 6}:
                x = max_pool2d(x, 2)
        return x.mean(dim=(2, 3))
