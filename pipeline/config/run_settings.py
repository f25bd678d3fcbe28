"""Settings of a run and of how it is carried out, with the bounds of each."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, JsonValue, model_validator

from pipeline.config.checking import STRICT
from pipeline.config.seeds import NOT_IN_KEY, Seed, Seeds, StreamName
from pipeline.errors import LabError, quoted
from pipeline.identity import seed_stream
from pipeline.names import checked_name

Compile = Literal["off", "default", "reduce-overhead"]
"""Modes in which networks are compiled."""
MAX_WORKERS = 256
"""Processes of one kind that a program starts at most."""
_MAX_EPOCHS = 100_000


def named(what: str) -> AfterValidator:
    """Marks text that must be a name: a folder, a DVC stage, a word of a command line."""
    return AfterValidator(lambda name: checked_name(name, what))


class RunSettings(BaseModel):
    """What changes the numbers of a run, whatever the method."""

    model_config = STRICT

    dataset: Annotated[str, named("data set")] = Field("digits", json_schema_extra=NOT_IN_KEY)
    """Name of the data set: digits, cifar10, cifar100 or one named in params.yaml."""
    noise: Annotated[str, named("noise")] = Field("clean", json_schema_extra=NOT_IN_KEY)
    """Label table: one of the `noise` block of params.yaml, an imported one, KIND:RATE such as
    symmetric:0.4, or `clean`, the labels as they are given."""
    seed: Seed = 0
    """Root seed; all random streams of the run derive from it by name."""
    seeds: Seeds = Field(
        Seeds(), exclude_if=lambda seeds: not seeds.set_apart, json_schema_extra={"as_before": {}}
    )
    """Seeds of single random streams, where they are not to follow the root seed."""
    recipe: Annotated[str, named("recipe")] = Field("pocket", json_schema_extra=NOT_IN_KEY)
    """Named set of settings (methods/recipes/): the defaults of everything below."""
    epochs: int = Field(150, ge=1, le=_MAX_EPOCHS)
    """Number of passes over the training samples, 1 to 100,000."""
    batch_size: int = Field(128, ge=1, le=2**20)
    """Global batch size, split over the processes; 1 to 1,048,576."""
    backbone: str = "resnet18"
    """Network: small-cnn, one for 32-pixel images (cnn8, preact18, resnet18, resnet34, resnet50,
    wrn28-2) or timm/NAME."""
    start_from: Annotated[str, named("encoder")] | None = Field(None, json_schema_extra=NOT_IN_KEY)
    """Encoder (params.yaml: encoders) whose weights the network starts from; None for random."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Optimiser."""
    lr: float = Field(0.01, gt=0, le=1000)
    """Initial learning rate, above 0 and at most 1,000."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of sgd, from 0 to below 1."""
    nesterov: bool = False
    """Nesterov momentum in sgd."""
    weight_decay: float = Field(1e-4, ge=0, le=1000)
    """L2 weight decay on all parameters, from 0 to 1,000."""
    schedule: Literal[
        "cosine", "exponential", "step", "constant", "warmup-cosine", "cosine-restarts", "linear"
    ] = "cosine"
    """Learning rate over the epochs; warmup-cosine changes it with every step."""
    lr_decay: float = Field(0.1, gt=0, le=1)
    """Factor per epoch (exponential) or per milestone (step), above 0 and at most 1."""
    lr_milestones: tuple[Annotated[int, Field(ge=1, le=_MAX_EPOCHS)], ...] = Field(
        (), max_length=1000
    )
    """Epochs at which the step schedule multiplies the rate by lr_decay, in ascending order."""
    warmup_epochs: float = Field(0.0, ge=0, le=_MAX_EPOCHS, json_schema_extra={"as_before": 0.0})
    """Epochs over which the warmup-cosine schedule rises from 0; at most `epochs`."""
    lr_horizon: float | None = Field(
        None, gt=0, le=10 * _MAX_EPOCHS, json_schema_extra={"as_before": None}
    )
    """Epoch at which the warmup-cosine schedule would reach 0, not before the last one; None for
    the last one."""
    lr_cycle: int = Field(10, ge=1, le=_MAX_EPOCHS, json_schema_extra={"as_before": 10})
    """Epochs after which the cosine-restarts schedule begins anew, 1 to 100,000."""
    lr_min: float = Field(0.0, ge=0, le=1000, json_schema_extra={"as_before": 0.0})
    """Rate that each cycle of cosine-restarts approaches, from 0 to `lr`, at most 1,000."""
    lr_decay_from: int = Field(0, ge=0, lt=_MAX_EPOCHS, json_schema_extra={"as_before": 0})
    """Epoch, from 0, at which the linear schedule begins to fall towards 0 at the end."""
    clip_norm: float | None = Field(None, gt=0, le=1e6)
    """Largest total L2 norm of the gradient, at most a million; None for no limit."""
    clip_separately: bool = Field(False, json_schema_extra={"as_before": False})
    """Apply clip_norm to each parameter group of the method by itself."""
    crop_padding: int = Field(4, ge=0, le=256)
    """Zero padding in pixels before the random crop of the weak view: at most 256, 0 for no
    crop."""
    flip: bool = True
    """Random horizontal flip in the weak and the strong view."""
    rotation: float = Field(0.0, ge=0, le=180, json_schema_extra={"as_before": 0.0})
    """Largest angle in degrees, either way, by which the weak view is turned after crop and flip,
    at most 180; 0 for none."""
    strong_scale: float = Field(0.08, gt=0, le=1, json_schema_extra={"as_before": 0.08})
    """Least share of the image's area, above 0, that the random crop of the strong view covers."""
    normalisation: Literal["measured", "cifar10", "cifar100", "imagenet", "none"] = "measured"
    """Channel mean and standard deviation: measured on the training images, or common constants;
    none leaves pixels between 0 and 1."""
    transform: str | None = Field(None, json_schema_extra={"as_before": None})
    """How images that are decoded from files are resized, cropped and coloured; None for the usual
    way of the data set (docs/datasets.md)."""
    drop_last: bool = Field(False, json_schema_extra={"as_before": False})
    """Leave out the last batch of an epoch where it is smaller than the others."""
    sampling: Literal["all", "balanced"] = Field("all", json_schema_extra={"as_before": "all"})
    """Samples of an epoch: all, or equally many of each given label, drawn anew each epoch."""
    per_class: int | None = Field(None, ge=1, le=2**40, json_schema_extra={"as_before": None})
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
    """Fraction of the labelled training samples held out for validation, from 0 to below 1; no
    effect where validation samples come from elsewhere."""
    averaging: float | None = Field(None, gt=0, lt=1, json_schema_extra={"as_before": None})
    """Decay per step, between 0 and 1, of an exponential moving average of the weights, which is
    evaluated beside them; None for no average."""
    average_buffers: bool = Field(True, json_schema_extra={"as_before": True})
    """Whether the moving average takes in the running statistics of batch norm."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the network's forward pass; losses are computed in float32 or better."""
    determinism: Literal["off", "warn", "error"] = "error"
    """Whether operations without a deterministic implementation pass, warn or stop the run."""
    tf32: bool = Field(False, json_schema_extra={"as_before": False})
    """Let GPUs shorten the factors of float32 products to 10 bits (TensorFloat-32)."""
    cudnn_benchmark: bool | None = Field(None, json_schema_extra={"as_before": None})
    """Let cuDNN time its convolutions and take the fastest; None does so where determinism is off,
    and determinism error forbids it."""

    @model_validator(mode="after")
    def _repeats(self) -> Self:
        """Refuse a choice of convolutions that may be another one next time."""
        if self.cudnn_benchmark and self.determinism == "error":
            raise LabError(
                "cudnn_benchmark with determinism error: which convolutions win is not repeatable",
                "determinism off or warn",
                "--determinism off, or leave --cudnn-benchmark out",
            )
        return self

    @property
    def times_convolutions(self) -> bool:
        """Whether cuDNN takes the convolutions that it finds to be the fastest."""
        chosen = self.cudnn_benchmark
        return self.determinism == "off" if chosen is None else chosen

    @model_validator(mode="after")
    def _schedule_is_whole(self) -> Self:
        """Refuse a schedule whose parts do not fit together; what it does not use is free."""
        if self.schedule == "step":
            _check_milestones(self.lr_milestones)
        if self.schedule == "warmup-cosine":
            _check_warmup(self.warmup_epochs, self.lr_horizon, self.epochs)
        if self.schedule == "cosine-restarts" and self.lr_min > self.lr:
            raise LabError(
                f"lr_min = {self.lr_min:g} with lr = {self.lr:g}", f"from 0 to {self.lr:g}",
                "lr_min: 0",
            )  # fmt: skip
        if self.schedule == "linear" and self.lr_decay_from >= self.epochs:
            raise LabError(
                f"lr_decay_from = {self.lr_decay_from} with epochs = {self.epochs}",
                f"from 0 to {self.epochs - 1}",
                "lr_decay_from: 0",
            )
        return self

    @property
    def splits(self) -> bool:
        """Whether samples are held out or left out by a draw."""
        return self.down_sample or (self.validation == "held-out" and self.val_rate > 0)

    def root_of(self, stream: StreamName) -> int:
        """Seed that a random stream derives from: its own, or the root seed."""
        own: int | None = getattr(self.seeds, stream)
        return self.seed if own is None else own

    def stream(self, stream: StreamName, *names: str | int) -> int:
        """Seed in [0, 2^63) of one draw of a random stream, by name; see `identity.seed_stream`."""
        return seed_stream(self.root_of(stream), stream, *names)

    def without_effect(self) -> set[str]:
        """Settings that change no number beside the others; the key has them at their defaults.

        A method's settings add what the method never looks at. `average_buffers` is not among them:
        keys of stored runs without averaged weights hold it.
        """
        used_if = {
            "momentum": self.optimizer == "sgd",
            "nesterov": self.optimizer == "sgd",
            "lr_decay": self.schedule in {"exponential", "step"},
            "lr_milestones": self.schedule == "step",
            "warmup_epochs": self.schedule == "warmup-cosine",
            "lr_horizon": self.schedule == "warmup-cosine",
            "lr_cycle": self.schedule == "cosine-restarts",
            "lr_min": self.schedule == "cosine-restarts",
            "lr_decay_from": self.schedule == "linear",
            "clip_separately": self.clip_norm is not None,
            "per_class": self.sampling == "balanced",
            "val_rate": self.validation == "held-out",
            "cudnn_benchmark": self.times_convolutions != (self.determinism == "off"),
        }
        return {name for name, is_used in used_if.items() if not is_used}


def _check_milestones(milestones: tuple[int, ...]) -> None:
    ascending = tuple(sorted(set(milestones)))
    if not milestones:
        raise LabError(
            "schedule = 'step' without lr_milestones", "the epochs at which the rate falls",
            "lr_milestones: [80, 120]",
        )  # fmt: skip
    if milestones != ascending:
        raise LabError(
            f"lr_milestones = {quoted(milestones)}", "different epochs in ascending order",
            f"lr_milestones: {quoted(list(ascending))}",
        )  # fmt: skip


def _check_warmup(warmup: float, horizon: float | None, epochs: int) -> None:
    if warmup > epochs:
        raise LabError(
            f"warmup_epochs = {warmup:g} with epochs = {epochs}", f"from 0 to {epochs}",
            "warmup_epochs: 0",
        )  # fmt: skip
    if horizon is not None and (horizon < epochs or horizon == warmup):
        raise LabError(
            f"lr_horizon = {horizon:g} with epochs = {epochs} and warmup_epochs = {warmup:g}",
            f"at least {epochs} and above {warmup:g}, or null for the last epoch",
            "lr_horizon: null",
        )  # fmt: skip


def _compile_mode(given: JsonValue) -> JsonValue:
    """A mode for what was a switch at first, and for `off` as YAML reads it."""
    modes = {True: "default", False: "off"}
    return modes[given] if isinstance(given, bool) else given


class Execution(BaseModel):
    """How a run is carried out; nothing here is part of its key."""

    model_config = STRICT

    root: str | None = None
    """Folder or archive with a copy of the data set, where it cannot be downloaded."""
    force: bool = False
    """Run again although the store already holds the result."""
    accept_code: bool = False
    """Take a stored result as that of the present code, although the code has changed since."""
    channels_last: bool = True
    """Keep images in channels-last memory order (faster convolutions)."""
    compile: Annotated[Compile, BeforeValidator(_compile_mode)] = "off"
    """Compile the networks with torch.compile, which is worth its start-up time on long GPU runs
    only: `default` (what --compile by itself means), or `reduce-overhead`, with CUDA graphs."""
    checkpoint_seconds: float = Field(30.0, ge=0, le=86_400)
    """Least time between two checkpoints, at most a day; a stop signal writes one at once."""
    tracking: bool = True
    """Show the run in MLflow as it goes; the store is written either way."""
    workers: int = Field(4, ge=0, le=MAX_WORKERS)
    """Processes that decode images, where they stay in files of their own: at most 256, 0 for
    none."""
    posterior: bool = False
    """Keep the softmax outputs of the training pass, from which pmd and dependent noise is made."""
    keep_weights: bool = False
    """Keep the trained weights beside the stored run, as a model that `pipeline.predict` asks about
    new images, and as an encoder."""
    grid: Annotated[str, named("grid")] = "single"
    """Name of the grid that it is computed for, by which store and MLflow find its runs."""
