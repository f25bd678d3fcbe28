"""From defaults, recipe, params.yaml and flags or a grid to the settings of one run: one way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.config import Params, RunSettings, validated
from pipeline.noise.draws import redrawn, seed_of
from pipeline.noise.noise_spec import NoiseSpec
from pipeline.runs.settings.recipes import choose
from pipeline.runs.settings.specs import noise_name, noise_spec
from pipeline.training.method import Method


class Resolved(NamedTuple):
    """The settings of a run, and how far its recipe was made for it."""

    settings: RunSettings
    recipe_status: str
    noise: NoiseSpec
    """What its label table is made from: the entry of that name, or another draw of it."""
    by_noise: frozenset[str]
    """Settings that the recipe chose by the kind or the rate of the label noise."""
    n_trials: int | None = None
    """Settings that a search compared before it chose these; None where none did."""


def pinned(method: type[Method], params: Params) -> dict[str, Any]:
    """What params.yaml pins for a method: its `run` block and the method's own."""
    return merged(params.run, params.methods.get(method.name(), {}))


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Explicit settings, later layers winning; the seeds of streams are merged one by one."""
    whole: dict[str, Any] = {}
    for layer in layers:
        before, seeds = whole.get("seeds"), layer.get("seeds")
        whole |= layer
        if isinstance(before, dict) and isinstance(seeds, dict):
            whole["seeds"] = before | seeds
    return whole


def resolve_over_pinned(
    method: type[Method], params: Params, *layers: Mapping[str, Any]
) -> Resolved:
    """Resolve explicit settings over those that params.yaml pins.

    Args:
        method: whose settings.
        params: that pin some, and name the label noises.
        layers: explicit settings, later layers winning.

    Returns:
        As `resolve`.

    Raises:
        LabError: as `resolve`.
    """
    return resolve(method, merged(pinned(method, params), *layers), params)


def resolve(method: type[Method], values: dict[str, Any], params: Params) -> Resolved:
    """Complete explicit settings by the recipe and the class defaults.

    Args:
        method: whose settings.
        values: explicit settings, from params.yaml, a grid or flags.
        params: names the label noises.

    Returns:
        The checked settings and the status of their recipe.

    Raises:
        LabError: for an unknown key, recipe or noise, or a value out of range.
    """
    name, fields = method.name(), method.Settings.model_fields
    cell = {field: known.default for field, known in fields.items()} | values
    if isinstance(cell["noise"], str):
        values = values | {"noise": noise_name(cell["noise"], params)}
        cell |= values
    spec = noise_spec(cell["dataset"], cell["noise"], params)
    facts = {"noise_kind": kind_of_labels(spec), "rate": getattr(spec, "rate", None)}
    choice = choose(name, cell["recipe"], cell | facts)
    given = validated(method.Settings, choice.settings | values, f"settings of {name}")
    settings = _without_idle_seeds(given, spec)
    draw = settings.seeds.noise
    drawn = spec if draw is None else redrawn(spec, draw)
    is_chosen = all(
        _plain(values[field]) == _plain(value)
        for field, value in choice.searched.items()
        if field in values
    )
    by_noise = choice.by_noise - set(values)
    n_trials = choice.n_trials if is_chosen else None
    return Resolved(settings, choice.status, drawn, by_noise, n_trials)


def _without_idle_seeds(settings: RunSettings, spec: NoiseSpec) -> RunSettings:
    """The settings without seeds that change no number: equal numbers have equal settings."""
    idle: dict[str, None] = {}
    for stream, seed in settings.seeds.set_apart.items():
        usual = settings.seed
        if stream == "noise":
            drawn_by = seed_of(spec)
            usual = seed if drawn_by is None else drawn_by
        if seed == usual or (stream == "split" and not settings.splits):
            idle[stream] = None
    seeds = settings.seeds.model_copy(update=idle)
    return settings.model_copy(update={"seeds": seeds}) if idle else settings


def _plain(value: Any) -> Any:
    """A value as YAML has it: flags give tuples."""
    return list(value) if isinstance(value, tuple) else value


def kind_of_labels(spec: NoiseSpec) -> str:
    """The kind of noise; of published labels the one they are said to follow, if it has a name."""
    stated: str | None = getattr(spec, "convention", None)
    return spec.kind if stated is None or "+" in stated else stated.partition("/")[0]
