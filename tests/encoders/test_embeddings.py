"""Features of images and of whole splits: right, computed once, and shared."""

import json
import multiprocessing

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pipeline.backbones import make_backbone
from pipeline.data.views import DeviceImages
from pipeline.encoders import embeddings as module
from pipeline.encoders.artefact import weights_digest
from pipeline.encoders.embeddings import WithEmbeddings, embeddings, encoded
from pipeline.encoders.encoder import Encoder, EncoderCard
from pipeline.encoders.start import network_state
from pipeline.errors import LabError
from tests.support.lab import PARAMS, write_params
from tests.support.runs import numbers, row, run

CPU = torch.device("cpu")
PIXELS = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)


def encoder(n_channels=3, seed=0, **changes):
    torch.manual_seed(seed)
    state = network_state(make_backbone("small-cnn", 10, n_channels))
    facts = {
        "name": "test", "kind": "run", "network": "small-cnn", "n_features": 64,
        "mean": (0.5, 0.4, 0.3)[:n_channels], "std": (0.2, 0.25, 0.3)[:n_channels],
        "image_size": None, "unit_length": False, "external": False,
    }  # fmt: skip
    card = EncoderCard(**facts | {"weights_digest": weights_digest(state)} | changes)
    return Encoder(card, state)


def source():
    return DeviceImages(PIXELS, (0.0,) * 3, (1.0,) * 3, CPU)


def table(of=None, pixels=source, data="d", split="train", precision="float32", n=300):
    return embeddings(of or encoder(), pixels, n, data, split, precision, CPU)


def test_features_are_those_of_the_network_on_normalised_images():
    one = encoder()
    images = torch.from_numpy(PIXELS[:5]).permute(0, 3, 1, 2) / 255
    expected = one.backbone.features((images - one.mean) / one.std)
    torch.testing.assert_close(one(images), expected)
    unit = encoder(unit_length=True)(images)
    torch.testing.assert_close(unit, expected / expected.norm(dim=1, keepdim=True))
    assert not one(images).requires_grad


def test_an_encoder_stays_in_evaluation_mode_without_gradients():
    holder = nn.Module()
    holder.encoder = encoder()
    holder.train()
    assert not any(part.training for part in holder.encoder.modules())
    assert not any(p.requires_grad for p in holder.parameters())


def test_grey_images_become_three_channels_and_colours_never_one():
    grey = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    one = encoder()
    torch.testing.assert_close(one(grey), one(grey.repeat(1, 3, 1, 1)))
    with pytest.raises(LabError, match="images of 3 channels for encoder test"):
        encoder(n_channels=1)(grey.repeat(1, 3, 1, 1))


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("shape", [(8, 8), (24, 24), (8, 12), (30, 20)])
def test_images_are_brought_to_size_as_torchvision_does(antialias, shape):
    from torchvision.transforms.v2 import functional as reference

    images = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    one = encoder(image_size=16, antialias=antialias)
    bicubic = reference.InterpolationMode.BICUBIC
    expected = reference.resize(images, [16], bicubic, antialias=antialias)
    assert min(expected.shape[2:]) == 16
    expected = reference.center_crop(expected, [16, 16])
    torch.testing.assert_close(one._fitted(images), expected, atol=1e-5, rtol=0)


def test_the_antialiased_resize_is_the_nearer_one_to_pil():
    pixels = PIXELS[0]
    large = np.asarray(Image.fromarray(pixels).resize((16, 16), Image.Resampling.BICUBIC))
    image = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2) / 255
    distances = [
        np.abs(encoder(image_size=16, antialias=how)._fitted(image)[0].clamp(0, 1)
               .permute(1, 2, 0).numpy() - large / 255).mean()
        for how in (True, False)
    ]  # fmt: skip
    assert distances[0] < 0.003 < distances[1]


def test_images_of_the_right_size_pass_unchanged():
    images = torch.rand(2, 3, 8, 8)
    assert encoder(image_size=8)._fitted(images) is images


def test_a_table_holds_the_features_of_all_images_in_order(lab):
    one = encoder()
    rows = table(one)
    assert isinstance(rows, np.memmap)
    assert not rows.flags.writeable
    images = torch.from_numpy(PIXELS).permute(0, 3, 1, 2) / 255
    np.testing.assert_allclose(rows, one(images), atol=1e-5)
    half = table(one, precision="float16")
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, rows, atol=2e-3, rtol=2e-3)


def test_a_table_is_computed_once_for_each_thing_it_depends_on(lab):
    opened = []

    def pixels():
        opened.append(None)
        return source()

    for _ in range(3):
        table(pixels=pixels)
    assert len(opened) == 1
    variants = [
        {"of": encoder(seed=1)}, {"of": encoder(unit_length=True)}, {"of": encoder(image_size=16)},
        {"of": encoder(image_size=16, antialias=False)}, {"data": "other"}, {"split": "test"},
        {"precision": "float16"},
    ]  # fmt: skip
    for number, changes in enumerate(variants, start=2):
        table(pixels=pixels, **changes)
        assert len(opened) == number
    # A name is none of them.
    table(pixels=pixels, of=encoder(name="renamed"))
    assert len(opened) == 8
    notes = sorted((lab / "cache" / "embeddings").glob("*.json"))
    assert len(notes) == 8
    assert json.loads(notes[0].read_text())["shape"] == [300, 64]


def test_half_a_table_is_never_read(lab, monkeypatch):
    calls = []

    class Stopped(Exception):
        pass

    def failing(self, images):
        calls.append(None)
        if len(calls) == 2:
            raise Stopped
        return torch.zeros(len(images), 64)

    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "forward", failing)
        with pytest.raises(Stopped):
            table()
    folder = lab / "cache" / "embeddings"
    assert [path.suffix for path in folder.iterdir()] == [".lock"]
    rows = np.array(table())
    assert np.abs(rows).sum(axis=1).min() > 0
    path = next(folder.glob("*.npy"))
    path.write_bytes(path.read_bytes()[:-9])
    np.testing.assert_array_equal(table(), rows)


def test_a_table_with_a_changed_byte_or_by_other_code_is_made_anew(lab, monkeypatch):
    rows = np.array(table())
    (path,) = (lab / "cache" / "embeddings").glob("*.npy")
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    np.testing.assert_array_equal(table(), rows)
    for text in ("", "[]", '{"digest": 3}'):
        path.with_suffix(".json").write_text(text)
        np.testing.assert_array_equal(table(), rows)
    leftover = path.with_name(f".{path.name}.0f.tmp")
    leftover.touch()
    path.unlink()
    table()
    assert not leftover.exists()
    monkeypatch.setattr(module, "VERSION", 99)
    table()
    assert len(list(path.parent.glob("*.npy"))) == 2


def test_autocast_around_an_encoder_changes_nothing():
    one, images = encoder(), torch.from_numpy(PIXELS[:5]).permute(0, 3, 1, 2) / 255
    expected = encoded(one, images, "float32")
    with torch.autocast("cpu", torch.bfloat16):
        assert not one(images).equal(expected)
        assert encoded(one, images, "float32").equal(expected)
        half = encoded(one, images, "float16")
    assert half.equal(expected.half())


def compute(results):
    torch.set_num_threads(1)
    computed = []
    original = module.encoded

    def counted(*arguments):
        computed.append(None)
        return original(*arguments)

    module.encoded = counted
    total = float(table().sum())
    results.put((bool(computed), total))


def test_two_processes_compute_a_table_once(lab):
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    processes = [context.Process(target=compute, args=(results,)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [results.get() for _ in processes]
    for process in processes:
        process.join()
    assert sum(made for made, _ in found) == 1
    assert len({total for _, total in found}) == 1


def test_the_view_answers_by_rows_and_passes_others_on():
    rows = np.arange(300 * 4, dtype=np.float16).reshape(300, 4)
    images = WithEmbeddings(source(), rows, CPU)
    requests = [torch.tensor([5, 2]), torch.tensor([7])]
    both = list(images.batches(requests, ("embedding", "plain", "embedding"), (0, 1, 2)))
    plain = list(source().batches(requests, ("plain",), (1,)))
    for index, (first, view, second), (expected,) in zip(requests, both, plain, strict=True):
        assert torch.equal(view, expected)
        assert first.dtype == torch.float32
        np.testing.assert_array_equal(first, rows[index.numpy()].astype(np.float32))
        assert torch.equal(first, second)
    (alone,), _ = images.batches(requests, ("embedding",), (0,))
    assert torch.equal(alone, both[0][0])


@pytest.mark.slow
def test_a_run_on_embeddings_computes_them_once_for_all_seeds(lab):
    base = {"kind": "run", "method": "simclr", "dataset": "digits", "noise": "clean", "seed": 0,
            "epochs": 3}  # fmt: skip
    write_params(lab, PARAMS | {"encoders": {"base": base}})
    settings = {"encoder": "base", "noise": "clean", "epochs": 6, "lr": 0.03}
    key = run("feature_classifier", **settings, val_rate=0.0).key
    assert numbers(key)[0]["test_accuracy"][5] > 0.8
    files = {path: path.stat().st_mtime_ns for path in (lab / "cache").rglob("*.npy")}
    assert len(files) == 2  # train and test images
    other = run("feature_classifier", **settings, seed=1).key
    assert row(other)["encoder_digest"] == row(key)["encoder_digest"]
    assert numbers(other)[0]["val_clean_accuracy"][5] > 0.7
    assert {path: path.stat().st_mtime_ns for path in (lab / "cache").rglob("*.npy")} == files
