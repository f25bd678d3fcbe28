"""Peers: a random start by name, and modes of their own."""

import torch
from torch import nn

from pipeline.config import RunSettings
from pipeline.training.peers import Peers, asked_once, seeded


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def weights(peer):
    return peer[0].weight


def test_a_start_depends_on_seed_and_name_alone():
    torch.manual_seed(1)
    first = Peers(("a", "b"), network, RunSettings(seed=7))
    drawn = torch.rand(2)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(2), drawn)  # building draws nothing from the stream outside
    again = Peers(("b", "c", "a"), network, RunSettings(seed=7))
    other = Peers(("a",), network, RunSettings(seed=8))
    assert torch.equal(weights(first["a"]), weights(again["a"]))
    assert torch.equal(weights(first["b"]), weights(again["b"]))
    starts = [weights(peer) for peer in (*again.values(), *other.values())]
    assert len({start.sum().item() for start in starts}) == 4


def test_groups_are_named_and_hold_what_is_trained():
    peers = Peers(("a", "b"), network, RunSettings())
    peers["b"][0].bias.requires_grad_(False)
    a, b = peers.groups()
    assert (a["name"], b["name"]) == ("a", "b")
    assert (len(a["params"]), len(b["params"])) == (4, 3)


def test_only_named_peers_are_ever_in_training_mode():
    method = nn.ModuleDict({"peers": Peers(("a", "b"), network, RunSettings())})
    peers = method["peers"]
    assert peers["a"].training
    assert peers["b"].training
    peers.train_only("b")
    for mode in (True, False, True):
        method.train(mode)
        assert not peers["a"][1].training
        assert peers["b"][1].training == mode
    method.eval()
    peers.train_only("a")
    assert not peers["a"].training
    peers.train_only("a", "b")
    method.train()
    assert peers["a"][1].training
    assert peers["b"][1].training


def test_a_part_is_made_anew_from_a_stream_of_its_name():
    part = nn.Linear(3, 4)

    def renewed(*names):
        with seeded(RunSettings(seed=5), *names):
            part.load_state_dict(nn.Linear(3, 4).state_dict())
        return part.weight.clone()

    first, other = renewed("head", 20), renewed("head", 21)
    assert not torch.equal(first, other)
    assert torch.equal(renewed("head", 20), first)


def test_a_peer_answers_the_same_images_from_memory_within_the_block_alone():
    method = nn.ModuleDict({"peers": Peers(("a", "b"), network, RunSettings())})
    first, compiled, calls = method["peers"]["a"], method["peers"]["b"], []
    plain = compiled.forward
    own = vars(compiled)["forward"] = lambda images: (calls.append(images), plain(images))[1]
    x, same = torch.ones(2, 3), torch.ones(2, 3)
    with asked_once(method):
        assert compiled(x) is compiled(x)
        assert first(x) is first(x)
        assert first(same) is not first(x)  # another tensor is another question
    assert len(calls) == 1
    assert vars(compiled)["forward"] is own
    assert "forward" not in vars(first)
    assert first(x) is not first(x)
