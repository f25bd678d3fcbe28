"""What would make a program wait for its device, or copy to it, counted while it runs on the CPU.

Operations are watched, and those functions whose way to the host is none of them on a CPU.
"""

import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.training.loop import run_epochs

ROOT = Path(__file__).resolve().parents[2]
ASKING = {
    "_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim",
    "unique_consecutive", "bincount", "repeat_interleave", "equal", "is_nonzero",
}  # fmt: skip
"""Operations whose result, or its size, is a number on the host."""
ANSWERS = {torch.Tensor.cpu, torch.Tensor.tolist}
"""Functions that bring a tensor to the host; one of a host is not asked for it in a step."""
CPU_ONLY = {
    torch.nn.functional.one_hot:
        "looks at the range of labels on a CPU; a kernel does so on a GPU (TensorFactories.cpp)",
    torch.Tensor.__setitem__:
        "a number that is assigned is an argument of the kernel on a GPU, by a mask, too"
        " (canDispatchToMaskedFill)",
}  # fmt: skip
"""Functions within which numbers are looked at, or made into tensors, on a CPU alone, and why."""
IN_FILES = {
    "torch/optim/": "steps are counted in tensors that lie on the host",
    "torch/nn/utils/clip_grad.py": "where there are no gradients their norm is a 0 on the host",
}
"""Files of which the same is true."""
UNCOUNTED = {
    ("pipeline/data/host.py", "constant"): "a copy to a device once in a program",
    ("pipeline/data/host.py", "on_host"): "no copy, and no device",
}
"""Functions that make tensors for which no step waits, and why."""
SENT = ("pipeline/data/host.py", "sent")
"""Copies to a device without waiting for it."""
FETCHED = ("pipeline/data/host.py", "fetched")
"""Waits for many answers at once; who asks is not this function."""
OF_A_PASS = "batches"
"""Functions of this name ask once for all batches of a pass."""


@dataclass(frozen=True)
class Found:
    """By place and number of times: what makes the host wait, and copies for which it does not."""

    waits: Counter[str] = field(default_factory=Counter)
    of_passes: Counter[str] = field(default_factory=Counter)
    """Waits for something of all batches of a pass."""
    sent: Counter[str] = field(default_factory=Counter)


class Crossings:
    """Counts within a `with` block."""

    def __init__(self):
        self.within = 0
        self.take()

    def __enter__(self):
        self._stack = ExitStack()
        self._stack.enter_context(_Functions(self))
        self._stack.enter_context(_Operations(self))
        return self

    def __exit__(self, *exception):
        self._stack.close()

    def take(self):
        """What there was since the last call."""
        found, self.found = getattr(self, "found", Found()), Found()
        return found

    def note(self, what):
        """Count one, at the line of the project that asked for it."""
        frame, sends = sys._getframe(2), False
        while frame is not None:
            file, name = frame.f_code.co_filename, frame.f_code.co_name
            if any(part in file for part in IN_FILES):
                return
            if file.startswith(str(ROOT)) and "/tests/" not in file and "/.venv/" not in file:
                here = Path(file).relative_to(ROOT).as_posix()
                if (here, name) in UNCOUNTED:
                    return
                if (here, name) == SENT:
                    sends = True
                elif (here, name) != FETCHED:
                    waits = self.found.of_passes if name == OF_A_PASS else self.found.waits
                    (self.found.sent if sends else waits)[f"{what} {here} {name}"] += 1
                    return
            frame = frame.f_back
        (self.found.sent if sends else self.found.waits)[what] += 1


class _Operations(TorchDispatchMode):
    def __init__(self, found):
        super().__init__()
        self._found = found

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.overloadpacket.__name__
        by_mask = name in {"index", "index_put_", "index_put", "_index_put_impl_"} and any(
            _is_mask(index) for index in args[1]
        )
        if by_mask and name != "index" and args[2].numel() == 1 and args[2].ndim == 0:
            by_mask = False
        if name == "lift_fresh" or name in ASKING:
            if not self._found.within:
                self._found.note(name)
        elif by_mask:
            self._found.note("mask")
        return operation(*args, **(kwargs or {}))


class _Functions(TorchFunctionMode):
    def __init__(self, found):
        super().__init__()
        self._found = found

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in ANSWERS:
            self._found.note(function.__name__)
        only = function in CPU_ONLY
        self._found.within += only
        try:
            return function(*args, **(kwargs or {}))
        finally:
            self._found.within -= only


class Watch:
    """What each step of an epoch held, and the rest of the epoch.

    Args:
        session: that is run by `epoch`.
    """

    def __init__(self, session):
        self._session, self._crossings = session, Crossings()
        self.steps, self.rest, self._before = [], [], None

    def epoch(self, number):
        """Run the epochs before, then watch this one."""
        made = run_epochs(self._session, self)
        for _ in range(number):
            next(made)
        self.steps, self.rest, self._before = [], [], None
        with self._crossings:
            next(made)
        self.rest.append(self._crossings.take())

    def save_now(self):
        """Called after each step; the first one of a phase is not told from what precedes it."""
        progress = self._session.progress
        here = progress.epoch, progress.phase
        (self.steps if here == self._before else self.rest).append(self._crossings.take())
        self._before = here
        return False


def _is_mask(index):
    return index is not None and index.dtype in {torch.bool, torch.uint8}
