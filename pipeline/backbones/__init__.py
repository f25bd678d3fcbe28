"""Networks that map images to features, and their classifiers: `make_backbone(name, ...)`."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.backbones.backbone import Backbone as Backbone
from pipeline.backbones.cnn6 import CNN6
from pipeline.backbones.cnn8 import CNN8
from pipeline.backbones.cnn9 import CNN9
from pipeline.backbones.lenet import LeNet
from pipeline.backbones.preact_resnet import preact_resnet18
from pipeline.backbones.resnet import resnet18, resnet34, resnet50
from pipeline.backbones.simclr_resnet import torchvision_start
from pipeline.backbones.small_cnn import SmallCNN
from pipeline.backbones.timm_model import PREFIX, TimmModel
from pipeline.backbones.uniform_start import uniform_start
from pipeline.backbones.wide_resnet import WideResNet
from pipeline.errors import LabError, quoted, suggest

_OWN: dict[str, Callable[[int, int], Backbone]] = {
    "small-cnn": SmallCNN,
    "cnn6": CNN6,
    "cnn8": CNN8,
    "cnn9": CNN9,
    "lenet": LeNet,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "preact18": preact_resnet18,
    "wrn28-2": WideResNet,
    "resnet18-normal": torchvision_start(resnet18, stem=True),
    "resnet34-uniform": uniform_start(resnet34),
    "resnet18-simclr": torchvision_start(resnet18),
    "resnet34-simclr": torchvision_start(resnet34),
    "resnet50-simclr": torchvision_start(resnet50),
}


def make_backbone(name: str, n_classes: int, n_channels: int) -> Backbone:
    """A classifier from normalised images [B, C, H, W] to logits [B, K].

    Args:
        name: small-cnn; cnn9; cnn6 or lenet (for 32-pixel images); cnn8; preact18; wrn28-2;
            resnet18, resnet34 or resnet50 (with the stem for 32-pixel images), also with the random
            start of SimCLR codes (resnet34-simclr), that of torchvision (resnet18-normal) or that
            of cnn8 (resnet34-uniform); or timm/NAME for any model of timm, such as timm/resnet50,
            with random weights.
        n_classes: K.
        n_channels: C.

    Returns:
        The module, initialised from torch's global random stream.

    Raises:
        LabError: for an unknown name.
    """
    if name in _OWN:
        return _OWN[name](n_classes, n_channels)
    if name.startswith(PREFIX):
        return TimmModel(name.removeprefix(PREFIX), n_classes, n_channels)
    raise LabError(
        f"unknown backbone {quoted(name)}", *suggest(name, [*_OWN, f"{PREFIX}NAME"], "small-cnn")
    )
