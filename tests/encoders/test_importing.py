"""Encoders of others: their layouts, their numbers, and that no pickle runs."""

import pickle

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import normalize

from pipeline.backbones import make_backbone
from pipeline.backbones.heads import projection_head
from pipeline.encoders.artefact import load_encoder, read_encoder_card, save_encoder
from pipeline.encoders.checkpoint_files import read_weights
from pipeline.encoders.encoder import Encoder
from pipeline.encoders.encoder_spec import encoder_spec, parse_encoder
from pipeline.encoders.importing import embeds, import_encoder
from pipeline.errors import LabError

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Published(nn.Module):
    """The network of the public SimCLR codes, made of torchvision's parts as they make it."""

    def __init__(self, name):
        import torchvision

        super().__init__()
        children = []
        for child, module in getattr(torchvision.models, name)().named_children():
            if child == "conv1":
                stem = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
                children.append(stem)
            elif not isinstance(module, nn.Linear | nn.MaxPool2d):
                children.append(module)
        self.f = nn.Sequential(*children)
        self.g = projection_head(512)

    def forward(self, x):
        """Features and projection of unit length."""
        features = torch.flatten(self.f(x), start_dim=1)
        return normalize(features, dim=1), normalize(self.g(features), dim=1)


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(0)
    network = Published("resnet18")
    with torch.no_grad():
        network(IMAGES)  # running statistics other than 0 and 1
    return network.eval()


@pytest.mark.parametrize("form", ["plain", "data parallel", "with counters", "wrapped", "safe"])
def test_a_published_simclr_checkpoint_gives_the_same_features(published, tmp_path, form):
    state, path = dict(published.state_dict()), tmp_path / "model.pth"
    if form == "data parallel":
        state = {f"module.{name}": value for name, value in state.items()}
    if form == "with counters":
        state |= {"total_ops": torch.zeros(1), "f.0.total_params": torch.zeros(1)}
    if form == "safe":
        path = tmp_path / "model.safetensors"
        save_file(state, path)
    else:
        torch.save({"epoch": 7, "state_dict": state} if form == "wrapped" else state, path)
    spec = parse_encoder({"kind": "simclr", "path": str(path), "network": "resnet18"}, "test")
    card, weights = import_encoder("mine", spec)
    mean, std = (torch.tensor(values)[:, None, None] for values in (card.mean, card.std))
    with torch.no_grad():
        features, _ = published((IMAGES - mean) / std)
    encoder = Encoder(card, weights)
    torch.testing.assert_close(encoder(IMAGES), features, atol=1e-5, rtol=1e-4)
    assert (card.n_features, card.unit_length, card.external) == (512, True, False)


def test_a_checkpoint_of_another_network_is_refused(published, tmp_path):
    torch.save(published.state_dict(), tmp_path / "model.pth")
    spec = {"kind": "simclr", "path": str(tmp_path / "model.pth"), "network": "resnet34"}
    with pytest.raises(LabError, match="do not fit the network resnet34"):
        import_encoder("mine", parse_encoder(spec, "test"))


def test_the_head_of_a_checkpoint_is_kept(published, tmp_path):
    torch.save(published.state_dict(), tmp_path / "model.pth")
    entry = {"kind": "simclr", "path": str(tmp_path / "model.pth"), "network": "resnet18",
             "unit_length": False}  # fmt: skip
    encoder = Encoder(*import_encoder("mine", parse_encoder(entry, "test")))
    head = projection_head(512).eval()
    head.load_state_dict(encoder.part("projection"))
    mean, std = encoder.mean, encoder.std
    with torch.no_grad():
        expected = published((IMAGES - mean) / std)[1]
        found = normalize(head(encoder(IMAGES)), dim=1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("f.3.0.conv1.weight"), "do not fit the network resnet18"),
        (lambda state: state.update({"h.weight": torch.zeros(1)}), "holds 'h.weight'"),
        (lambda state: state.update({"f.2.weight": torch.zeros(1)}), "holds 'f.2.weight'"),
    ],
)
def test_a_checkpoint_of_another_layout_is_refused(published, tmp_path, change, words):
    state = dict(published.state_dict())
    change(state)
    torch.save(state, tmp_path / "model.pth")
    spec = {"kind": "simclr", "path": str(tmp_path / "model.pth"), "network": "resnet18"}
    with pytest.raises(LabError, match=words):
        import_encoder("mine", parse_encoder(spec, "test"))


class Evil:
    """Writes a file when it is unpickled."""

    def __reduce__(self):
        return (open, ("ran", "w"))


@pytest.mark.parametrize(
    "write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))]
)
def test_no_pickle_is_run(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    write({"f.0.weight": torch.zeros(1), "extra": Evil()}, tmp_path / "model.pth")
    with pytest.raises(LabError, match="more than tensors"):
        read_weights(tmp_path / "model.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_file_that_is_none_is_named(tmp_path, content):
    for name in ("model.pth", "model.safetensors"):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(LabError, match=name):
            read_weights(path)


@pytest.mark.parametrize("projection", [False, True])
def test_a_timm_model_from_a_file_gives_timms_features(tmp_path, projection):
    torch.manual_seed(0)
    model = timm.create_model("test_vit", pretrained=False).eval()
    save_file(model.state_dict(), tmp_path / "vit.safetensors")
    entry = {"kind": "timm", "model": "test_vit.r160_in1k", "projection": projection,
             "weights": str(tmp_path / "vit.safetensors")}  # fmt: skip
    card, state = import_encoder("vit", parse_encoder(entry, "test"))
    images = torch.rand(2, 3, 160, 160, generator=torch.Generator().manual_seed(1))
    encoder = Encoder(card, state)
    with torch.no_grad():
        x = (images - encoder.mean) / encoder.std
        features = model.forward_head(model.forward_features(x), pre_logits=True)
        expected = model(x) if projection else features
    torch.testing.assert_close(encoder(images), expected, atol=1e-5, rtol=1e-4)
    assert card.n_features == (1000 if projection else 64)
    assert (card.image_size, card.external, card.kind) == (160, True, "timm")
    parts = {name.split(".")[0] for name in state}
    assert parts == {"encoder", "projection" if projection else "classifier"}


def test_weights_that_cannot_be_had_are_one_line(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("timm.create_model", offline)
    entry = {"kind": "timm", "model": "resnet50.tv_in1k"}
    monkeypatch.setattr(
        "pipeline.encoders.importing.make_backbone",
        lambda *_, **__: type("Known", (), {"classifier_names": ("network.fc",)}),
    )
    with pytest.raises(LabError, match="no route to host.*weights: FILE"):
        import_encoder("mine", parse_encoder(entry, "test"))
    with pytest.raises(LabError, match="no file"):
        import_encoder(
            "mine", parse_encoder(entry | {"weights": str(tmp_path / "none.pth")}, "test")
        )


@pytest.mark.parametrize("head", ["none", "of ten classes", "of another kind of name"])
def test_features_of_a_timm_model_need_no_head(tmp_path, head):
    torch.manual_seed(0)
    model = timm.create_model("test_vit", pretrained=False).eval()
    own = {name: v for name, v in model.state_dict().items() if not name.startswith("head.")}
    if head == "of ten classes":
        own |= {"head.weight": torch.ones(10, 64), "head.bias": torch.ones(10)}
    save_file(
        own | ({"fc.weight": torch.ones(3)} if "kind" in head else {}), tmp_path / "vit.safetensors"
    )
    entry = {"kind": "timm", "model": "test_vit.r160_in1k", "projection": False,
             "weights": str(tmp_path / "vit.safetensors")}  # fmt: skip
    if "kind" in head:
        with pytest.raises(LabError, match="fc.weight"):
            import_encoder("mine", parse_encoder(entry, "test"))
        return
    encoder = Encoder(*import_encoder("mine", parse_encoder(entry, "test")))
    assert not encoder.part("classifier")
    x = torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        normalised = (x - encoder.mean) / encoder.std
        expected = model.forward_head(model.forward_features(normalised), pre_logits=True)
    torch.testing.assert_close(encoder(x), expected)
    del own["norm.weight"]
    save_file(own, tmp_path / "vit.safetensors")
    with pytest.raises(LabError, match="norm.weight"):
        import_encoder("mine", parse_encoder(entry, "test"))
    # Where the head is the embedding, it is needed.
    with pytest.raises(LabError, match="weights of test_vit"):
        import_encoder("mine", parse_encoder(entry | {"projection": True}, "test"))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("vit_large_patch14_clip_224.openai", True),
        ("vit_large_patch14_clip_quickgelu_224.openai", True),
        ("resnet50_clip.openai", True),
        ("vit_base_patch16_clip_224.openai_ft_in1k", False),
        ("vit_base_patch16_siglip_224.webli", False),
        ("resnet50.tv_in1k", False),
    ],
)
def test_only_clip_itself_embeds_by_its_last_layer(model, expected):
    assert embeds(model) is expected


def test_the_clip_and_imagenet_encoders_have_the_published_sizes():
    """On no device: shapes only."""
    with torch.device("meta"):
        clip = make_backbone("timm/vit_large_patch14_clip_quickgelu_224.openai", 768, 3)
        resnet = make_backbone("timm/resnet50.tv_in1k", 1000, 3)
    head = clip.network.head
    assert (clip.n_features, head.in_features, head.out_features) == (1024, 1024, 768)
    assert sum(p.numel() for p in resnet.parameters()) == 25_557_032
    assert resnet.n_features == 2048


def test_the_cc_network_is_found_in_its_checkpoint(tmp_path):
    """ResNet-50 pooled to 2048, then `dr` to 128; whatever else the file holds is left there."""
    torch.manual_seed(0)
    network = timm.create_model("resnet50", num_classes=14).eval()
    dr = nn.Linear(2048, 128)
    state = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    state |= {f"dr.{name}": value for name, value in dr.state_dict().items()}
    state |= {"head1.0.weight": torch.zeros(64, 128), "head1.0.bias": torch.zeros(64)}
    torch.save(state, tmp_path / "CC_net.pt")
    spec = parse_encoder({"kind": "cc", "path": str(tmp_path / "CC_net.pt")}, "test")
    card, weights = import_encoder("cc", spec)
    assert (card.n_features, card.image_size, card.unit_length) == (128, 224, False)
    encoder = Encoder(card, weights)
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x = (images - encoder.mean) / encoder.std
        expected = dr(network.forward_head(network.forward_features(x), pre_logits=True))
    torch.testing.assert_close(encoder(images), expected, atol=1e-4, rtol=1e-3)
    del state["dr.weight"]
    torch.save(state, tmp_path / "CC_net.pt")
    with pytest.raises(LabError, match="not the CC network"):
        import_encoder("cc", spec)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"kind": "timn", "model": "x"}, "try: timm"),
        ({"model": "x"}, "kind = None"),
        ({"kind": "timm", "model_": "x"}, "try: model"),
        ({"kind": "cc"}, "lacks 'path'"),
        ({"kind": "simclr", "path": "x", "network": "resnet19"}, "network = 'resnet19'"),
        ({"kind": "run"}, "lacks 'method'"),
    ],
)
def test_a_faulty_entry_is_named(entry, words):
    with pytest.raises(LabError, match=words):
        encoder_spec("mine", {"mine": entry})
    with pytest.raises(LabError, match="try: mine"):
        encoder_spec("mien", {"mine": entry})


def test_an_artefact_is_read_back_and_checked(published, tmp_path):
    torch.save(published.state_dict(), tmp_path / "model.pth")
    spec = parse_encoder(
        {"kind": "simclr", "path": str(tmp_path / "model.pth"), "network": "resnet18"}, ""
    )
    card, state = import_encoder("mine", spec)
    folder = tmp_path / "mine"
    save_encoder(folder, card, state)
    read = load_encoder(folder)
    assert read.card == card
    assert read.card.identity == card.identity
    assert torch.equal(read(IMAGES), Encoder(card, state)(IMAGES))
    weights = folder / "weights.safetensors"
    content = np.frombuffer(weights.read_bytes(), dtype=np.uint8).copy()
    content[-5] ^= 1
    weights.write_bytes(content.tobytes())
    with pytest.raises(LabError, match=r"damaged.*rm -r"):
        load_encoder(folder)
    weights.unlink()
    assert read_encoder_card(folder) is None
    with pytest.raises(LabError, match="no whole encoder.*rm -r"):
        load_encoder(folder)
