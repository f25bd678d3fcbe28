"""One network in parts from first to last, the later of which may be made anew."""

from __future__ import annotations

from torch import Tensor

from methods.parts.one_network import OneNetwork
from pipeline.backbones import make_backbone
from pipeline.config import RunSettings
from pipeline.training.method import Problem
from pipeline.training.peers import seeded

PARTS = ("body", "stage", "classifier")
"""From first to last: names of parameter groups."""


class NetworkInParts(OneNetwork):
    """A method whose network has a parameter group for each of its parts.

    Args:
        settings: of the run.
        problem: what the method is built for.
        with_stage: whether the last stage is a part of its own, or belongs to the body.
    """

    def __init__(self, settings: RunSettings, problem: Problem, with_stage: bool) -> None:
        super().__init__(settings, problem)
        self.n_channels = problem.image_shape[2]
        self.parts = PARTS if with_stage else (PARTS[0], PARTS[2])

    def parameter_groups(self) -> list[dict[str, object]]:
        """One for each part of the network; they name their optimiser, so that it may change."""
        parts: dict[str, list[Tensor]] = {}
        for name, parameter in self.network.named_parameters():
            parts.setdefault(self._part(name), []).append(parameter)
        kind = self.settings.optimizer
        return [{"name": name, "params": own, "optimizer": kind} for name, own in parts.items()]

    def renew(self, parts: tuple[str, ...]) -> None:
        """Give parts of the network the random start of a new one."""
        sizes = self.n_classes, self.n_channels
        with seeded(self.settings, "renewed", *parts):
            fresh = make_backbone(self.settings.backbone, *sizes).state_dict()
        new = {name: value for name, value in fresh.items() if self._part(name) in parts}
        self.network.load_state_dict(new, strict=False)

    def _part(self, name: str) -> str:
        """The part to which a parameter or buffer of the network belongs."""
        if self.network.in_classifier(name):
            return "classifier"
        stage = self.network.last_stage if "stage" in self.parts else ()
        return "stage" if any(name.startswith(f"{module}.") for module in stage) else "body"
