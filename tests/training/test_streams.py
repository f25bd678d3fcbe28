"""Steps and batches of streams: passes, shares of processes, and draws that depend on neither."""

import pytest
import torch

from pipeline.config import RunSettings, Seeds
from pipeline.training.batches import TrainSamples
from pipeline.training.method import Method
from pipeline.training.phases import Phase, Stream
from pipeline.training.streams import PhaseSteps, Place
from tests.support.share import Share

N = 23
EASY, HARD = torch.arange(0, N, 3), torch.tensor([i for i in range(N) if i % 3])


PLACE = Place(4, "a")


class Positions:
    """Images that show where they come from: their position and the seed of the view."""

    def batches(self, requests, views, seeds):
        """Of each view a row for each image: its position, and the seed."""
        for index in requests:
            yield tuple(torch.stack([index, index * 0 + seed], dim=1) for seed in seeds)


def steps(rank=0, n_processes=1, place=PLACE, phase=None, seed=0, **values):
    phase = phase or Phase({"easy": Stream(EASY), "hard": Stream(HARD, batch_size=4)})
    train = TrainSamples(Positions(), torch.arange(N), torch.zeros(N, dtype=torch.int64), None)
    settings = RunSettings(batch_size=3, seed=seed, **values)
    return PhaseSteps(phase, place, settings, Method(), train, Share(rank, n_processes))


def drawn(found):
    """Samples of each stream, step by step."""
    batches = list(found.batches())
    return {
        name: [batch.parts[name].index.tolist() for _, batch in batches]
        for name in batches[0][1].parts
    }


def flat(batches):
    return [sample for batch in batches for sample in batch]


def test_the_main_stream_sets_the_length_and_others_begin_again():
    found = steps(phase=Phase({"hard": Stream(HARD, batch_size=4), "easy": Stream(EASY)}))
    assert (len(found), found.main) == (4, "hard")
    samples = drawn(found)
    assert sorted(flat(samples["hard"])) == HARD.tolist()
    first, second = samples["easy"][:3], samples["easy"][3:]
    assert [len(batch) for batch in first] == [3, 3, 2]  # no batch of two passes
    assert sorted(flat(first)) == EASY.tolist()
    assert second[0] != first[0]
    assert len(steps(phase=Phase({"easy": Stream(EASY)}, steps=7))) == 7


def test_a_stream_may_drop_its_last_batch_or_hold_a_sample_twice():
    twice = Stream(torch.tensor([5, 5, 7, 7]), batch_size=2)
    assert sorted(flat(drawn(steps(phase=Phase({"all": twice})))["all"])) == [5, 5, 7, 7]
    dropping = Phase({"easy": Stream(EASY, drop_last=True)})
    assert [len(batch) for batch in drawn(steps(phase=dropping))["easy"]] == [3, 3]
    assert len(steps(phase=Phase({"easy": Stream(EASY)}), drop_last=True)) == 2


def test_a_sample_that_comes_again_has_other_views():
    twice = Stream(torch.tensor([5, 7, 5, 7, 5, 9]), batch_size=4, views=("weak",))
    found_by = []
    for n_processes in (1, 2, 3):
        seeds = {}
        for rank in range(n_processes):
            for found, batch in steps(rank, n_processes, phase=Phase({"all": twice})).batches():
                x = batch.views[0][: found["all"].weight].tolist()
                assert [sample for sample, _ in x] == batch.index[: len(x)].tolist()
                for sample, seed in x:
                    seeds.setdefault(sample, []).append(seed)
        assert {sample: len(set(found)) for sample, found in seeds.items()} == {5: 3, 7: 2, 9: 1}
        found_by.append({sample: sorted(found) for sample, found in seeds.items()})
    assert found_by[0] == found_by[1] == found_by[2]


def test_every_epoch_phase_stream_and_seed_has_an_order_of_its_own():
    places = [(Place(4, "a"), 0), (Place(5, "a"), 0), (Place(4, "b"), 0), (Place(4, "a"), 1)]
    orders = {str(drawn(steps(place=place, seed=seed))["easy"]) for place, seed in places}
    assert len(orders) == 4
    alike = drawn(steps(phase=Phase({"one": Stream(HARD), "two": Stream(HARD)})))
    assert alike["one"] != alike["two"]
    whole = [steps(place=place, phase=Phase(), seed=seed) for place, seed in places]
    orders = {str([batch.index.tolist() for _, batch in found.batches()]) for found in whole}
    assert len(orders) == 4


@pytest.mark.parametrize("n_processes", [2, 5])
def test_processes_share_every_batch_of_every_stream(n_processes):
    whole = list(steps().batches())
    parts = [list(steps(rank, n_processes).batches()) for rank in range(n_processes)]
    for (expected, batch), *shares in zip(whole, *parts, strict=True):
        for name, step in expected.items():
            own = [share[name] for share, _ in shares]
            assert sum(part.weight for part in own) == step.weight == step.n_samples
            for rank, part in enumerate(own):
                assert part.n_samples == step.n_samples
                if part.weight:
                    assert torch.equal(part.samples, step.samples[rank::n_processes])
        assert {part.seed for _, part in shares} == {batch.seed}


def seeds_of_samples(batch_size):
    phase = Phase({"easy": Stream(EASY, batch_size=batch_size, views=("weak", "weak"))}, steps=6)
    return {
        (step["easy"].number, int(sample)): tuple(int(view[row, 1]) for view in batch.views)
        for step, batch in steps(phase=phase).batches()
        for row, sample in enumerate(batch.index)
    }


def test_views_depend_on_pass_and_sample_and_not_on_the_batch():
    small, large = seeds_of_samples(3), seeds_of_samples(4)
    assert all(large[place] == small[place] for place in small.keys() & large.keys())
    first, second = (small[number, 0] for number in (0, 1))
    assert len({*first, *second}) == 4


def test_steps_that_are_left_are_those_of_the_whole():
    whole, rest = list(steps().batches()), list(steps().batches(2))
    assert len(rest) == len(whole) - 2
    for (_, expected), (_, found) in zip(whole[2:], rest, strict=True):
        assert found.seed == expected.seed
        for name, part in expected.parts.items():
            assert torch.equal(part.index, found.parts[name].index)
            assert all(map(torch.equal, part.views, found.parts[name].views))


def test_order_views_and_draws_of_the_method_follow_seeds_of_their_own():
    def draws(**seeds):
        batches = [batch for _, batch in steps(seeds=Seeds(**seeds)).batches()]
        parts = [part for batch in batches for part in batch.parts.values()]
        return {
            "order": [part.index.tolist() for part in parts],
            "augment": sorted({int(view[0, 1]) for part in parts for view in part.views}),
            "method": [batch.seed for batch in batches],
        }

    usual, other = draws(), [batch for _, batch in steps(seed=3).batches()]
    for stream in usual:
        moved = draws(**{stream: 3})
        assert {name for name in usual if moved[name] != usual[name]} == {stream}
    assert draws(method=3)["method"] == [batch.seed for batch in other]
    assert draws(split=3, init=3, noise=3) == usual
    # Two processes share the very same batches.
    seeds = Seeds(order=3, augment=4, method=5)
    whole, *shares = (list(steps(*share, seeds=seeds).batches()) for share in ((), (0, 2), (1, 2)))
    for (_, batch), *parts in zip(whole, *shares, strict=True):
        assert {part.seed for _, part in parts} == {batch.seed}
        for rank, (_, part) in enumerate(parts):
            own = batch.parts["hard"]
            assert torch.equal(part.parts["hard"].index, own.index[rank::2])
            assert torch.equal(part.parts["hard"].views[0], own.views[0][rank::2])


def test_seeds_of_steps_differ():
    places = [Place(4, "a"), Place(4, "b"), Place(5, "a")]
    seeds = [batch.seed for place in places for _, batch in steps(place=place).batches()]
    assert len(set(seeds)) == len(seeds)
