"""Pre-activation ResNet-18 for 32-pixel images, as codes of semi-supervised methods have it.

Those of DivideMix and ELR+, and of SOP (snapshot 4d991ce), SSR (849530d) and PES (ec5290d), agree.
He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks (2016). Against the usual form,
batch norm and ReLU follow the stem and are missing before the pool, and a block adds its activated
input, not the input itself. Names of modules and PyTorch's default initialisation follow SOP.
"""

from torch import Tensor, nn
from torch.nn.functional import relu

from pipeline.backbones.backbone import Backbone

_WIDTHS = (64, 128, 256, 512)
_BLOCKS_PER_STAGE = 2


def _convolution(n_in: int, n_out: int, size: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, size, stride=stride, padding=size // 2, bias=False)


class ActivatedBlock(nn.Module):
    """Batch norm, ReLU and 3x3 convolution, twice, beside a shortcut of the activated input."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = _convolution(n_in, n_out, 3, stride)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.conv2 = _convolution(n_out, n_out, 3, 1)
        self.shortcut = nn.Sequential()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(_convolution(n_in, n_out, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, n_out, H / stride, W / stride] of [B, n_in, H, W]."""
        activated = relu(self.bn1(x))
        out = self.conv1(activated)
        return self.conv2(relu(self.bn2(out))) + self.shortcut(activated)


class PreActResNet(Backbone):
    """Four stages of two blocks with 64, 128, 256 and 512 channels.

    11,171,274 parameters for ten classes of RGB images, 11,217,444 for a hundred.

    Args:
        n_classes: number of classes.
        n_channels: channels of the images.
    """

    def __init__(self, n_classes: int, n_channels: int) -> None:
        super().__init__()
        self.conv1 = _convolution(n_channels, _WIDTHS[0], 3, 1)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.layer1 = _stage(_WIDTHS[0], _WIDTHS[0], 1)
        self.layer2 = _stage(_WIDTHS[0], _WIDTHS[1], 2)
        self.layer3 = _stage(_WIDTHS[1], _WIDTHS[2], 2)
        self.layer4 = _stage(_WIDTHS[2], _WIDTHS[3], 2)
        self.n_features = _WIDTHS[3]
        self.linear = nn.Linear(self.n_features, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """Pooled features [B, 512] of images [B, C, H, W]; they may be negative."""
        out = relu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            out = stage(out)
        # A mean has a deterministic gradient on every device; adaptive pooling has not.
        return out.mean(dim=(2, 3))


def _stage(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    first = ActivatedBlock(n_in, n_out, stride)
    others = (ActivatedBlock(n_out, n_out, 1) for _ in range(_BLOCKS_PER_STAGE - 1))
    return nn.Sequential(first, *others)
