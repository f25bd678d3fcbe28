"""Any model of the timm library as a backbone."""

from __future__ import annotations

import difflib
from typing import Any

from torch import Tensor

from pipeline.backbones.backbone import Backbone, check_size
from pipeline.errors import LabError, quoted, suggest

PREFIX = "timm/"


class TimmModel(Backbone):
    """A model of timm with random weights.

    Args:
        name: architecture, with or without the tag of its weights: resnet50, resnet50.tv_in1k.
        n_classes: K.
        n_channels: C.

    Raises:
        LabError: for a model that timm does not know, or one without a classifier of its own.
    """

    compiled_functions = ("features", "forward")

    def __init__(self, name: str, n_classes: int, n_channels: int) -> None:
        super().__init__()
        # timm takes a second to import: only those who name it pay.
        import timm

        if not timm.is_model(name):
            known = timm.list_models()
            raise LabError(f"unknown backbone {quoted(PREFIX + name)}", *_suggest_few(name, known))
        network: Any = timm.create_model(
            name, pretrained=False, num_classes=n_classes, in_chans=n_channels
        )
        classifier = network.default_cfg.get("classifier")
        if not isinstance(classifier, str):
            raise LabError(
                f"backbone {PREFIX + name} with {quoted(classifier)} for a classifier",
                "a network with one classifier",
                f"{PREFIX}resnet50",
            )
        self.classifier_names = (f"network.{classifier}",)
        self.n_features = int(network.head_hidden_size)
        self.network = network
        self._name = PREFIX + name

    def features(self, x: Tensor) -> Tensor:
        """What the classifier would get: pooled features [B, D] of images [B, C, H, W].

        Raises:
            LabError: for images of another size than a network of one size takes.
        """
        self._check_size(x)
        return self.network.forward_head(self.network.forward_features(x), pre_logits=True)

    def classify(self, features: Tensor) -> Tensor:
        """Logits [B, K] of features [B, D]."""
        return self.network.get_classifier()(features)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K] of images [B, C, H, W]; errors as those of `features`."""
        self._check_size(x)
        return self.network(x)

    def _check_size(self, x: Tensor) -> None:
        facts = self.network.default_cfg
        if facts.get("fixed_input_size"):
            height, width = facts["input_size"][1:]
            check_size(x, (height, width), self._name)


def _suggest_few(name: str, known: list[str]) -> tuple[str, str]:
    """As `suggest`, of the names alone that resemble: timm has a thousand."""
    few = difflib.get_close_matches(name, known, n=5, cutoff=0.3)
    return suggest(name, few or ["resnet50"], f"{PREFIX}resnet50")
