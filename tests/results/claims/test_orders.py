"""Whatever the order of requests, pauses and kills: one holder at a time, none blocked long."""

import itertools

import pytest

from pipeline.results.claims import claim, claims, taking
from tests.support.stepping import Schedule, SteppingPlace

KEY, LIFETIME = "r1", 10.0
SEEDS = [*range(60), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(60, 3000))]


@pytest.fixture(autouse=True)
def other_clock(monkeypatch):
    monkeypatch.setattr(taking, "_note_skew", lambda place, minutes: None)


def computed(schedule, place, n_actors=3):
    """What actors believed: for each hold the requests at which each confirmation began and ended.

    A claim and each renewal that succeeds are confirmations.
    """
    holds = []

    def actor():
        for _ in range(4):
            schedule.step()
            began = schedule.n_requests
            held = claim(place, KEY, LIFETIME)
            if held is None:
                continue
            hold = [(began, schedule.n_requests)]
            holds.append(hold)
            for _ in range(schedule.chance.randrange(4)):
                schedule.step()  # a step of training, which may take long
                began = schedule.n_requests
                held.renew()
                if held.is_lost:
                    break
                hold.append((began, schedule.n_requests))
            held.release()

    schedule.run([actor] * n_actors)
    return holds


@pytest.mark.parametrize("seed", SEEDS)
def test_no_two_programs_hold_a_run(seed):
    # Pauses of half, of once and of five times the lifetime.
    pause = (0.5, 1.0, 5.0)[seed % 3] * LIFETIME
    schedule = Schedule(seed, pause, kills=(0.0, 0.02)[seed % 2])
    place = SteppingPlace(schedule)
    holds = computed(schedule, place)
    assert holds or seed % 2
    for one, other in itertools.permutations(holds, 2):
        for (_, confirmed), (again, _) in itertools.pairwise(one):
            # Who confirms again did so without another one in between.
            assert not any(confirmed <= began and ended <= again for began, ended in other)
    place.alone_after(LIFETIME + 0.1)
    assert not any(found.alive for found in claims(place))
    last = claim(place, KEY, LIFETIME)
    assert last is not None
    last.release()
    assert not place.objects


def test_programs_that_are_never_late_lose_nothing():
    for seed in range(30):
        schedule = Schedule(seed, pause=0.0)
        holds = computed(schedule, SteppingPlace(schedule))
        spans = sorted((hold[0][1], hold[-1][0]) for hold in holds)
        assert spans
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
