"""Weights that runs keep: whole in a folder and in a bucket, renewed whole, removed whole."""

from pipeline.encoders.kept import kept_weights_folder, save_kept_weights
from pipeline.storage.belongings import belongings, kept_model, remove_belongings

KEY = "r0123456789abcdef"


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.*")}


def test_a_folder_of_weights_is_kept_renewed_and_removed(place, lab, monkeypatch):
    monkeypatch.setenv("LNL_STORE", place.address)
    assert kept_model(place, KEY) is None
    for version in ("one", "two"):
        names = ("frozen/card.json", "frozen/weights.safetensors", "model.json", "w.safetensors")

        def write(folder, version=version, names=names):
            (folder / "frozen").mkdir()
            for name in names:
                (folder / name).write_text(version)

        save_kept_weights(KEY, write)
        assert files_of(kept_weights_folder(KEY)) == dict.fromkeys(names, version)
    left = belongings(place, KEY)
    assert left.model == kept_model(place, KEY) == f"{left.weights}/model.json"
    remove_belongings(place, KEY)
    assert place.entries() == []
    assert not kept_weights_folder(KEY).exists()
