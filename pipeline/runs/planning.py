"""Planning a run: its inputs, encoders, key and row are worked out here, once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.config import Params, RunSettings
from pipeline.encoders.encoder_spec import EncoderSpec, RunEncoder, encoder_spec
from pipeline.errors import LabError
from pipeline.runs.code import code_digest
from pipeline.runs.inputs.encoders import ROLES, imported_card, knowledge_beyond, named_by
from pipeline.runs.inputs.shelf import Shelf
from pipeline.runs.key import EncoderIdentity, identify
from pipeline.runs.planned import Inputs, NamedEncoder, PlannedRun
from pipeline.runs.settings.methods import load_method
from pipeline.runs.settings.resolve import Resolved, merged, pinned, resolve
from pipeline.runs.settings.specs import noise_spec
from pipeline.training.context import Knowledge
from pipeline.training.method import Method


class Planner:
    """Plans runs; what several of them share is made and opened once.

    Args:
        params: names data sets, label tables and encoders.
        roots: data set -> folder that overrides where its files lie.
        makes: whether missing data sets, label tables and imports are made; of several processes
            one does it. Encoders that are runs are planned, not trained.
    """

    def __init__(
        self, params: Params, roots: Mapping[str, str] | None = None, makes: bool = True
    ) -> None:
        self._params = params
        self.shelf = Shelf(params, roots, makes)
        self._encoders: dict[tuple[object, ...], NamedEncoder] = {}
        self._noise_cards: dict[tuple[str, str, int | None], str] = {}

    def run(
        self, method: type[Method], resolved: Resolved, path: tuple[str, ...] = ()
    ) -> PlannedRun:
        """Plan a run.

        Args:
            method: what trains.
            resolved: its settings.
            path: names of the encoders that need this run, outermost first.

        Returns:
            The run.

        Raises:
            LabError: when an input cannot be made, and for encoders that need one another.
        """
        settings = resolved.settings
        dataset, noise, draw = settings.dataset, settings.noise, settings.seeds.noise
        place = dataset, noise, draw
        table = of_entry = self.shelf.table(dataset, noise, resolved.noise, draw)
        if draw is not None:
            entry = noise_spec(dataset, noise, self._params)
            of_entry = self.shelf.table(dataset, noise, entry)
        if place not in self._noise_cards:
            self._noise_cards[place] = table.card.to_json()
        inputs = Inputs(
            self.shelf.dataset(settings.dataset),
            table,
            {role: self.encoder(name, settings, path) for role, name in named_by(settings).items()},
            self._noise_cards[place],
            of_entry.card.labels_digest,
        )
        row = _row(method, resolved, inputs)
        return PlannedRun(method, resolved, settings, inputs, row, row["key"])

    def encoder(self, name: str, asking: RunSettings, path: tuple[str, ...] = ()) -> NamedEncoder:
        """An encoder, as a run with these settings asks for it.

        Args:
            name: of its entry in params.yaml.
            asking: settings of the run: data set, noise with its draw, and seed where the entry
                leaves them open.
            path: names of the encoders that need this one, outermost first.

        Returns:
            The encoder.

        Raises:
            LabError: for an unknown name, a faulty entry, or entries that need one another.
        """
        if name in path:
            raise LabError(
                f"encoders need one another: {' -> '.join([*path, name])}",
                "entries that start from nothing in the end",
                "leave start_from out of one of them",
            )
        spec = encoder_spec(name, self._params.encoders)
        place = (name, asking.dataset, asking.noise, asking.seeds.noise, asking.seed)
        if place not in self._encoders:
            self._encoders[place] = self._plan_encoder(name, spec, asking, (*path, name))
        return self._encoders[place]

    def _plan_encoder(
        self, name: str, spec: EncoderSpec, asking: RunSettings, path: tuple[str, ...]
    ) -> NamedEncoder:
        if not isinstance(spec, RunEncoder):
            card = imported_card(name, spec)
            knows = frozenset[Knowledge]({"extra_features"} if card.external else ())
            identity = EncoderIdentity(card.identity, card.identity)
            return NamedEncoder(name, identity, knows, None, is_closed=True)
        method = load_method(spec.method)
        # What params.yaml pins as a start, or of the seeds, is meant for runs, not for what they
        # start from.
        held = {*ROLES, "seeds"}
        usual = {k: v for k, v in pinned(method, self._params).items() if k not in held}
        place: dict[str, Any] = {key: getattr(asking, key) for key in ("dataset", "noise", "seed")}
        draw = asking.seeds.noise
        if draw is not None and spec.noise is None:
            place["seeds"] = {"noise": draw}
        resolved = resolve(method, merged(usual, place, spec.explicit), self._params)
        run = self.run(method, resolved, path)
        group = run.key if "seed" in spec.explicit else run.row["group"]
        if "seeds" in place:
            group = self.encoder(name, _without_draw(asking), path[:-1]).identity.group
        knows = frozenset(run.row["knows"])
        return NamedEncoder(name, EncoderIdentity(run.key, group), knows, run, spec.is_closed)


def _without_draw(settings: RunSettings) -> RunSettings:
    """The settings of the same run on labels as their entry draws them."""
    seeds = settings.seeds.model_copy(update={"noise": None})
    return settings.model_copy(update={"seeds": seeds})


_SAME_NAME = ("dataset", "noise", "seed", "recipe", "backbone", "epochs", "batch_size", "lr",
              "weight_decay", "precision", "determinism")  # fmt: skip


def _row(method: type[Method], resolved: Resolved, inputs: Inputs) -> dict[str, Any]:
    """Columns of the runs table; counts, status and costs are for the runner to add."""
    settings, name = resolved.settings, method.name()
    data, noise = inputs.dataset.card, inputs.table.card
    identities = {role: one.identity for role, one in inputs.encoders.items()}
    identity = identify(
        name, method.VERSION, settings, data.digest, noise.labels_digest,
        inputs.entry_labels_digest, identities,
    )  # fmt: skip
    is_redrawn = inputs.entry_labels_digest != noise.labels_digest
    return {
        "key": identity.key,
        "group": identity.group,
        "method": name,
        "variant": method.variant(settings),
        "version": method.VERSION,
        "n_networks": method.n_networks(settings),
        **{name: getattr(settings, name) for name in _SAME_NAME},
        **{f"seed_{stream}": seed for stream, seed in settings.seeds.set_apart.items()},
        "noise_kind": noise.generator,
        "nominal_rate": noise.nominal_rate,
        "realised_rate": noise.realised_rate,
        "recipe_status": resolved.recipe_status,
        "n_trials": resolved.n_trials,
        "settings": json.dumps(settings.model_dump(mode="json"), sort_keys=True),
        "data_digest": data.digest,
        "labels_digest": noise.labels_digest,
        "entry_labels_digest": inputs.entry_labels_digest if is_redrawn else None,
        "encoder_digest": "+".join(one.key for one in identities.values()) or None,
        "encoders": [one.name for one in inputs.encoders.values()] or None,
        "noise_card": inputs.noise_card,
        "code_digest": code_digest(name),
        "knows": sorted(_knowledge(method, resolved, inputs)),
        "class_names": list(data.class_names),
    }


def _knowledge(method: type[Method], resolved: Resolved, inputs: Inputs) -> set[Knowledge]:
    """Knowledge beyond the noisy labels, from wherever it comes into the run."""
    settings = resolved.settings
    own = set(method.knowledge(settings))
    if resolved.by_noise:
        own.add("noise_recipe")
    if settings.validation != "held-out":
        own.add("clean_validation")
    for encoder in inputs.encoders.values():
        own |= knowledge_beyond(encoder, settings.dataset, inputs.table)
    return own
