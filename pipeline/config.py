"""params.yaml and flags -> frozen, checked settings; an unknown key is answered with the nearest.

Values are resolved in this order, later ones winning: the defaults of the settings class, the rows
of the recipe that match the cell, what params.yaml pins, the flags.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from pipeline.errors import LabError, suggest
from pipeline.files import project_root

Model = TypeVar("Model", bound=BaseModel)

STRICT = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
NOT_IN_KEY: dict[str, JsonValue] = {"in_key": False}
"""Marks a settings field whose meaning reaches the key by another way (a digest) or not at all."""


class RunSettings(BaseModel):
    """What changes the numbers of a run, whatever the method."""

    model_config = STRICT

    dataset: str = Field("digits", json_schema_extra=NOT_IN_KEY)
    """Name of the data set: digits, cifar10, cifar100 or one named in params.yaml."""
    noise: str = Field("clean", json_schema_extra=NOT_IN_KEY)
    """Name of the label table: one of the `noise` block of params.yaml, or `clean`."""
    seed: int = Field(0, ge=0)
    """Root seed; all random streams of the run derive from it by name."""
    recipe: str = Field("pocket", json_schema_extra=NOT_IN_KEY)
    """Named set of settings (methods/recipes/): the defaults of everything below."""
    epochs: int = Field(150, ge=1)
    """Number of passes over the training samples."""
    batch_size: int = Field(128, ge=1)
    """Global batch size, split over the processes."""
    backbone: str = "resnet18"
    """Network: small-cnn, one with the 32-pixel stem (resnet18, resnet34, resnet50, wrn28-2) or
    timm/NAME."""
    start_from: str | None = Field(None, json_schema_extra=NOT_IN_KEY)
    """Encoder (params.yaml: encoders) whose weights the network starts from; None for random."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Optimiser."""
    lr: float = Field(0.01, gt=0)
    """Learning rate at the start ."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of sgd."""
    nesterov: bool = False
    """Nesterov momentum in sgd."""
    weight_decay: float = Field(1e-4, ge=0)
    """L2 weight decay on all parameters."""
    schedule: Literal["cosine", "exponential", "step", "constant", "warmup-cosine"] = "cosine"
    """Learning rate over the epochs; warmup-cosine changes it with every step."""
    lr_decay: float = Field(0.1, gt=0, le=1)
    """Factor per epoch (exponential) or per milestone (step)."""
    lr_milestones: tuple[int, ...] = ()
    """Epochs at which the step schedule multiplies the rate by lr_decay."""
    warmup_epochs: float = Field(0.0, ge=0, json_schema_extra={"as_before": 0.0})
    """Epochs over which the warmup-cosine schedule rises from 0."""
    lr_horizon: float | None = Field(None, gt=0, json_schema_extra={"as_before": None})
    """Epoch at which the warmup-cosine schedule would reach 0; None for the last one."""
    clip_norm: float | None = Field(None, gt=0)
    """Largest total L2 norm of the gradient; None leaves it."""
    clip_separately: bool = Field(False, json_schema_extra={"as_before": False})
    """Apply clip_norm to each parameter group of the method by itself."""
    crop_padding: int = Field(4, ge=0)
    """Zero padding in pixels before the random crop of the weak view; 0 for no crop."""
    flip: bool = True
    """Random horizontal flip in the weak and the strong view."""
    strong_scale: float = Field(0.08, gt=0, le=1, json_schema_extra={"as_before": 0.08})
    """Least share of the image's area that the random crop of the strong view covers."""
    normalisation: Literal["measured", "cifar10", "cifar100", "imagenet"] = "measured"
    """Channel mean and standard deviation: measured on the training images, or common constants."""
    transform: str | None = Field(None, json_schema_extra={"as_before": None})
    """How images that are decoded from files are resized, cropped and coloured; None for the usual
    way of the data set (docs/datasets.md)."""
    drop_last: bool = Field(False, json_schema_extra={"as_before": False})
    """Leave out the last batch of an epoch where it is smaller than the others."""
    sampling: Literal["all", "balanced"] = Field("all", json_schema_extra={"as_before": "all"})
    """Samples of an epoch: all, or equally many of each given label, drawn anew each epoch."""
    per_class: int | None = Field(None, ge=1, json_schema_extra={"as_before": None})
    """At most so many samples per given label of a balanced epoch, and never more than the rarest
    label has; None for just that many."""
    down_sample: bool = Field(False, json_schema_extra={"as_before": False})
    """Train, in all epochs, on as many samples of each given label as the rarest one has."""
    validation: Literal["held-out", "uncovered", "provided"] = Field(
        "held-out", json_schema_extra={"as_before": "held-out"}
    )
    """Validation samples: `val_rate` of the labelled ones; the training images that the label
    table leaves out, with their clean labels; or the data set's own clean validation split."""
    val_rate: float = Field(0.0, ge=0, lt=1)
    """Fraction of the labelled training samples held out for validation."""
    averaging: float | None = Field(None, gt=0, lt=1, json_schema_extra={"as_before": None})
    """Decay per step of an exponential moving average of the weights, evaluated beside them; None
    for none."""
    average_buffers: bool = Field(True, json_schema_extra={"as_before": True})
    """Whether the moving average takes in the running statistics of batch norm."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the network's forward pass; losses are computed in float32 or better."""
    determinism: Literal["off", "warn", "error"] = "error"
    """Whether operations without a deterministic implementation pass, warn or stop the run."""


class Execution(BaseModel):
    """How a run is carried out; nothing here is part of its key."""

    model_config = STRICT

    root: str | None = None
    """Folder or archive with a copy of the data set, where it cannot be downloaded."""
    force: bool = False
    """Run again although the store already holds the result."""
    channels_last: bool = True
    """Keep images in channels-last memory order (faster convolutions)."""
    compile: bool = False
    """Compile the network with torch.compile (worth its start-up time on long GPU runs only)."""
    checkpoint_seconds: float = Field(30.0, ge=0)
    """Least time between two checkpoints; a stop signal writes one at once."""
    tracking: bool = True
    """Show the run in MLflow as it goes; the store is written either way."""
    workers: int = Field(4, ge=0)
    """Processes that decode images, where they stay in files of their own; 0 for none."""
    posterior: bool = False
    """Keep the softmax outputs of the training pass, from which pmd and dependent noise is made."""
    keep_weights: bool = False
    """Keep the trained weights beside the stored run, as an encoder entry of kind run asks."""
    group: str = "single"
    """Name under which MLflow groups the runs of one sweep."""


class Grid(BaseModel):
    """A named cross of data sets, label tables, methods and seeds."""

    model_config = STRICT

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Name of the grid: of its view in results/views and of its group in MLflow."""
    datasets: tuple[str, ...] = Field(min_length=1)
    noises: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    runs: tuple[dict[str, Any], ...] = Field(min_length=1)
    """Blocks of settings, each naming its `method`; a list of values is crossed with the others."""
    workers: int = Field(1, ge=1)
    """Processes that compute cells at the same time."""
    encoders: tuple[str, ...] = ()
    """Encoders that DVC makes before the runs; each names all it needs (docs/encoders.md)."""


class Params(BaseModel):
    """params.yaml, checked."""

    model_config = STRICT

    datasets: dict[str, dict[str, Any]] = {}
    """Data sets by name; the built-in names need no entry."""
    noise: dict[str, dict[str, Any]] = {}
    """Label tables by name: kind, rate, seed and what the kind needs."""
    encoders: dict[str, dict[str, Any]] = {}
    """Encoders by name: kind and what the kind needs."""
    run: dict[str, Any] = {}
    """Settings of every method script, where they differ from the recipe."""
    methods: dict[str, dict[str, Any]] = {}
    """Settings of one method script each, by its file name."""
    grid: Grid | None = None
    """The grid of runs that `dvc repro` computes."""


def validated(model: type[Model], values: dict[str, Any], where: str) -> Model:
    """Make `model` from `values`.

    Args:
        model: settings class.
        values: its fields.
        where: what the values belong to, for the error.

    Returns:
        The frozen settings.

    Raises:
        LabError: naming the first offending key, what is allowed and the nearest known key.
    """
    try:
        return model.model_validate(values)
    except ValidationError as failure:
        # A misspelt key is both unknown and missing: the unknown one says what happened.
        first = min(
            failure.errors(include_url=False), key=lambda error: error["type"] != "extra_forbidden"
        )
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = (
            model.model_fields if len(first["loc"]) == 1 else _nested_fields(model, first["loc"])
        )
        raise LabError(f"unknown key {path!r} in {where}", *suggest(str(first["loc"][-1]), known))
    if first["type"] == "missing":
        raise LabError(f"{where} lacks {path!r}", first["msg"].lower())
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    raise LabError(f"{where}: {path} = {first['input']!r}" if path else where, message)


def _nested_fields(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    inner = model.model_fields[str(location[0])].annotation
    for candidate in getattr(inner, "__args__", (inner,)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return list(candidate.model_fields)
    return []


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        LabError: when the file is missing, is not YAML or holds no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LabError(
            f"{path} is missing", "a YAML file of settings", "git checkout params.yaml"
        ) from None
    except yaml.YAMLError as failure:
        raise LabError(f"{path} is not valid YAML", str(failure), "mend that line") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise LabError(f"{path} holds a {type(content).__name__}", "a mapping of settings")
    return content


@lru_cache(maxsize=8)
def _read_params(path: Path, modified_ns: int) -> Params:
    del modified_ns  # part of the cache key only
    return validated(Params, read_yaml(path), path.name)


def params_path(path: Path | None = None) -> Path:
    """The params.yaml of the project, or the other file that was named."""
    return (path or project_root() / "params.yaml").resolve()


def read_params(path: Path | None = None) -> Params:
    """The checked params.yaml of the project, or another file of the same form."""
    found = params_path(path)
    return _read_params(found, found.stat().st_mtime_ns if found.exists() else 0)


def grid_of(params: Params) -> Grid:
    """The grid that params.yaml defines.

    Raises:
        LabError: when it defines none.
    """
    if params.grid is None:
        raise LabError(
            "params.yaml has no grid", "a grid block", "git checkout params.yaml shows one"
        )
    return params.grid


def key_facts(settings: BaseModel) -> dict[str, Any]:
    """The settings that belong in a run's key.

    Left out are fields marked `in_key: False`, and fields at the value declared as `as_before`:
    one that was added later keeps old keys valid by declaring the value that means no change.
    """
    facts: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        marks = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        value = getattr(settings, name)
        unchanged = "as_before" in marks and value == marks["as_before"]
        if marks.get("in_key", True) and not unchanged:
            facts[name] = value
    return facts
