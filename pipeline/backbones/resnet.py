"""ResNets with the stem for 32-pixel images (3x3 convolution, no pooling) of the DAL code.

Names of modules and PyTorch's default initialisation follow that code, so its checkpoints load.
He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition (2016). The LRA-Diffusion code has
the same networks, with names to match, and ResNet-50.
"""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import relu

from pipeline.backbones.backbone import Backbone


def convolution(n_in: int, n_out: int, size: int, stride: int) -> nn.Conv2d:
    """A convolution without bias that keeps the size of its input at stride 1."""
    return nn.Conv2d(n_in, n_out, size, stride=stride, padding=size // 2, bias=False)


def _shortcut(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    """Nothing where the shape stays, else a projection."""
    if stride == 1 and n_in == n_out:
        return nn.Sequential()
    return nn.Sequential(convolution(n_in, n_out, 1, stride), nn.BatchNorm2d(n_out))


class ResidualBlock(nn.Module):
    """A block of a residual network.

    Args:
        n_in: channels of its input.
        n_own: channels of its own.
        stride: between positions of its output.
    """

    expansion: ClassVar[int] = 1
    """Channels of the output for each of the block's own."""

    def __init__(self, n_in: int, n_own: int, stride: int) -> None:
        del n_in, n_own, stride
        super().__init__()


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, n_in: int, n_own: int, stride: int) -> None:
        super().__init__(n_in, n_own, stride)
        self.conv1 = convolution(n_in, n_own, 3, stride)
        self.bn1 = nn.BatchNorm2d(n_own)
        self.conv2 = convolution(n_own, n_own, 3, 1)
        self.bn2 = nn.BatchNorm2d(n_own)
        self.shortcut = _shortcut(n_in, n_own, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, n_own, H / stride, W / stride] of [B, n_in, H, W]."""
        out = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class Bottleneck(ResidualBlock):
    """A 3x3 convolution between two of 1x1, the last with four times the channels."""

    expansion: ClassVar[int] = 4

    def __init__(self, n_in: int, n_own: int, stride: int) -> None:
        super().__init__(n_in, n_own, stride)
        n_out = n_own * self.expansion
        self.conv1 = convolution(n_in, n_own, 1, 1)
        self.bn1 = nn.BatchNorm2d(n_own)
        self.conv2 = convolution(n_own, n_own, 3, stride)
        self.bn2 = nn.BatchNorm2d(n_own)
        self.conv3 = convolution(n_own, n_out, 1, 1)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.shortcut = _shortcut(n_in, n_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, 4 n_own, H / stride, W / stride] of [B, n_in, H, W]."""
        out = relu(self.bn1(self.conv1(x)))
        out = relu(self.bn2(self.conv2(out)))
        return relu(self.bn3(self.conv3(out)) + self.shortcut(x))


class ResNet(Backbone):
    """A residual network of four stages whose blocks have 64, 128, 256 and 512 own channels.

    Args:
        block: kind of block.
        depths: blocks per stage.
        n_classes: number of classes.
        n_channels: channels of the images.
    """

    last_stage = ("layer4",)

    def __init__(
        self,
        block: type[ResidualBlock],
        depths: tuple[int, int, int, int],
        n_classes: int,
        n_channels: int,
    ) -> None:
        super().__init__()
        self.conv1 = convolution(n_channels, 64, 3, 1)
        self.bn1 = nn.BatchNorm2d(64)
        wide = block.expansion
        self.layer1 = _stage(block, 64, 64, depths[0], 1)
        self.layer2 = _stage(block, 64 * wide, 128, depths[1], 2)
        self.layer3 = _stage(block, 128 * wide, 256, depths[2], 2)
        self.layer4 = _stage(block, 256 * wide, 512, depths[3], 2)
        self.n_features = 512 * wide
        self.linear = nn.Linear(self.n_features, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """Pooled features [B, 512], or [B, 2048] of bottlenecks, of images [B, C, H, W]."""
        out = relu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            out = stage(out)
        # A mean has a deterministic gradient on every device; adaptive pooling has not.
        return out.mean(dim=(2, 3))


def _stage(
    block: type[ResidualBlock], n_in: int, n_own: int, depth: int, stride: int
) -> nn.Sequential:
    n_out = n_own * block.expansion
    others = (block(n_out, n_own, 1) for _ in range(depth - 1))
    return nn.Sequential(block(n_in, n_own, stride), *others)


def resnet18(n_classes: int, n_channels: int) -> ResNet:
    """ResNet-18: 11,173,962 parameters for ten classes."""
    return ResNet(BasicBlock, (2, 2, 2, 2), n_classes, n_channels)


def resnet34(n_classes: int, n_channels: int) -> ResNet:
    """ResNet-34: 21,282,122 parameters for ten classes."""
    return ResNet(BasicBlock, (3, 4, 6, 3), n_classes, n_channels)


def resnet50(n_classes: int, n_channels: int) -> ResNet:
    """ResNet-50: 23,520,842 parameters for ten classes."""
    return ResNet(Bottleneck, (3, 4, 6, 3), n_classes, n_channels)
