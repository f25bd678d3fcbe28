"""The 8-layer network that papers on robust losses train on CIFAR-10.

Six 3x3 convolutions with bias and two linear layers, as in the official codes of asymmetric losses
(snapshot 61245e9), active negative losses (0c50009) and epsilon-softmax (f81685c), which agree.
Names of modules are theirs except `linear` (fc2 there).
"""

from torch import Tensor, nn

from pipeline.backbones.backbone import Backbone, check_size
from pipeline.backbones.uniform_start import start_uniformly

_SIDE = 32
_WIDTHS = (64, 128, 196)


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(n_in, n_out, kernel_size=3, padding=1),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, n_out, H, W] of [B, n_in, H, W]."""
        return self.conv(x)


def _stage(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(ConvBlock(n_in, n_out), ConvBlock(n_out, n_out), nn.MaxPool2d(2))


class CNN8(Backbone):
    """Three stages of two convolutions and a max-pool, a hidden layer of 256, and a classifier.

    1,639,794 parameters for ten classes of RGB images. In training, batch norm over the hidden
    layer needs batches of two or more.

    Args:
        n_classes: number of classes.
        n_channels: channels of the images, which are 32 pixels wide and high.
    """

    def __init__(self, n_classes: int, n_channels: int) -> None:
        super().__init__()
        self.block1 = _stage(n_channels, _WIDTHS[0])
        self.block2 = _stage(_WIDTHS[0], _WIDTHS[1])
        self.block3 = _stage(_WIDTHS[1], _WIDTHS[2])
        self.n_features = 256
        pooled = _WIDTHS[2] * (_SIDE // 8) ** 2
        self.fc1 = nn.Sequential(
            nn.Linear(pooled, self.n_features),
            nn.BatchNorm1d(self.n_features),
            nn.ReLU(inplace=True),
        )
        self.linear = nn.Linear(self.n_features, n_classes)
        start_uniformly(self)

    def features(self, x: Tensor) -> Tensor:
        """Features [B, 256] of images [B, C, 32, 32].

        Raises:
            LabError: for images of another size.
        """
        check_size(x, (_SIDE, _SIDE), "cnn8")
        return self.fc1(self.block3(self.block2(self.block1(x))).flatten(1))
