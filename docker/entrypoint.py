"""First process of a container: prepares the folders, starts the command, passes signals on.

A container ends with its first process. `accelerate launch` and `dvc repro` end at once on SIGTERM
while the training they started still saves its state, so this program stays until the whole
process group is gone. (`docker stop` waits 10 seconds, or what `--time` says, before it kills.)
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

LAB = Path("/lab")
FOLDERS = ("data", "labels", "encoders", "cache", "results", "tracker", ".dvc/cache")
PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def prepare_folders(lab: Path) -> None:
    """Name the folders of `lab` that this user cannot write to, and make the one for pictures."""
    for folder in (lab / name for name in FOLDERS):
        if folder.exists() and not os.access(folder, os.W_OK):
            print(f"note: user {os.getuid()} cannot write to {folder}", file=sys.stderr)
    pictures = lab / "tracker" / "mlartifacts"
    if os.access(pictures.parent, os.W_OK):
        pictures.mkdir(exist_ok=True)


def name_image(stamp: Path) -> None:
    """Give runs the best name of the image there is.

    A container cannot know the digest of its image, so whoever starts it says it (docker/run and
    compose.yaml do). Without that, runs carry the digest of the image's code and pyproject.toml.

    Args:
        stamp: file that holds that digest; it lies where no mounted checkout hides it.
    """
    if not os.environ.get("LNL_IMAGE_DIGEST") and stamp.exists():
        os.environ["LNL_IMAGE_DIGEST"] = stamp.read_text()


def run(command: list[str]) -> int:
    """Run a command in a process group of its own and wait for it.

    Args:
        command: program and arguments.

    Returns:
        Its exit code, 128 + number where a signal ended it. After a signal to stop, only once
        no process of the group is left.
    """
    stopped = False

    def pass_on(number: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True
        signal_group(child.pid, number)

    try:
        child = subprocess.Popen(command, process_group=0)
    except OSError as failure:
        print(f"error: {command[0]}: {failure.strerror}", file=sys.stderr)
        return 127
    for number in PASSED_ON:
        signal.signal(number, pass_on)
    hand_over_terminal(child.pid)
    code = child.wait()
    while stopped and signal_group(child.pid, 0):
        reap()
        time.sleep(0.05)
    return code if code >= 0 else 128 - code


def signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; False if nobody is left in it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def hand_over_terminal(group: int) -> None:
    """Let the command's group read the terminal and get its Ctrl-C, where there is a terminal."""
    if sys.stdin is not None and sys.stdin.isatty():
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(sys.stdin.fileno(), group)


def reap() -> None:
    """Bury children whose parents are gone; as the first process they are ours."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    prepare_folders(LAB)
    name_image(Path(__file__).with_name(".build-id"))
    sys.exit(run(sys.argv[1:]))
