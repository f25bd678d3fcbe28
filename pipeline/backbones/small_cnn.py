"""A small convolutional network for the handwritten digits and for CPU-sized runs."""

from torch import Tensor, nn

from pipeline.backbones.backbone import Backbone


def _block(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    # Group norm: a run on several processes equals the run on one, which batch norm would break.
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(8, n_out),
        nn.ReLU(inplace=True),
    )


class SmallCNN(Backbone):
    """Three strided 3x3 convolutions with group norm: 24 thousand parameters, under 1 MFLOP.

    Args:
        n_classes: number of classes.
        n_channels: channels of the images, which may be 8 pixels wide or more.
    """

    last_stage = ("body.2",)

    def __init__(self, n_classes: int, n_channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _block(n_channels, 16, stride=2), _block(16, 32, stride=2), _block(32, 64, stride=2)
        )
        self.n_features = 64
        self.linear = nn.Linear(64, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """Pooled features [B, 64] of images [B, C, H, W]."""
        return self.body(x).mean(dim=(2, 3))
