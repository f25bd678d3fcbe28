"""What a data set is made from: the settings of one entry under `data` in params.yaml."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

DataKind = Literal["digits", "cifar10", "cifar100", "imagefolder", "parquet"]
LabelKind = Literal["clean", "given"]

_FOLDER_SETTINGS = {"root", "image_size", "labels", "test_rate"}
_SETTINGS_OF: dict[str, set[str]] = {
    "digits": {"test_rate"},
    "cifar10": {"root"},
    "cifar100": {"root"},
    "imagefolder": _FOLDER_SETTINGS,
    "parquet": _FOLDER_SETTINGS | {"image_column", "label_column", "clean_column"},
}


def _usual_labels(values: dict[str, Any]) -> LabelKind:
    """The user's own files may hold wrong labels; the benchmarks' labels count as clean."""
    return "given" if values.get("kind") in ("imagefolder", "parquet") else "clean"


class DataSpec(BaseModel):
    """Where a data set comes from and how its images and labels are read.

    Args:
        kind: which reader understands the source.
        root: folder or file of the source; relative paths start at the project root. None lets
            `cifar10` and `cifar100` be downloaded; `imagefolder` and `parquet` need it.
        image_size: side in pixels that images are brought to (bilinear, shorter side first, then
            the centre is cut out); `imagefolder` and `parquet` need it, the others have their own.
        labels: "clean" where the labels count as the truth, "given" where they may be wrong.
            Default: "given" for `imagefolder` and `parquet`, else "clean".
        image_column: column of a Parquet file with the encoded images.
        label_column: column of a Parquet file with the labels to learn from.
        clean_column: column of a Parquet file with the true labels, if it has one.
        test_rate: fraction of every class held out for testing (always the same images) where the
            source has no test part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: DataKind
    root: str | None = None
    image_size: int | None = Field(default=None, ge=1)
    labels: LabelKind = Field(default_factory=_usual_labels)
    image_column: str = "image"
    label_column: str = "label"
    clean_column: str | None = None
    test_rate: float = Field(default=0.2, gt=0, lt=1)

    @model_validator(mode="after")
    def _settings_fit_the_kind(self) -> Self:
        usual = {"labels": _usual_labels({"kind": self.kind})}
        for name, field in type(self).model_fields.items():
            differs = getattr(self, name) != usual.get(name, field.default)
            if name != "kind" and differs and name not in _SETTINGS_OF[self.kind]:
                allowed = ", ".join(sorted(_SETTINGS_OF[self.kind]))
                raise ValueError(f"{name} means nothing to kind {self.kind}; it takes: {allowed}")
        if "image_size" in _SETTINGS_OF[self.kind] and self.image_size is None:
            raise ValueError(f"kind {self.kind} needs image_size, the side in pixels")
        if self.clean_column is not None and self.labels == "clean":
            raise ValueError("clean_column goes with labels: given, the labels to learn from")
        return self


BUILT_IN: dict[str, DataSpec] = {
    "digits": DataSpec(kind="digits"),
    "cifar10": DataSpec(kind="cifar10"),
    "cifar100": DataSpec(kind="cifar100"),
}
"""Data sets that need no entry in params.yaml."""
