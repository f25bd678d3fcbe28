"""Tensors on a GPU that is not there: shapes without numbers, refused where devices are mixed."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from pipeline.data.host import constant
from pipeline.training.loop import run_epochs

OWN = ("pipeline.", "methods.")


class NoNumber(Exception):
    """A tensor without numbers was asked for one."""


def _no_array(tensor):
    raise NoNumber("numpy")


@contextmanager
def fake_device(monkeypatch) -> Iterator[torch.device]:
    """A block within which tensors are fake, and the device that stands for a GPU."""
    # Imported here because it takes seconds.
    from torch._subclasses import fake_tensor

    unknown = fake_tensor.DataDependentOutputException, fake_tensor.DynamicOutputShapeException
    # Of tensors without numbers there is nothing to pin, nor to be an array.
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(Tensor, "numpy", _no_array)
    constant.cache_clear()
    try:
        with fake_tensor.FakeTensorMode():
            yield torch.device("cuda")
    except unknown as error:
        raise NoNumber(str(error)) from error
    finally:
        constant.cache_clear()


def plain_tensors(module: nn.Module) -> dict[int, Tensor]:
    """Tensors that modules hold without having registered them, by identity."""
    return {
        id(value): value
        for own in module.modules()
        for value in vars(own).values()
        if isinstance(value, Tensor)
    }


class Step(Exception):
    """Ends a run with the output of a step."""

    def __init__(self, output):
        super().__init__("a step on a device that is not there")
        self.output = output


def step_of_epoch(session, number, monkeypatch):
    """The output of the first step of an epoch on the fake device; those before are real ones."""
    stays, real = plain_tensors(session.method), session.trained

    def trained(batch):
        if session.progress.epoch < number:
            return real(batch)
        with fake_device(monkeypatch) as device:
            move = _Mover(device, stays)
            raise Step(move(session.method)(move(batch)))

    session.trained = trained
    with pytest.raises(Step) as ended:
        list(run_epochs(session, _Never()))
    return ended.value.output


class _Never:
    def save_now(self):
        return False


class _Mover:
    """Puts what a step works with on the fake device, in place where it can.

    Args:
        stays: tensors that a program would leave where they are, by identity.
    """

    def __init__(self, device: torch.device, stays: dict[int, Tensor]):
        self._device, self._stays, self._done = device, stays, {}

    def __call__(self, value):
        """The value on the device."""
        if isinstance(value, Tensor):
            return value if id(value) in self._stays else self._tensor(value)
        if isinstance(value, torch.device):
            return self._device
        if isinstance(value, tuple):
            made = [self(part) for part in value]
            return type(value)(*made) if hasattr(value, "_fields") else tuple(made)
        if isinstance(value, list):
            return [self(part) for part in value]
        if isinstance(value, dict):
            return {name: self(part) for name, part in value.items()}
        if isinstance(value, nn.Module) or type(value).__module__.startswith(OWN):
            self._attributes(value)
        return value

    def _tensor(self, value):
        made = torch.empty(value.shape, dtype=value.dtype, device=self._device)
        if isinstance(value, nn.Parameter):
            return nn.Parameter(made, requires_grad=value.requires_grad)
        return made

    def _attributes(self, value):
        if id(value) in self._done or not hasattr(value, "__dict__"):
            return
        self._done[id(value)] = value
        names = set(vars(value))
        if isinstance(value, nn.Module):
            for registered in (value._parameters, value._buffers):
                for name, tensor in registered.items():
                    if tensor is not None:
                        registered[name] = self._tensor(tensor)
            for module in value.children():
                self(module)
            names -= {"_parameters", "_buffers", "_modules"}
        for name in names:
            object.__setattr__(value, name, self(getattr(value, name)))
