"""Networks that map images to features, and their classifiers: `make_backbone(name, ...)`."""

from torch import nn

from pipeline.backbones.resnet import resnet18, resnet34
from pipeline.backbones.small_cnn import SmallCNN
from pipeline.errors import LabError, suggest

_OWN = {"small-cnn": SmallCNN, "resnet18": resnet18, "resnet34": resnet34}


def make_backbone(name: str, n_classes: int, n_channels: int) -> nn.Module:
    """A classifier from normalised images [B, C, H, W] to logits [B, K].

    Args:
        name: small-cnn, resnet18 or resnet34 (with the stem for 32-pixel images), or timm/NAME for
            any model of timm, such as timm/resnet50, with random weights.
        n_classes: K.
        n_channels: C.

    Returns:
        The module, initialised from torch's global random stream.

    Raises:
        LabError: for an unknown name.
    """
    if name in _OWN:
        return _OWN[name](n_classes, n_channels)
    if name.startswith("timm/"):
        # timm takes a second to import: only those who name it pay.
        import timm

        model = name.removeprefix("timm/")
        if timm.is_model(model):
            return timm.create_model(
                model, pretrained=False, num_classes=n_classes, in_chans=n_channels
            )
        raise LabError(f"unknown backbone {name!r}", suggest(model, timm.list_models()[:2000]))
    raise LabError(f"unknown backbone {name!r}", suggest(name, [*_OWN, "timm/NAME"]))
