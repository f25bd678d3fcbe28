"""Stands in for torch.compile: counts what is compiled, and generates no code."""

from collections import Counter

import torch


class CountedCompile:
    """What was compiled, and for which calls; see `counting`."""

    def __init__(self) -> None:
        self.compiled: Counter[tuple] = Counter()
        self.called: Counter[tuple] = Counter()
        self._n_networks, self._now = 0, ()
        self._real = torch.compile

    def backend(self, graph, inputs):
        """Run a graph as it is."""
        del inputs
        self.compiled[self._now] += 1
        return graph.forward

    def compile(self, function, *, mode, **options):
        """As `torch.compile`; calls are told apart by network, mode, gradient and shapes."""
        del mode
        self._n_networks += 1
        name = f"{function.__qualname__} {self._n_networks}"
        form = self._real(function, backend=self.backend, **options)

        def call(*given):
            shapes = tuple(tuple(x.shape) for x in given if isinstance(x, torch.Tensor))
            network = function.__self__
            self._now = (name, network.training, torch.is_grad_enabled(), shapes)
            self.called[self._now] += 1
            return form(*given)

        return call


def counting(monkeypatch) -> CountedCompile:
    """Count what is compiled from now on."""
    counted = CountedCompile()
    monkeypatch.setattr("pipeline.runs.compilation.torch.compile", counted.compile)
    monkeypatch.setattr("pipeline.runs.compilation._earlier", [])
    return counted
