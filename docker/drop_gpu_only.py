"""Delete what only a GPU would load: kernels of cuDNN, device code, static libraries, Triton.

    /opt/venv/bin/python docker/drop_gpu_only.py FOLDER

The registry has one build of torch, the one for GPUs, and it does not start without the libraries
that it is linked to. Those are seen by importing it; the rest is opened on a GPU only.
"""

import shutil
import sys
from pathlib import Path


def drop(folder: Path) -> int:
    """Delete the files under `nvidia` that this process has not mapped, and Triton.

    Args:
        folder: holds the packages nvidia and triton.

    Returns:
        The number of bytes that went.
    """
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    files = [path for path in (folder / "nvidia").rglob("*") if path.is_file()]
    unused = [path for path in files if str(path.resolve()) not in mapped]
    unused += [path for path in (folder / "triton").rglob("*") if path.is_file()]
    freed = sum(path.lstat().st_size for path in unused)
    for path in unused:
        path.unlink()
    shutil.rmtree(folder / "triton")
    return freed


if __name__ == "__main__":
    # The imports are the point: they map the libraries that have to stay.
    import torch
    import torchvision

    torch.nn.Conv2d(3, 3, 3)(torch.zeros(1, 3, 8, 8))
    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    print(f"{drop(Path(sys.argv[1])) / 1e9:.2f} GB dropped")
