"""Programs that are killed and paused while they claim, renew and give back."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise, permutations

import pytest

from pipeline.results.claims import claim, claims
from tests.support.paths import PROJECT

CLAIMER = PROJECT / "tests/support/claimer.py"
N_KEYS, N_PROGRAMS, N_KILLS = 3, 3, 16
PLACES = [
    pytest.param("folder", marks=pytest.mark.slow),
    pytest.param("bucket", marks=pytest.mark.services),
]
pytestmark = pytest.mark.parametrize("place", PLACES, indirect=True)


class Program:
    """A program that claims, and what it said."""

    def __init__(self, address, lifetime, seed, host):
        self.process = subprocess.Popen(
            [sys.executable, CLAIMER, address, str(lifetime), str(N_KEYS), str(seed), host],
            stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(PROJECT)},
        )  # fmt: skip
        self.process.stdout.readline()

    def holds(self):
        """Kill it; returns what it held."""
        killed = time.monotonic()
        self.process.kill()
        found = []
        for line in self.process.communicate()[0].splitlines():
            word, key, *times = line.split()
            times = [float(number) for number in times]
            if word == "begin":
                found.append(Hold(key, [times], killed))
            elif word == "still":
                found[-1].confirmed.append(times)
            else:
                found[-1].end = times[0]
        return found


@dataclass
class Hold:
    """One hold of a claim."""

    key: str
    confirmed: list[list[float]]
    """Times before and after the claim and each renewal that succeeded."""
    end: float


@contextmanager
def programs(address, lifetime, hosts):
    """Some programs, of which one is replaced by each call; all holds are collected."""
    running, holds = [], []

    def start(n):
        return Program(address, lifetime, 100 * len(holds) + n, f"host{n}" if hosts else "")

    def replace(n):
        holds.extend(running[n].holds())
        running[n] = start(n)

    try:
        running.extend(start(n) for n in range(N_PROGRAMS))
        yield running, holds, replace
    finally:
        for program in running:
            program.process.send_signal(signal.SIGCONT)
            holds.extend(program.holds())


def pairs(holds):
    """All pairs of holds of one key."""
    return [(one, other) for one, other in permutations(holds, 2) if one.key == other.key]


def test_a_killed_program_of_this_host_blocks_nobody(place):
    chance = random.Random(0)
    with programs(place.address, 600.0, hosts=False) as (running, holds, replace):
        for _ in range(N_KILLS):
            time.sleep(chance.random() * 0.05)
            replace(chance.randrange(len(running)))
    assert len(holds) >= N_KILLS
    assert {hold.key for hold in holds} == {f"k{n}" for n in range(N_KEYS)}
    # No two held one key at the same time, though the lifetime of none was over.
    for one, other in pairs(holds):
        assert one.end <= other.confirmed[0][1] or other.end <= one.confirmed[0][1]
    assert not any(found.alive for found in claims(place))
    for n in range(N_KEYS):
        assert claim(place, f"k{n}") is not None


def test_a_killed_program_of_another_host_blocks_no_longer_than_its_lifetime(place):
    lifetime, chance = 2.0, random.Random(1)
    with programs(place.address, lifetime, hosts=True) as (_, _, replace):
        for _ in range(N_KILLS // 2):
            time.sleep(chance.random() * 0.05)
            replace(chance.randrange(N_PROGRAMS))
    ended, open_keys = time.monotonic(), {f"k{n}" for n in range(N_KEYS)}
    while open_keys and time.monotonic() < ended + 60:
        open_keys -= {key for key in open_keys if claim(place, key, lifetime)}
        time.sleep(0.05)
    # A storage that counts whole seconds, and the time of a look.
    assert time.monotonic() - ended < lifetime + 2.5


def test_a_program_that_sleeps_too_long_finds_its_claim_lost(place):
    lifetime, chance = 0.3, random.Random(2)
    if not place.is_folder:
        lifetime = 2.0  # its clock counts whole seconds
    with programs(place.address, lifetime, hosts=True) as (running, holds, _):
        for _ in range(N_KILLS // 2):
            asleep = running[chance.randrange(N_PROGRAMS)].process
            asleep.send_signal(signal.SIGSTOP)
            time.sleep(lifetime * (0.5 + chance.random()))
            asleep.send_signal(signal.SIGCONT)
            time.sleep(chance.random() * 0.05)
    for one, other in pairs(holds):
        for (_, confirmed), (again, _) in pairwise(one.confirmed):
            assert not any(confirmed < begin and end < again for begin, end in other.confirmed)
    assert len(holds) > N_PROGRAMS
