"""ResNets with the stem for 32-pixel images (3x3 convolution, no pooling) of the DAL code.

Names of modules and PyTorch's default initialisation follow that code, so its checkpoints load.
He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition (2016), basic blocks.
"""

from torch import Tensor, nn
from torch.nn.functional import relu


def _convolution(n_in: int, n_out: int, size: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, size, stride=stride, padding=size // 2, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(n_in, n_out, 3, stride)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = _convolution(n_out, n_out, 3, 1)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                _convolution(n_in, n_out, 1, stride), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, n_out, H / stride, W / stride] of [B, n_in, H, W]."""
        out = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class ResNet(nn.Module):
    """A residual network of four stages with 64, 128, 256 and 512 channels.

    Args:
        depths: blocks per stage.
        n_classes: number of classes.
        n_channels: channels of the images.
    """

    def __init__(self, depths: tuple[int, int, int, int], n_classes: int, n_channels: int) -> None:
        super().__init__()
        self.conv1 = _convolution(n_channels, 64, 3, 1)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = self._stage(64, 64, depths[0], 1)
        self.layer2 = self._stage(64, 128, depths[1], 2)
        self.layer3 = self._stage(128, 256, depths[2], 2)
        self.layer4 = self._stage(256, 512, depths[3], 2)
        self.linear = nn.Linear(512, n_classes)

    @staticmethod
    def _stage(n_in: int, n_out: int, depth: int, stride: int) -> nn.Sequential:
        first = BasicBlock(n_in, n_out, stride)
        return nn.Sequential(first, *(BasicBlock(n_out, n_out, 1) for _ in range(depth - 1)))

    def features(self, x: Tensor) -> Tensor:
        """Pooled features [B, 512] of images [B, C, H, W]."""
        out = relu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            out = stage(out)
        # A mean has a deterministic gradient on every device; adaptive pooling has not.
        return out.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K] of images [B, C, H, W]."""
        return self.linear(self.features(x))


def resnet18(n_classes: int, n_channels: int) -> ResNet:
    """ResNet-18: 11,173,962 parameters for ten classes."""
    return ResNet((2, 2, 2, 2), n_classes, n_channels)


def resnet34(n_classes: int, n_channels: int) -> ResNet:
    """ResNet-34."""
    return ResNet((3, 4, 6, 3), n_classes, n_channels)
