"""A process among several, for steps that are only made and not computed, and threads that join."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch

from pipeline.training.gather import ALONE
from pipeline.training.processes import Processes


class Share:
    """One of several processes, as far as steps look at it."""

    device = torch.device("cpu")
    uses_graphs = False

    def __init__(self, rank, n_processes):
        self.rank, self.n_processes = rank, n_processes

    share = Processes.share

    def gather(self, n):
        """All there is."""
        return ALONE


class Joining(Share):
    """One of several threads that stand for processes and join what each has."""

    def __init__(self, rank, held, barrier):
        super().__init__(rank, len(held))
        self.is_main, self._held, self._barrier = rank == 0, held, barrier

    def of_all(self, value):
        """What each has."""
        self._held[self.rank] = value.clone()
        self._barrier.wait()
        found = torch.stack(self._held)
        self._barrier.wait()
        return found

    def sum(self, value):
        """Over all."""
        return self.of_all(value).sum(dim=0)


def on_threads(n, function):
    """Call `function(processes)` on n threads at a time; returns what each returned."""
    held, barrier = [None] * n, Barrier(n, timeout=60)
    with ThreadPoolExecutor(n) as threads:
        return list(threads.map(lambda rank: function(Joining(rank, held, barrier)), range(n)))
