"""A program that claims runs until it is killed: claimer.py ADDRESS LIFETIME N_KEYS SEED HOST.

It prints `begin KEY TIME TIME` once it holds a claim, `still KEY TIME TIME` for each renewal that
succeeded (times before and after), and `end KEY TIME` before it gives the claim back.
"""

import random
import sys
import time

from pipeline.results.claims import claim, holder
from pipeline.storage.place import Place

address, lifetime, n_keys, seed, host = sys.argv[1:]
if host:  # of another machine, which cannot look for the processes of this one
    holder._machine = lambda: host
chance = random.Random(int(seed))


def say(*words):
    """One line at once: what a killed program said counts."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


print("ready", flush=True)
while True:
    key = f"k{chance.randrange(int(n_keys))}"
    before = time.monotonic()
    held = claim(Place.at(address), key, float(lifetime))
    if held is None:
        continue
    say("begin", key, before, time.monotonic())
    for _ in range(chance.randrange(3)):
        time.sleep(chance.random() * 0.01)
        before = time.monotonic()
        held.renew()
        if held.is_lost:
            break
        say("still", key, before, time.monotonic())
    say("end", key, time.monotonic())
    held.release()
