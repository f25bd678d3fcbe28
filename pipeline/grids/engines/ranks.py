"""Several processes for each cell of a bundle, one a GPU, by torch's own launcher.

As a program it takes the number of processes, and folder, bundle and token of a batch. The launcher
ends with the program that started it, even when that was killed; its processes then save their
state.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

from pipeline.errors import Interrupted
from pipeline.grids.batch import Batch
from pipeline.grids.bundles import Bundle

_LOOKS = 0.5


def launch(batch: Batch, bundle: Bundle, threads: int | None) -> str:
    """Compute a bundle with a process for each of its GPUs.

    Args:
        batch: of the bundle.
        bundle: of several GPUs, which this process sees.
        threads: of torch, in each process; None for what the environment says.

    Returns:
        How the launcher failed, or "".

    Raises:
        Interrupted: after SIGTERM or SIGINT, when the processes have saved their state.
    """
    command = [
        sys.executable, "-m", "pipeline.grids.engines.ranks", str(bundle.gpus), str(batch.folder),
        str(bundle.number), batch.token,
    ]  # fmt: skip
    chosen = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    # Where this process says something, which may be the log of the bundle.
    launcher = subprocess.Popen(
        command, env=os.environ | chosen, stdout=sys.stdout, stderr=sys.stderr
    )
    wishes: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        del frame
        wishes.append(number)
        launcher.terminate()

    numbers = (signal.SIGTERM, signal.SIGINT)
    previous = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        # A wish of Ray is no real signal: it does not end a wait.
        while (code := launcher.poll()) is None:
            time.sleep(_LOOKS)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if wishes:
        raise Interrupted("stopped; the state is saved", wishes[0])
    return f"its launcher ended with {code}" if code else ""


def main() -> None:
    """Launch the processes of a bundle and wait for them."""
    from torch.distributed.run import main as torchrun

    n, *bundle, token = sys.argv[1:]
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    torchrun(["--standalone", f"--nproc-per-node={n}", "-m", "pipeline.grids.worker", *bundle,
              "--token", token])  # fmt: skip


def _end_with(starter: int) -> None:
    while os.getppid() == starter:
        time.sleep(_LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
