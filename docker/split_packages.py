"""Move the large, seldom changing packages out of an environment, so that they make one layer.

python3 docker/split_packages.py ENVIRONMENT FOLDER
"""

import shutil
import sys
from pathlib import Path

LARGE = ("torch", "nvidia", "triton")


def split(environment: Path, folder: Path) -> None:
    """Move the large packages and leave a path file, by which Python finds them as before.

    Args:
        environment: a virtual environment.
        folder: where the packages go, side by side: torch finds NVIDIA's libraries relative to
            itself.
    """
    (packages,) = environment.glob("lib/python3.*/site-packages")
    folder.mkdir(parents=True)
    for name in LARGE:
        shutil.move(packages / name, folder / name)
    (packages / "large_packages.pth").write_text(f"{folder}\n")


if __name__ == "__main__":
    split(Path(sys.argv[1]), Path(sys.argv[2]))
