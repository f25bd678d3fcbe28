"""Food-101N: web images of the classes of Food-101, some of their labels verified."""

from pathlib import Path

from pipeline.data.data_spec import DataSpec
from pipeline.data.listed import Bad, ListedSource, SplitLines
from pipeline.data.readers.list_files import labelled_lines, read_lines, require
from pipeline.data.source import source_path
from pipeline.data.views import CONSTANTS
from pipeline.errors import LabError, quoted

_TRAIN_FOLDER, _TEST_FOLDER = "Food-101N_release", "food-101"
_HEADER = "class_name"
_MOST_STRAY = 0.01


def read_food101n(spec: DataSpec) -> ListedSource:
    """Read `root/Food-101N_release` (training) and `root/food-101` (test).

    Data sets: K.-H. Lee et al., CleanNet: Transfer Learning for Scalable Image Classifier Training
    with Label Noise, CVPR 2018; L. Bossard et al., Food-101, ECCV 2014.

    Args:
        spec: settings of kind "food101n".

    Returns:
        Splits `train` (web labels; true ones where somebody found the label right) and `test`.

    Raises:
        LabError: naming the lists that are missing, or a class that only one of the two has.
    """
    root = source_path(spec)
    assert spec.root is not None  # source_path demands it
    web, test = root / _TRAIN_FOLDER / "meta", root / _TEST_FOLDER / "meta"
    verified_lists = {name: web / f"{name}.tsv" for name in ("verified_train", "verified_val")}
    web_classes, test_classes = web / "classes.txt", test / "classes.txt"
    images, test_images = web / "imagelist.tsv", test / "test.txt"
    require([web_classes, images, *verified_lists.values(), test_classes, test_images])
    class_names = _class_names(web_classes)
    if odd := set(class_names) ^ set(_class_names(test_classes)):
        raise LabError(
            f"class {quoted(min(odd))} is in only one of {web_classes} and {test_classes}",
            "the same classes in both",
            "take both lists as they were published",
        )
    label_of = {name: label for label, name in enumerate(class_names)}
    bad: list[Bad] = []
    train = SplitLines("train", len(class_names), bad, clean=False)
    _read_images(images, f"{_TRAIN_FOLDER}/images/", "", label_of, train)
    verified: dict[str, bool] = {}
    counts, n_stray = {}, 0
    for name, file in verified_lists.items():
        found, stray = _read_verified(file, train)
        counts[name] = len(found) + len(stray)
        n_stray += len(stray)
        verified |= found
    tested = SplitLines("test", len(class_names), bad, clean=True)
    _read_images(test_images, f"{_TEST_FOLDER}/images/", ".jpg", label_of, tested)
    imagenet_mean, imagenet_std = CONSTANTS["imagenet"]
    return ListedSource(
        splits={"train": train.split(spec.root, verified), "test": tested.split(spec.root)},
        class_names=class_names,
        mean=imagenet_mean,
        std=imagenet_std,
        transform="food101n",
        description="published lists, tested on Food-101",
        bad=bad,
        counts=counts,
        left_out={"verdicts on images that are not listed": n_stray},
    )


def _class_names(file: Path) -> tuple[str, ...]:
    """Names in the order of the file, without the header that one of the two data sets has."""
    names = tuple(line.text for line in read_lines(file))
    return names[1:] if names[:1] == (_HEADER,) else names


def _read_images(
    file: Path, prefix: str, ending: str, label_of: dict[str, int], lines: SplitLines
) -> None:
    """Read lines `class/key`; the class is the label."""
    for number, text in read_lines(file):
        name, _, key = text.partition("/")
        if key and name in label_of:
            lines.add(f"{prefix}{text}{ending}", label_of[name], file.name, number)
        elif number > 1 or name != _HEADER:
            lines.refuse("not of the form 'class/key' with a known class", file.name, number)


def _read_verified(file: Path, lines: SplitLines) -> tuple[dict[str, bool], dict[str, int]]:
    """Whether the label of an image is right, by path, from lines `class/key<TAB>0|1`.

    Returns:
        The verdicts on listed images, and the lines of the others by path.
    """
    found: dict[str, bool] = {}
    stray: dict[str, int] = {}
    for number, path, verdict in labelled_lines(file, lines, header=True):
        place = f"{_TRAIN_FOLDER}/images/{path}"
        if verdict not in (0, 1) or place in found or place in stray:
            lines.refuse("a verdict that is not 0 or 1, or a second one", file.name, number, place)
        elif place not in lines:
            stray[place] = number
        else:
            found[place] = verdict == 1
    # The list as released has one. Many mean that it belongs to other images.
    if len(stray) > max(1, _MOST_STRAY * len(found)):
        for place, number in stray.items():
            lines.refuse("a verdict on an image that is not listed", file.name, number, place)
        stray = {}
    return found, stray
