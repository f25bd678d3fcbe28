"""Wide ResNet-28-2 of the SLN code: pre-activation blocks, every convolution with a bias.

Names of modules and PyTorch's default initialisation follow that code, so its checkpoints load.
Zagoruyko, Komodakis: Wide Residual Networks (2016). Against the usual form, the stride of a block
sits on its second convolution, and the last batch norm has momentum 0.9: its running statistics
are nearly those of the last batch.
"""

from torch import Tensor, nn
from torch.nn.functional import relu

from pipeline.backbones.backbone import Backbone

_WIDTHS = (16, 32, 64, 128)
_BLOCKS_PER_STAGE = 4
_HEAD_MOMENTUM = 0.9


def _convolution(n_in: int, n_out: int, size: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, size, stride=stride, padding=size // 2, bias=True)


class PreActivationBlock(nn.Module):
    """Batch norm, ReLU and 3x3 convolution, twice, and a shortcut of the input as it comes."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = _convolution(n_in, n_out, 3, 1)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.conv2 = _convolution(n_out, n_out, 3, stride)
        self.shortcut = nn.Sequential()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(_convolution(n_in, n_out, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, n_out, H / stride, W / stride] of [B, n_in, H, W]."""
        out = self.conv1(relu(self.bn1(x)))
        return self.conv2(relu(self.bn2(out))) + self.shortcut(x)


class WideResNet(Backbone):
    """Three stages of four pre-activation blocks with 32, 64 and 128 channels.

    1,469,642 parameters for ten classes of RGB images, 1,481,252 for a hundred.

    Args:
        n_classes: number of classes.
        n_channels: channels of the images.
    """

    last_stage = ("layer3", "bn1")

    def __init__(self, n_classes: int, n_channels: int) -> None:
        super().__init__()
        self.conv1 = _convolution(n_channels, _WIDTHS[0], 3, 1)
        self.layer1 = self._stage(_WIDTHS[0], _WIDTHS[1], 1)
        self.layer2 = self._stage(_WIDTHS[1], _WIDTHS[2], 2)
        self.layer3 = self._stage(_WIDTHS[2], _WIDTHS[3], 2)
        self.n_features = _WIDTHS[3]
        self.bn1 = nn.BatchNorm2d(self.n_features, momentum=_HEAD_MOMENTUM)
        self.linear = nn.Linear(self.n_features, n_classes)

    @staticmethod
    def _stage(n_in: int, n_out: int, stride: int) -> nn.Sequential:
        first = PreActivationBlock(n_in, n_out, stride)
        others = (PreActivationBlock(n_out, n_out, 1) for _ in range(_BLOCKS_PER_STAGE - 1))
        return nn.Sequential(first, *others)

    def features(self, x: Tensor) -> Tensor:
        """Pooled features [B, 128] of images [B, C, H, W]."""
        out = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        # A mean has a deterministic gradient on every device; adaptive pooling has not.
        return relu(self.bn1(out)).mean(dim=(2, 3))
