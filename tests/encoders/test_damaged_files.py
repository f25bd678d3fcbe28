"""Files of encoders that are not what they should be: one line, little memory, never a pickle."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipeline.encoders.artefact import load_encoder, read_encoder_card, save_encoder, weights_digest
from pipeline.encoders.checkpoint_files import read_weights, source_path
from pipeline.encoders.encoder import Encoder
from pipeline.encoders.encoder_spec import encoder_spec, parse_encoder
from pipeline.encoders.importing import import_encoder
from pipeline.errors import LabError
from tests.support.tiny_encoder import tiny_encoder

STATE = {"f.0.weight": torch.arange(24.0).view(2, 3, 4), "f.1.bias": torch.arange(5)}


def write(path, form):
    """A checkpoint in one of the three forms that are read."""
    if form == "safetensors":
        save_file(STATE, path)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=form == "zip")


def message(error):
    """The text of an error, which has three parts and fits on a screen."""
    text = str(error.value)
    assert "; expected: " in text
    assert "; try: " in text
    assert len(text) < 600
    assert "\n" not in text
    return text


def refusal(path):
    """What reading a file is answered with; None where it is read."""
    try:
        read_weights(path)
    except LabError as error:
        return str(error)
    return None


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_damaged_checkpoint_is_one_line_or_still_readable(tmp_path, form):
    whole = tmp_path / f"whole.{'safetensors' if form == 'safetensors' else 'pth'}"
    write(whole, form)
    content, path = whole.read_bytes(), whole.with_stem("damaged")
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(150):
        damaged = bytearray(content)
        if number % 3 == 0:
            del damaged[int(rng.integers(len(damaged))) :]
        else:
            for at in rng.integers(len(damaged), size=1 + number % 4):
                damaged[at] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        error = refusal(path)
        if error is not None:
            refused += 1
            assert path.name in error
            assert "; try: " in error
            assert len(error) < 600
    assert refused > 50


def compressed(path):
    """A gigabyte of zeros in a megabyte."""
    torch.save({"w": torch.zeros(4)}, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/1", bytes(10**7))


def hollow(path):
    """A tensor of a terabyte whose numbers are all the same one."""
    torch.save({"w": torch.zeros(1).expand(2**38)}, path)


def on_no_device(path):
    """A tensor without any numbers."""
    torch.save({"w": torch.zeros(4, device="meta")}, path)


def sparse(path):
    """A tensor in another layout."""
    torch.save({"w": torch.eye(3).to_sparse()}, path)


class Wasteful:
    """Asks for a terabyte when it is unpickled, without any code of its own."""

    def __reduce__(self):
        return bytearray, (2**40,)


def wasteful(path):
    """Memory that the pickle asks for by itself."""
    torch.save({"w": torch.zeros(4), "x": Wasteful()}, path)


def without_tensors(path):
    """A mapping of other things."""
    torch.save({"epoch": 3, "state_dict": {}}, path)


@pytest.mark.parametrize(
    "make", [compressed, hollow, on_no_device, sparse, wasteful, without_tensors]
)
def test_a_checkpoint_that_asks_for_more_than_it_holds_is_refused(tmp_path, make):
    path = tmp_path / "model.pth"
    make(path)
    with pytest.raises(LabError, match="damaged|no named tensors") as error:
        read_weights(path)
    message(error)


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module._orig_mod.", "module.", "_orig_mod.module."]
)
def test_prefixes_of_compiled_and_parallel_models_are_taken_off(tmp_path, prefix):
    torch.save({prefix + name: value for name, value in STATE.items()}, tmp_path / "model.pth")
    found = read_weights(tmp_path / "model.pth")
    assert list(found) == list(STATE)
    torch.save({"net._orig_mod.f.0.weight": torch.zeros(1)}, tmp_path / "model.pth")
    assert list(read_weights(tmp_path / "model.pth")) == ["net.f.0.weight"]


def test_tied_weights_are_read(tmp_path):
    one = torch.zeros(1000)
    torch.save({"a.weight": one, "b.weight": one}, tmp_path / "model.pth")
    assert set(read_weights(tmp_path / "model.pth")) == {"a.weight", "b.weight"}


def test_every_type_of_number_has_a_digest():
    digests = {weights_digest({"w": torch.ones(3, dtype=dtype)}) for dtype in (
        torch.bfloat16, torch.float16, torch.float32, torch.int64, torch.bool)}  # fmt: skip
    assert len(digests) == 5
    assert weights_digest({"w": torch.ones(())}) != weights_digest({"w": torch.zeros(())})


def test_weights_of_another_kind_of_number_do_not_fit():
    encoder = tiny_encoder()
    state = {name: value.to(torch.int8) for name, value in encoder.state.items()}
    with pytest.raises(LabError, match="do not fit the network small-cnn") as error:
        Encoder(encoder.card, state)
    message(error)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    from tests.encoders.test_importing import Published

    state = Published("resnet18").state_dict()
    state["f.0.weight"][0, 0, 0, 0] = torch.nan
    torch.save(state, tmp_path / "model.pth")
    entry = {"kind": "simclr", "path": str(tmp_path / "model.pth"), "network": "resnet18"}
    with pytest.raises(LabError, match="not finite") as error:
        import_encoder("mine", parse_encoder(entry, "test"))
    message(error)


@pytest.fixture
def folder(tmp_path):
    encoder = tiny_encoder()
    card = replace(encoder.card, weights_digest=weights_digest(encoder.state))
    save_encoder(tmp_path / "mine", card, encoder.state)
    return tmp_path / "mine"


def test_a_card_with_a_changed_byte_is_none_and_made_again(folder):
    path, card = folder / "card.json", read_encoder_card(folder)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    unchanged = 0
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        found = read_encoder_card(folder)
        assert found in (None, card)  # a blank that became another one changes nothing
        unchanged += found is not None
    assert unchanged < len(content) / 4
    for other in (b"", b"[]", b"3", b"{}", b"[" * 100_000, content[:50]):
        path.write_bytes(other)
        assert read_encoder_card(folder) is None


def test_a_card_that_was_edited_is_none_and_one_without_digest_is_read(folder):
    path, card = folder / "card.json", read_encoder_card(folder)
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"mean": [0.4]}))
    assert read_encoder_card(folder) is None
    del facts["digest"]
    path.write_text(json.dumps(facts))
    assert read_encoder_card(folder) == card


def test_weights_with_a_changed_byte_are_one_line(folder):
    path = folder / "weights.safetensors"
    content = path.read_bytes()
    for at in np.random.default_rng(0).integers(len(content), size=60):
        damaged = bytearray(content)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(LabError, match=r"damaged.*rm -r") as error:
            load_encoder(folder)
        message(error)


ENTRY = {"kind": "run", "method": "simclr"}


@pytest.mark.parametrize(
    "name", ["../../precious", ".", "", "a b", "x;touch y", "..", "/etc", "a/b", 3, None, ["a"], {}]
)
def test_a_name_that_cannot_be_a_folder_is_refused(name):
    entries = {name: ENTRY} if isinstance(name, str) else {"mine": ENTRY}
    with pytest.raises(LabError) as error:
        encoder_spec(name, entries)
    message(error)


@pytest.mark.parametrize(
    "entry",
    [
        None, 3, "simclr", ["kind"], True, {}, {"kind": ["run"]}, {"kind": None}, {"kind": {}},
        {"kind": "x" * 40_000}, {"kind": 1e400},
    ],
)  # fmt: skip
def test_an_entry_of_any_type_is_one_line(entry):
    with pytest.raises(LabError) as error:
        encoder_spec("mine", {"mine": entry})
    message(error)


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x.pth", "a\0b"])
def test_text_that_is_no_path_is_one_line(path):
    with pytest.raises(LabError) as error:
        source_path(path)
    message(error)


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert source_path("~/x.pth") == tmp_path / "x.pth"
