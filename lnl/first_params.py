"""Write the params.yaml that came with the code into the folder of the laboratory, to edit it.

uv run lnl init
"""

from dataclasses import dataclass

from pipeline.command_line import read_flags
from pipeline.config.params import shipped_params
from pipeline.errors import LabError, program
from pipeline.files import project_root, replacing


@dataclass(frozen=True)
class Flags:
    """Write a params.yaml."""


@program
def main() -> None:
    """Write the file, unless there is one."""
    read_flags(Flags, __doc__)
    path = project_root() / "params.yaml"
    if path.exists():
        raise LabError(f"{path} is there already", "a folder without params.yaml", "edit it")
    with replacing(path) as temporary:
        temporary.write_bytes(shipped_params().read_bytes())
    print(f"written: {path}")


if __name__ == "__main__":
    main()
