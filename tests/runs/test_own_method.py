"""A method of the user's own: one file is enough, and an edit of it is not answered silently."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.paths import PROJECT

MINE = '''"""Mean squared error against one-hot labels."""

from torch import Tensor
from torch.nn.functional import one_hot

from pipeline.backbones import make_backbone
from pipeline.runs.script import run_script
from pipeline.training.method import Batch, Method, StepOutput


class Mine(Method):
    """A network trained by squares."""

    def __init__(self, settings, problem) -> None:
        super().__init__()
        self.network = make_backbone("small-cnn", problem.n_classes, n_channels=1)

    def forward(self, batch: Batch) -> StepOutput:
        """Loss of a batch."""
        logits = self.network(batch.x)
        target = one_hot(batch.y_noisy, logits.shape[1])
        return StepOutput((logits.softmax(dim=1) - target).square().mean(), logits, {})

    def predict(self, images: Tensor) -> Tensor:
        """Softmax of the network."""
        return self.network(images).softmax(dim=1)


if __name__ == "__main__":
    run_script(Mine)
'''


@pytest.fixture
def checkout(lab, tmp_path_factory):
    """A copy of the code, as a user has it, with a method of the user's own."""
    folder = tmp_path_factory.mktemp("checkout")
    for part in ("pipeline", "methods"):
        shutil.copytree(PROJECT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "methods" / "mine.py").write_text(MINE)

    def start(*flags):
        return subprocess.run(
            [sys.executable, "methods/mine.py", "--no-tracking", "--epochs", "1", *flags],
            cwd=folder, env=os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
            text=True, capture_output=True, check=False, timeout=180,
        )  # fmt: skip

    return folder / "methods" / "mine.py", start


@pytest.mark.slow
def test_one_file_is_a_method_and_edits_of_it_are_noticed(checkout):
    file, start = checkout
    first = start()
    assert first.returncode == 0, first.stderr
    assert " done" in first.stdout
    assert "note:" not in first.stderr

    file.write_text(MINE.replace('"""Loss of a batch."""', "# a comment\n"))
    layout = start()
    assert " stored " in layout.stdout
    assert "note:" not in layout.stderr

    file.write_text(MINE.replace(".square().mean()", ".square().mean() * 0.01"))
    edited = start()
    assert " stored " in edited.stdout
    notes = [line for line in edited.stderr.splitlines() if line.startswith("note:")]
    assert len(notes) == 1
    for word in ("methods/mine.py", "VERSION", "--force", "--accept-code"):
        assert word in notes[0]

    accepted = start("--accept-code")
    assert "note:" not in accepted.stderr
    assert "note:" not in start().stderr


@pytest.mark.slow
def test_a_recipe_that_a_method_does_not_have_is_named(checkout):
    _, start = checkout
    ended = start("--recipe", "paper")
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "paper" in ended.stderr
    assert "pocket" in ended.stderr
