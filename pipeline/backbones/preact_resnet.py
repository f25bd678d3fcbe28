"""Pre-activation ResNet-18 for 32-pixel images, as codes of semi-supervised methods have it.

Those of DivideMix and ELR+, and of SOP (snapshot 4d991ce), SSR (849530d) and PES (ec5290d), agree.
He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks (2016). Against the usual form,
batch norm and ReLU follow the stem and are missing before the pool, and a block adds its activated
input, not the input itself. Names of modules and PyTorch's default initialisation follow SOP.
"""

from torch import Tensor, nn
from torch.nn.functional import relu

from pipeline.backbones.resnet import ResidualBlock, ResNet, convolution


class ActivatedBlock(ResidualBlock):
    """Batch norm, ReLU and 3x3 convolution, twice, beside a shortcut of the activated input."""

    def __init__(self, n_in: int, n_own: int, stride: int) -> None:
        super().__init__(n_in, n_own, stride)
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = convolution(n_in, n_own, 3, stride)
        self.bn2 = nn.BatchNorm2d(n_own)
        self.conv2 = convolution(n_own, n_own, 3, 1)
        self.shortcut = nn.Sequential()
        if stride != 1 or n_in != n_own:
            self.shortcut = nn.Sequential(convolution(n_in, n_own, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, n_own, H / stride, W / stride] of [B, n_in, H, W]."""
        activated = relu(self.bn1(x))
        out = self.conv1(activated)
        return self.conv2(relu(self.bn2(out))) + self.shortcut(activated)


def preact_resnet18(n_classes: int, n_channels: int) -> ResNet:
    """Pre-activation ResNet-18, 11,171,274 parameters for ten classes of RGB images.

    Its features may be negative.
    """
    return ResNet(ActivatedBlock, (2, 2, 2, 2), n_classes, n_channels)
