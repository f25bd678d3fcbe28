"""Verifying a folder of published files, and making them anew, on stand-ins."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import LabError
from pipeline.noise.arrays import Labels
from pipeline.noise.models import from_posterior as posterior
from pipeline.noise.models import transitions
from pipeline.noise.published import regenerate, verify
from pipeline.noise.published import registry as published
from pipeline.noise.published.inventory import LabelFile
from pipeline.noise.published.registry import Published, content_of
from tests.support.noise_cases import balanced, softmax_rows


def _file(labels: Labels, convention: str, rate: float, name: str) -> LabelFile:
    known = Published(content_of(labels), "cifar10", len(labels), 0, rate, convention, name)
    return LabelFile(f"{name}.npy", labels, known)


def _registry(monkeypatch: pytest.MonkeyPatch, *files: LabelFile) -> None:
    known = {f.known.content: f.known for f in files if f.known is not None}
    monkeypatch.setattr(regenerate, "PUBLISHED", known)
    for recipes in ("_SAMPLER", "_HYBRIDS", "_DAL"):
        monkeypatch.setattr(regenerate, recipes, ())


def test_a_hybrid_is_regenerated_from_its_base(monkeypatch: pytest.MonkeyPatch) -> None:
    base = balanced(500, 10)
    hybrid = transitions.draw_legacy(base, transitions.symmetric(0.3, 10), 77)
    files = [_file(base, "pmd/I", 0.35, "base"), _file(hybrid, "hybrid", 0.3, "top")]
    _registry(monkeypatch, *files)
    recipe = (content_of(base), "symmetric", 0.3, content_of(hybrid))
    monkeypatch.setattr(regenerate, "_HYBRIDS", (recipe, (*recipe[:2], 0.4, recipe[3])))
    verdicts = [f.verdict for f in regenerate.findings(files, {}, ())]
    assert verdicts[:2] == ["ok", "differs"]


def test_dependent_labels_from_their_own_and_from_another_average(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = balanced(1000, 10)
    averages = {"own": softmax_rows(clean, 10), "other": softmax_rows(clean, 10, seed=1)}
    noisy = posterior.dependent(clean, averages["own"], 0.2)
    files = [_file(noisy, "dependent", 0.2, "published")]
    _registry(monkeypatch, *files)
    verdicts = {}
    for name, average in averages.items():
        np.save(tmp_path / f"{name}.npy", average)
        found = regenerate.findings(files, {"cifar10": clean}, [tmp_path / f"{name}.npy"])
        verdicts[name] = [f.verdict for f in found if "from" in f.subject][-1]
    assert verdicts == {"own": "ok", "other": "differs"}


@pytest.mark.parametrize(("broken", "verdict"), [(False, "ok"), (True, "differs")])
def test_the_worst_human_label_is_one_of_three(
    monkeypatch: pytest.MonkeyPatch, broken: bool, verdict: str
) -> None:
    clean = balanced(1000, 10)
    three = [transitions.draw(clean, transitions.symmetric(0.2, 10), s) for s in range(3)]
    worst = clean.copy()
    for labels in three:
        worst = np.where(worst == clean, labels, worst)
    if broken:
        worst[0] = (worst[0] + 5) % 10
    named = {"CIFAR-10 clean": clean, "CIFAR-10N worst": worst}
    named |= {f"CIFAR-10N random{i + 1}": labels for i, labels in enumerate(three)}
    files = [_file(labels, "human", 0.2, name) for name, labels in named.items()]
    _registry(monkeypatch, *files)
    assert [f.verdict for f in regenerate.findings(files, {}, ())] == [verdict]


def test_missing_inputs_are_named_not_failed() -> None:
    found = list(regenerate.findings([], {}, ()))
    assert {f.verdict for f in found} == {"skipped"}
    assert len(found) == 16 + 6 + 3 + 1


def _published_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Labels]:
    """A folder as publishers make them, and a registry that knows two of its files."""
    clean = balanced(5000, 10)
    arrays = {
        "clean": clean,
        "known": transitions.draw(clean, transitions.symmetric(0.4, 10), 0),
        "unknown": transitions.draw(clean, transitions.symmetric(0.2, 10), 1),
    }
    for name, labels in arrays.items():
        np.save(folder / f"{name}.npy", labels.astype(np.uint8))
    flips = int((arrays["known"] != clean).sum())
    known = {
        content_of(clean): Published("", "cifar10", 5000, 0, 0.0, "clean", "clean"),
        content_of(arrays["known"]): Published("", "cifar10", 5000, flips, 0.4, "symmetric", "A"),
    }
    for content in list(published.PUBLISHED):
        monkeypatch.delitem(published.PUBLISHED, content)
    for content, file in known.items():
        monkeypatch.setitem(published.PUBLISHED, content, file)
    monkeypatch.setattr(regenerate, "findings", lambda *_: iter(()))
    return arrays


def test_verify_tells_known_unknown_and_shifted_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = _published_folder(tmp_path, monkeypatch)
    np.save(tmp_path / "shifted.npy", np.roll(arrays["known"], 1))
    (tmp_path / "broken.npy").write_bytes(b"")
    found = {f.subject: f for f in verify.verify(tmp_path)}
    verdicts = {name: finding.verdict for name, finding in found.items()}
    assert verdicts == {
        "broken.npy": "differs",
        "clean.npy": "ok",
        "known.npy": "ok",
        "shifted.npy": "differs",
        "unknown.npy": "unknown",
    }
    assert "too late" in found["shifted.npy"].text


def test_verify_compares_with_registry_and_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = _published_folder(tmp_path, monkeypatch)
    rate = (arrays["unknown"] != arrays["clean"]).mean()
    header = "file,noise_type,nominal_rate,realised_rate\n"
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"{header}unknown.npy,symmetric,0.2,{rate:.6f}\n")
    found = {f.subject: f for f in verify.verify(tmp_path)}
    assert {name: f.verdict for name, f in found.items()} == {
        "clean.npy": "ok",
        "known.npy": "ok",
        # Nothing speaks against it, but nobody published it.
        "unknown.npy": "unknown",
    }
    assert "not among the published" in found["unknown.npy"].text
    manifest.write_text(f"{header}unknown.npy,symmetric,0.2,{rate + 0.001:.6f}\n")
    content = content_of(arrays["known"])
    wrong = published.PUBLISHED[content]._replace(n_flips=7, convention="pair")
    monkeypatch.setitem(published.PUBLISHED, content, wrong)
    found = {f.subject: f for f in verify.verify(tmp_path)}
    assert "the manifest says realised_rate" in found["unknown.npy"].text
    assert "7 flips are known" in found["known.npy"].text
    assert "it should show as pair" in found["known.npy"].text


def test_verify_never_contradicts_the_sha256_of_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clean files, label files and files of unknown content alike."""
    _published_folder(tmp_path, monkeypatch)
    names = ("clean", "known", "unknown")
    sums = {n: hashlib.sha256((tmp_path / f"{n}.npy").read_bytes()).hexdigest() for n in names}

    def verdicts() -> dict[str, str]:
        return {f.subject: f.verdict for f in verify.verify(tmp_path)}

    def write(sums: dict[str, str]) -> None:
        rows = "".join(f"{name}.npy,{value}\n" for name, value in sums.items())
        (tmp_path / "manifest.csv").write_text(f"file,sha256\n{rows}")

    write(sums)
    assert verdicts() == {"clean.npy": "ok", "known.npy": "ok", "unknown.npy": "unknown"}
    write(dict.fromkeys(names, "0" * 64))
    assert set(verdicts().values()) == {"differs"}
    # One label of a published file changed: another content, and another file.
    write(sums)
    labels = np.load(tmp_path / "known.npy")
    labels[17] = (labels[17] + 1) % 10
    np.save(tmp_path / "known.npy", labels)
    assert verdicts()["known.npy"] == "differs"
    (tmp_path / "manifest.csv").unlink()
    assert verdicts()["known.npy"] == "unknown"


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\xff\xfe\x00"])
def test_a_manifest_that_is_none_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    _published_folder(tmp_path, monkeypatch)
    (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(LabError, match="manifest.csv' cannot be read"):
        verify.verify(tmp_path)


def test_verify_needs_files_and_clean_labels(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("LNL_ROOT", str(tmp_path / "empty"))
    with pytest.raises(LabError, match="holds no label files"):
        verify.verify(tmp_path)
    np.save(tmp_path / "labels.npy", balanced(600, 10))
    with pytest.raises(LabError, match="no clean CIFAR labels"):
        verify.verify(tmp_path)


def test_the_registry_is_consistent() -> None:
    assert len(published.PUBLISHED) == 80
    for file in published.PUBLISHED.values():
        n_classes = 10 if file.dataset == "cifar10" else 100
        if file.convention == "symmetric-inclusive" and file.nominal_rate is not None:
            expected = file.nominal_rate * (n_classes - 1) / n_classes
            assert abs(file.n_flips / file.n - expected) < 0.01
        if file.convention == "dependent" and file.nominal_rate is not None:
            assert file.n_flips == int(file.nominal_rate * file.n)
