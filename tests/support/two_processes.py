"""A function on several CPU processes that know each other, for tests of what joins them."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, GradientState
from torch import distributed as processes
from torch import multiprocessing


def on_processes(n: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Call `function(rank, *arguments)` on n processes; returns what each returned.

    They come from a server that has loaded torch and no more: a fork of this program itself could
    inherit a lock that one of its threads holds.
    """
    multiprocessing.set_forkserver_preload(["torch", "tests.support.two_processes"])
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.start_processes(
            _work,
            (n, folder, dict(os.environ), function, arguments),
            nprocs=n,
            start_method="forkserver",
        )
        return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(n)]


def _work(
    rank: int,
    n: int,
    folder: str,
    environment: dict[str, str],
    function: Callable[..., Any],
    arguments: Any,
) -> None:
    torch.set_num_threads(1)
    os.environ |= environment  # that of the test, which the server does not know
    # As a launcher would set them; what this process knew of Accelerate was its parent's.
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n}
    os.environ |= {name: str(value) for name, value in ranks.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    store = processes.FileStore(f"{folder}/store", n)
    processes.init_process_group("gloo", store=store, rank=rank, world_size=n)
    torch.save(function(rank, *arguments), Path(folder) / f"{rank}.pt")
    processes.destroy_process_group()
