"""What a data set is made from: the settings of one entry under `data` in params.yaml."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

DataKind = Literal[
    "digits",
    "cifar10",
    "cifar100",
    "imagefolder",
    "parquet",
    "clothing1m",
    "food101n",
    "webvision",
]
LabelKind = Literal["clean", "given"]
Place = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]
"""A path as it is written in settings."""

_FOLDER_SETTINGS = {"root", "image_size", "labels", "test_rate", "test_part", "on_bad_image"}
_LIST_SETTINGS = {"root", "complete", "on_bad_image", "check_images", "cache_size"}
_SETTINGS_OF: dict[str, set[str]] = {
    "digits": {"test_rate"},
    "cifar10": {"root"},
    "cifar100": {"root"},
    "imagefolder": _FOLDER_SETTINGS | {"label_file", "label_column", "clean_column"},
    "parquet": _FOLDER_SETTINGS | {"image_column", "label_column", "clean_column"},
    "clothing1m": _LIST_SETTINGS | {"selection"},
    "food101n": _LIST_SETTINGS,
    "webvision": _LIST_SETTINGS | {"n_classes", "ilsvrc_root"},
}


def _usual_labels(values: dict[str, Any]) -> LabelKind:
    """The user's own files and web images may hold wrong labels; the others count as clean."""
    return "clean" if values.get("kind") in ("digits", "cifar10", "cifar100") else "given"


class DataSpec(BaseModel):
    """Where a data set comes from and how its images and labels are read.

    Values have exactly the type named: `image_size: true` or `"32"` is refused.

    Args:
        kind: which reader understands the source.
        root: folder or file of the source, text; relative paths start at the project root, `~` is
            the home folder. None lets `cifar10` and `cifar100` be downloaded; the others but
            `digits` need it.
        image_size: side in pixels, 1 to 2048, that images are brought to (bilinear, shorter side
            first, then the centre is cut out); `imagefolder` and `parquet` need it, the others
            have their own.
        labels: "clean" where the labels count as the truth, "given" where they may be wrong.
            Default: "clean" for `digits`, `cifar10` and `cifar100`, else "given".
        label_file: file with the labels of an `imagefolder` whose images are not sorted into
            folders of their classes: it names each image by path or by index.
        image_column: column of a Parquet file with the encoded images.
        label_column: column of a Parquet or label file with the labels to learn from.
        clean_column: column of a Parquet or label file with the true labels, if it has one.
        test_rate: fraction of every class, above 0 and below 1, held out for testing (always the
            same images) where the source has no test part.
        test_part: name of the part of an `imagefolder` or a `parquet` folder to test on, such as
            `val`, or `none` to hold out `test_rate`; None for the one part that there is, `test`
            before `val`.
        n_classes: first classes of `webvision` to keep, 2 to 1000, of its Google part only; None
            for all classes of both parts.
        ilsvrc_root: folder with the validation part of ILSVRC2012 and its lists, a further test
            split of `webvision`; by default ILSVRC2012 in `root`, if it is there.
        selection: training images of `clothing1m`: all, or the `cc` lists of a published selection.
        complete: whether the lists must have the published number of entries; False for a part of a
            data set.
        on_bad_image: what happens to wrong lines of lists, and to images that are missing or
            cannot be decoded: `stop`, or `skip` to leave them out.
        check_images: what is asked of every image when the data set is prepared, and how closely
            the images are looked at to see whether they changed since (`data_facts`).
        cache_size: shorter side in pixels, 256 to 4096, of copies that are made once and read
            instead of the images, which differ from them a little; None for no copies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: DataKind
    root: Place | None = None
    image_size: int | None = Field(default=None, ge=1, le=2048)
    labels: LabelKind = Field(default_factory=_usual_labels)
    label_file: Place | None = None
    image_column: str = "image"
    label_column: str = "label"
    clean_column: str | None = None
    test_rate: float = Field(default=0.2, gt=0, lt=1)
    test_part: str | None = None
    n_classes: int | None = Field(default=None, ge=2, le=1000)
    ilsvrc_root: Place | None = None
    selection: Literal["all", "cc"] = "all"
    complete: bool = True
    on_bad_image: Literal["stop", "skip"] = "stop"
    check_images: Literal["none", "exist", "decode"] = "exist"
    cache_size: int | None = Field(default=None, ge=256, le=4096)

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
        columns = (self.label_column, self.clean_column)
        if self.kind == "imagefolder" and not self.label_file and columns != ("label", None):
            raise ValueError("label_column and clean_column of an imagefolder go with label_file")
        if self.clean_column is not None and self.labels == "clean":
            raise ValueError("clean_column goes with labels: given, the labels to learn from")
        return self


BUILT_IN: dict[str, DataSpec] = {
    "digits": DataSpec(kind="digits"),
    "cifar10": DataSpec(kind="cifar10"),
    "cifar100": DataSpec(kind="cifar100"),
    "clothing1m": DataSpec(kind="clothing1m"),
    "food101n": DataSpec(kind="food101n"),
    "webvision": DataSpec(kind="webvision"),
    "webvision-mini": DataSpec(kind="webvision", n_classes=50),
}
"""Data sets that need no entry in params.yaml, or none but the root of a copy."""
