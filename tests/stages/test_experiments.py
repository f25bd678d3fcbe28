"""Every file in experiments/ plans its grid, on a stand-in for its data and label files."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from _pytest.mark.structures import ParameterSet

from pipeline.config import read_params
from pipeline.data.dataset import load_dataset
from pipeline.data.readers import cifar
from pipeline.noise.published.registry import PUBLISHED
from pipeline.noise.suspects import save_suspects
from pipeline.runs.settings.found_recipes import write_found
from pipeline.runs.settings.recipes import Row
from pipeline.stages import data, runs
from tests.support.data_files import pictures, write_batch
from tests.support.paths import PROJECT
from tests.support.suspects import suspects_of

EXPERIMENTS = sorted((PROJECT / "experiments").rglob("*.yaml"))
N, COVERED = 5200, 5000
"""The largest `first` of the experiments is 5,000; a published file leaves the last images out."""
PUBLISHERS = {one.name.split(" ", 1)[1].removeprefix("cifar10_") for one in PUBLISHED.values()}
"""Names of label files, as their publishers call them."""
HUMAN = {
    "CIFAR-10_human": (
        "aggre_label",
        "random_label1",
        "random_label2",
        "random_label3",
        "worse_label",
    ),
    "CIFAR-100_human": ("noisy_label",),
}
"""The files of CIFAR-N -> the keys of their noisy labels."""
CELLS = {"dal_cifar10_cpu": 4, "lra_cifar10_cpu": 4, "rrr_cifar10_cpu": 16, "sln_cifar10_cpu": 6,
         "losses_digits": 126, "zoo_digits": 144, "zoo_cifar10_cpu": 66,
         "label_errors_cifar10": 36, "label_errors_digits": 27, "crossed_digits": 27,
         "findings_dal": 15, "findings_dal_cosine": 15, "findings_sln": 15, "findings_lra": 24,
         "findings_lra_last": 40, "findings_rrr": 32, "findings_fixed_encoder": 20,
         "tuned_digits": 12}  # fmt: skip
PUBLISHED_CELLS = {"apl_cifar10": 459, "apl_cifar100": 459, "cifar_n_cifar10": 210,
                   "cifar_n_cifar100": 42, "co_teaching_cifar10": 27, "co_teaching_cifar100": 27,
                   "dal_cifar10": 168, "dal_cifar100": 168, "dividemix_cifar10": 75,
                   "dividemix_cifar100": 60, "elr_cifar10": 30, "elr_cifar100": 24,
                   "instance_cifar10": 45, "instance_cifar100": 45, "lra_cifar10": 45,
                   "promix_cifar10": 30, "promix_cifar100": 24, "rrr_cifar10": 72,
                   "sln_cifar10": 27}  # fmt: skip


def prepared(name: str, lab: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The archive of CIFAR with a tenth of the images, prepared; its labels [N]."""
    layout = replace(cifar.LAYOUTS[name], n_train=N, n_test=200)
    monkeypatch.setitem(cifar.LAYOUTS, name, layout)
    n_classes = int(name.removeprefix("cifar"))
    labels = np.random.default_rng(0).integers(0, n_classes, N)
    images, key = pictures(N), layout.label_key.encode()
    parts = np.array_split(np.arange(N), len(layout.train_files))
    for file, rows in zip(layout.train_files, parts, strict=True):
        write_batch(lab / "copy" / file, images[rows], labels[rows].tolist(), key)
    tested = (np.arange(200) % n_classes).tolist()
    write_batch(lab / "copy" / layout.test_files[0], pictures(200), tested, key)
    started(monkeypatch, data, name, "--root", str(lab / "copy"))
    return labels


def started(monkeypatch: pytest.MonkeyPatch, stage, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", [stage.__name__, *words])
    stage.main()


def label_files(entry: dict[str, Any]) -> Iterator[str]:
    """Paths of the files that an entry of the `noise` block reads."""
    if entry["kind"] == "file":
        yield entry["path"]
    for part in ("base", "then"):
        if part in entry:
            yield from label_files(entry[part])


def write_labels(path: Path, clean: np.ndarray) -> None:
    """Labels of which 40 percent are wrong, in the form of the publishers' file of that name."""
    random, n_classes = np.random.default_rng(list(path.stem.encode())), clean.max() + 1
    wrong = np.where(random.random(N) < 0.4, random.integers(1, n_classes, N), 0)
    noisy = (clean + wrong) % n_classes
    if path.stem.startswith("asym"):
        following = np.array([0, 1, 0, 5, 7, 3, 6, 7, 8, 1])
        noisy = np.where(wrong > 0, following[clean], clean)
    path.parent.mkdir(exist_ok=True)
    if path.stem in HUMAN:
        # Tables that differ: each takes back other wrong labels.
        labels = {
            key: np.where(np.arange(N) % 7 == place, clean, noisy)
            for place, key in enumerate(HUMAN[path.stem])
        }
        labels["clean_label"] = clean
        torch.save({key: torch.from_numpy(column) for key, column in labels.items()}, path)
    elif path.suffix == ".npy":
        np.save(path, noisy[:COVERED])
    else:
        pl.DataFrame({"label": clean, "label_noisy": noisy}).write_csv(path)


def experiment(path: Path) -> ParameterSet:
    """The full budgets of publications plan thousands of cells."""
    marks = [pytest.mark.slow] if path.parent.name == "published" else []
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", [experiment(path) for path in EXPERIMENTS])
def test_an_experiment_plans_its_grid(
    path: Path, lab: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    params = yaml.safe_load(path.read_text())
    (dataset,) = params["grid"]["datasets"]
    labels = prepared(dataset, lab, monkeypatch) if dataset != "digits" else np.empty(0)
    # Every table that the file defines, not only those of its grid.
    for entry in params["noise"].values():
        for file in label_files(entry):
            assert Path(file).stem in PUBLISHERS | HUMAN.keys()
            write_labels(lab / file, labels)
        if entry["kind"] == "cleaned":
            started(monkeypatch, data, dataset)
            # Rankings that differ make tables that differ.
            rate = len(Path(entry["suspects"]).stem) / 100
            ranking = suspects_of(load_dataset(dataset), estimated_rate=rate)
            save_suspects(ranking, lab / entry["suspects"])
    for block in params.get("tune", {"runs": []})["runs"]:
        # What a search would find, here without its settings.
        row = Row(set={"lr": 0.005}, status="own", source="a search", trials=12)
        write_found(block["method"], params["tune"]["name"], {"dataset": dataset}, [row])
    for entry in params.get("encoders", {}).values():
        for split, file in entry.get("files", {}).items():
            (lab / file).parent.mkdir(exist_ok=True)
            np.save(lab / file, np.ones((N if split == "train" else 200, 4), np.float16))
    grid = params["grid"] | {"noises": list(params["noise"])}
    copy = lab / path.name
    copy.write_text(yaml.safe_dump(params | {"grid": grid}))
    capsys.readouterr()
    started(monkeypatch, runs, "--plan", "--params", str(copy))
    planned = (
        (CELLS | PUBLISHED_CELLS)[path.stem] * len(params["noise"]) // len(params["grid"]["noises"])
    )
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"{planned} of {planned} cells would run; about ")
    assert last.endswith(" GPU hours by steps on an H100")
    assert read_params(path).grid.name == path.stem
    file = path.relative_to(PROJECT)
    assert f"\n#   uv run python -m pipeline.stages.runs --params {file}\n" in path.read_text()
