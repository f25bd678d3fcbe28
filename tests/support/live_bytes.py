"""Bytes of tensors alive at once while a block of code runs, on any device."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts every storage that an operation makes until it is gone; `peak` is the most."""

    def __init__(self):
        super().__init__()
        self.peak = self._live = 0
        self._known = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        out = operation(*args, **(kwargs or {}))
        given = {_storage(x)._cdata for x in tree_leaves((args, kwargs)) if _is_tensor(x)}
        for storage in (_storage(x) for x in tree_leaves(out) if _is_tensor(x)):
            if storage._cdata not in self._known | given:
                self._known.add(storage._cdata)
                self._live += storage.nbytes()
                self.peak = max(self.peak, self._live)
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return out

    def _gone(self, key, n_bytes):
        self._live -= n_bytes
        self._known.discard(key)


def _is_tensor(value):
    return isinstance(value, torch.Tensor)


def _storage(tensor):
    return tensor.untyped_storage()
