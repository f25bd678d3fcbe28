"""Make a copy of the project fit for any user id: run once, while the image is built.

python3 docker/prepare_project.py COMMIT
"""

import compileall
import hashlib
import sys
from pathlib import Path

MOUNTED = ("data", "labels", "encoders", "cache", "results", "tracker", ".dvc/cache")
OPEN = (".", ".dvc", ".dvc/tmp", *MOUNTED)


def prepare(lab: Path, commit: str) -> None:
    """Stamp the copy with its origin, and open the folders that programs write to.

    Args:
        lab: the copy; its program files stay read-only for others.
        commit: of git, with `-dirty` behind it where files were changed; may be empty.
    """
    (lab / ".build-commit").write_text(commit)
    (lab / ".build-id").write_text(f"build:{content_digest(lab)}")
    compileall.compile_dir(lab, quiet=1)
    for path in lab.rglob("*"):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    for name in OPEN:
        (lab / name).mkdir(exist_ok=True)
        # No sticky bit: DVC and SQLite replace files that another user made.
        (lab / name).chmod(0o777)
    # The image is no git repository; a checkout mounted over it hides this file.
    (lab / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    # The tracker's database and pictures get a folder of their own to mount.
    for name in ("mlflow.db", "mlartifacts"):
        (lab / name).symlink_to(Path("tracker") / name)


def content_digest(lab: Path) -> str:
    """SHA-256 over names and contents of the files below `lab`, pyproject.toml among them."""
    digest = hashlib.sha256()
    for path in sorted(path for path in lab.rglob("*") if path.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(lab)} {content}\n".encode())
    return digest.hexdigest()


if __name__ == "__main__":
    prepare(Path.cwd(), sys.argv[1])
