"""Slurm's commands as a shell script: they answer from files, and note how they were called."""

from pathlib import Path

_SCRIPT = """#!/bin/bash
here={folder}
name=${{0##*/}}
echo "$name $*" >> $here/calls
if [ -e $here/$name.hangs ]; then sleep 60; fi
case "$name $*" in
  "sbatch --test-only"*) what=test-only ;;
  sbatch*)
    echo x >> $here/submitted
    n=$(wc -l < $here/submitted)
    cp "$1" $here/script.$n
    if [ -e $here/sbatch.$n ]; then cat $here/sbatch.$n >&2; exit 1; fi
    echo "Submitted batch job $((n * 10))"
    exit ;;
  "sinfo "*--states=*) what=away ;;
  *) what=$name ;;
esac
if [ -e $here/$what.error ]; then cat $here/$what.error >&2; exit 1; fi
if [ -e $here/$what ]; then cat $here/$what; fi
"""


class StandIn:
    """The commands, in a folder to put on the path.

    A file `NAME` is what a command prints, `NAME.error` how it fails, `NAME.hangs` that it gives no
    answer; `test-only` and `away` are the answers of sbatch --test-only and sinfo --states, and
    `sbatch.2` is how the second submission fails.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder, folder / "bin"
        self.programs.mkdir()
        program = self.programs / "sbatch"
        program.write_text(_SCRIPT.format(folder=folder))
        program.chmod(0o755)
        for name in ("srun", "squeue", "scancel", "scontrol", "sinfo"):
            (self.programs / name).symlink_to(program)
        self.says("sinfo", "main*|infinite\nshort|20:00\nlong|7-00:00:00\n")
        self.says("scontrol", "EnforcePartLimits       = NO\nMaxArraySize            = 3\n")

    def says(self, name: str, text: str) -> None:
        """Let a command print a text, or fail with it if the name ends so."""
        (self.folder / name).write_text(text)

    def calls(self, name: str) -> list[str]:
        """The words of each call of a command."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.partition(" ")[2] for line in lines if line.split(" ")[0] == name]

    def script(self, number: int) -> list[str]:
        """Lines of a job script as it was submitted."""
        return (self.folder / f"script.{number}").read_text().splitlines()
