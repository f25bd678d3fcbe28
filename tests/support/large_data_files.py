"""Large data sets in miniature: the published folders and lists, with tiny images."""

from collections.abc import Iterable
from pathlib import Path

from tests.support.data_files import encoded, pictures
from tests.support.paths import REFERENCES

LISTS = REFERENCES / "lists"
POOL = [encoded(picture, "JPEG") for picture in pictures(24, seed=7, size=40)]
KEYS = "images/{0}/{1:02d}/{2},{3}.jpg"


def write_images(folder: Path, paths: Iterable[str]) -> None:
    """Write a tiny JPEG to every path; neighbours differ."""
    for number, path in enumerate(paths):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(POOL[number % len(POOL)])


def write_list(file: Path, lines: Iterable[str], end: str = "\n", last: bool = True) -> None:
    """Write lines with a line end, the last one with it or without."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes((end.join(lines) + (end if last else "")).encode())


def clothing_keys(split: int, n: int) -> list[str]:
    """Names as published: two whole numbers with a comma."""
    return [KEYS.format(split, i % 100, 10**9 + i, 10**8 + split) for i in range(n)]


def write_clothing(root: Path, images: bool = True, one_file: bool = False) -> dict[str, list[str]]:
    """Clothing1M with 42 noisy training images, and 28 clean ones in each of the other splits.

    Returns:
        The paths by split; image i has label i % 14, in the clean table one more (modulo 14).
    """
    names = {"train": "noisy_train", "test": "clean_test", "val": "clean_val"}
    names["clean_train"] = "clean_train"
    keys = {
        split: clothing_keys(number, 42 if split == "train" else 28)
        for number, split in enumerate(names)
    }
    noisy = [f"{key} {i % 14}" for i, key in enumerate(keys["train"])]
    clean = {
        split: [f"{key} {(i + 1) % 14}" for i, key in enumerate(keys[split])]
        for split in ("test", "val", "clean_train")
    }
    folder = root / "annotations"
    if one_file:
        write_list(folder / "noisy_train.txt", noisy, end="\r\n")
        for split, lines in clean.items():
            write_list(folder / f"{names[split]}.txt", ["", *lines, "", ""])
    else:
        # The table has its own order, and images that no list names.
        clean_lines = [line for lines in clean.values() for line in lines]
        spare = [f"{key} 3" for key in clothing_keys(9, 5)]
        write_list(folder / "noisy_label_kv.txt", [*spare, *reversed(noisy)])
        write_list(folder / "clean_label_kv.txt", sorted(clean_lines))
        for split, name in names.items():
            write_list(folder / f"{name}_key_list.txt", keys[split], last=False)
    if images:
        for paths in keys.values():
            write_images(root, paths)
    return keys


def real_lines(name: str) -> list[str]:
    """Lines of an excerpt of a published list."""
    return (LISTS / name).read_text().splitlines()


def synset_ids() -> list[str]:
    """A thousand sorted ids: real ones where the excerpts know them, others between them."""
    lines = real_lines("ILSVRC2012_val_label.head200.txt")
    lines += real_lines("ILSVRC2012_val_label.every250.txt")
    known = {int(line.split()[1]): line.split()[2] for line in lines}
    ids: list[str] = []
    for label in range(1000):
        before = ids[-1].partition("+")[0] if ids else "n00000000"
        ids.append(known.get(label, f"{before}+{label:03d}"))
    return ids


def write_webvision(root: Path, per_class: int, n_classes: int = 50) -> list[str]:
    """WebVision with `per_class` Google images of each class, real validation lists, ILSVRC2012.

    Returns:
        The training paths in the order of the list; image i has label i % n_classes.
    """
    train = [
        f"google/q{i % n_classes + 1:04d}/a,{i // n_classes}.jpg"
        for i in range(per_class * n_classes)
    ]
    lines = [f"{path} {i % n_classes}" for i, path in enumerate(train)]
    # Labels beyond the first classes are on the list as well.
    write_list(root / "info/train_filelist_google.txt", [*lines, "google/q1631/z.jpg 999"])
    write_list(root / "info/train_filelist_flickr.txt", ["flickr/q0001/a.jpg 0"])
    validation = real_lines("val_filelist.every250.txt")
    write_list(root / "info/val_filelist.txt", validation)
    synsets = [f"{wnid} crane, bird number {i}" for i, wnid in enumerate(synset_ids())]
    write_list(root / "info/synsets.txt", synsets)
    ilsvrc = root / "ILSVRC2012"
    write_list(ilsvrc / "synsets.txt", synsets)
    labels = real_lines("ILSVRC2012_val_label.head200.txt")
    write_list(ilsvrc / "ILSVRC2012_val_label.txt", labels)
    write_images(root, [*train, "google/q1631/z.jpg", "flickr/q0001/a.jpg"])
    write_images(root / "val_images_256", [line.split()[0] for line in validation])
    write_images(ilsvrc / "ILSVRC2012_img_val", [line.split()[0] for line in labels])
    return train


FOODS = ["apple_pie", "baby_back_ribs", "waffles"]


def write_food(root: Path, header: bool = True) -> list[str]:
    """Food-101N with three classes of five images and two test images each.

    Returns:
        The training paths below its image folder, in the order of the list.
    """
    web, test = root / "Food-101N_release", root / "food-101"
    train = [f"{food}/{number},é.jpg" for number in range(5) for food in FOODS]
    write_list(web / "meta/classes.txt", ["class_name", *FOODS] if header else FOODS)
    write_list(web / "meta/imagelist.tsv", ["class_name/key", *train], end="\r\n")
    verdicts = [f"{path}\t{i % 2}" for i, path in enumerate(train[:6])]
    write_list(web / "meta/verified_train.tsv", ["class_name/key\tverification_label", *verdicts])
    last = ["class_name/key\tverification_label", f"{train[14]}\t1"]
    write_list(web / "meta/verified_val.tsv", last, last=False)
    # Another order than that of the web images: names decide.
    write_list(test / "meta/classes.txt", FOODS[::-1])
    tested = [f"{food}/{number}" for food in FOODS[::-1] for number in (11, 12)]
    write_list(test / "meta/test.txt", tested)
    write_images(web / "images", train)
    write_images(test / "images", [f"{path}.jpg" for path in tested])
    return train
