"""A checkpoint is read whole or refused in one line, and says what each process had."""

import io
import zipfile

import numpy as np
import pytest
import torch
from torch import distributed

from pipeline.errors import LabError
from pipeline.storage.folder import FolderStorage
from pipeline.training.checkpoints import FORMAT, resume, save_checkpoint
from tests.support.runs import checkpoint_path
from tests.support.tiny_session import tiny_session, trained_a_step
from tests.support.two_processes import on_processes

KEY = "r0123456789abcdef"
SOME = torch.arange(4)


@pytest.fixture
def saved(lab):
    """The file of a run that was saved after its first step."""
    save_checkpoint(trained_a_step(tiny_session(), SOME), KEY)
    return checkpoint_path(KEY)


def state_of(session):
    return [
        *session.method.state_dict().values(),
        *session.average.state(),
        *session.ledger.state().values(),
        *(values["momentum_buffer"] for values in session.optimizer.state.values()),
    ]


def refusal():
    with pytest.raises(LabError) as caught:
        resume(tiny_session(), KEY)
    message = str(caught.value)
    assert len(message) < 600
    assert "; expected: " in message
    assert "; try: " in message
    return message


def test_a_session_goes_on_as_it_was(saved):
    before, after = trained_a_step(tiny_session(), SOME), tiny_session()
    assert resume(after, KEY)
    assert after.progress == before.progress
    for one, other in zip(state_of(before), state_of(after), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert not resume(after, "rffffffffffffffff")


@pytest.mark.parametrize("damage", [b"", b"junk", "cut"])
def test_an_unreadable_file_is_damaged(saved, damage):
    saved.write_bytes(saved.read_bytes()[:-100] if damage == "cut" else damage)
    assert f"{saved} is damaged" in refusal()
    assert f"rm {saved}" in refusal()


def test_a_flipped_byte_is_noticed_or_changes_nothing(saved):
    whole = saved.read_bytes()
    expected = tiny_session()
    resume(expected, KEY)
    stream = np.random.default_rng(0)
    n_refused = 0
    for place in stream.integers(len(whole), size=150):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(stream.integers(8))
        saved.write_bytes(changed)
        session = tiny_session()
        try:
            resume(session, KEY)
        except LabError:
            n_refused += 1
            continue
        for one, other in zip(state_of(expected), state_of(session), strict=True):
            assert torch.equal(one, other)
    assert n_refused > 50


def test_every_flipped_byte_of_a_tensor_is_noticed(saved):
    whole = saved.read_bytes()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        weights = max(archive.infolist(), key=lambda part: part.file_size)
        place = whole.index(archive.read(weights))
    changed = bytearray(whole)
    changed[place + 1] ^= 1
    saved.write_bytes(changed)
    assert "is damaged" in refusal()


def rewritten(path, change):
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


@pytest.mark.parametrize("part", ["progress", "key", "scaler", "own", "optimizer"])
def test_a_file_that_lacks_a_part_is_not_called_damaged(saved, part):
    rewritten(saved, lambda state: state.pop(part))
    assert f"lacks {part}" in refusal()


def test_a_file_of_another_version_or_run_says_so(saved):
    rewritten(saved, lambda state: state.update(key="r1"))
    assert "belongs to run r1" in refusal()
    rewritten(saved, lambda state: state.update(key=KEY, format=FORMAT - 1))
    assert f"has format {FORMAT - 1}" in refusal()
    rewritten(saved, lambda state: state.pop("format"))
    assert "has format 1" in refusal()
    torch.save([1, 2], saved)
    assert "has format None" in refusal()


def test_a_state_that_does_not_fit_names_its_part(saved):
    whole = saved.read_bytes()
    with pytest.raises(LabError, match="state of method .*shape.*; try: "):
        resume(tiny_session(n_classes=2), KEY)
    changes = {
        "optimizer": lambda state: state["optimizer"]["param_groups"][0].update(params=[0]),
        "ledger": lambda state: state["ledger"].pop("totals"),
        "average": lambda state: state["average"].pop(),
        "progress": lambda state: state["progress"].update(other=1),
        "own": lambda state: state["own"].update({"buffer gone": torch.zeros(1, 1)}),
    }
    for part, change in changes.items():
        saved.write_bytes(whole)
        rewritten(saved, change)
        assert f"state of {part}" in refusal()

    def reshaped(state):
        state["optimizer"]["state"][0]["momentum_buffer"] = torch.zeros(7)

    saved.write_bytes(whole)
    rewritten(saved, reshaped)
    assert "momentum_buffer of another shape" in refusal()


def test_a_posterior_must_be_kept_from_the_start(saved):
    with pytest.raises(LabError, match="without --posterior.*; try: rm "):
        resume(tiny_session(posterior=True), KEY)


def test_a_file_that_may_not_be_read_is_not_called_damaged(saved, monkeypatch):
    def refused(storage, name):
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(FolderStorage, "get", refused)
    with pytest.raises(LabError, match=r"^cannot read checkpoints/.*: Permission denied; expected"):
        resume(tiny_session(), KEY)


def own_samples(rank):
    return torch.arange(rank, 12, 2)


def saved_and_resumed(rank):
    """On one of two processes: what it had, and what it has again."""
    before = trained_a_step(tiny_session(), own_samples(rank))
    save_checkpoint(before, KEY)
    after = tiny_session()
    resume(after, KEY)
    same = [
        torch.equal(one, other) for one, other in zip(held_by(before), held_by(after), strict=True)
    ]
    return same, before.method.network[0].running_mean, after.progress.sums["loss"]


def held_by(session):
    """What a process holds by itself; ledgers are joined, so that parts move to the main one."""
    return [*session.method.state_dict().values(), *session.average.state()]


@pytest.mark.slow
def test_each_process_gets_its_own_statistics_again(lab):
    found = on_processes(2, saved_and_resumed)
    assert all(all(same) for same, _, _ in found)
    statistics, sums = [mean for _, mean, _ in found], [total for _, _, total in found]
    assert not torch.equal(*statistics)
    assert sums[0] != sums[1]

    # One process alone goes on from their mean, and with the sums of both.
    alone = tiny_session()
    assert resume(alone, KEY)
    mean = (statistics[0] + statistics[1]) / 2
    assert torch.equal(alone.method.network[0].running_mean, mean)
    assert alone.progress.sums["loss"] == sum(sums)


def read_by_one_only(rank, elsewhere):
    import os

    save_checkpoint(trained_a_step(tiny_session(), SOME), KEY)
    distributed.barrier()
    if rank == 1:
        os.environ["LNL_STORE"] = elsewhere
    try:
        resume(tiny_session(), KEY)
    except LabError as failure:
        return str(failure)
    return "resumed"


@pytest.mark.slow
def test_processes_fail_together(lab, tmp_path):
    first, second = on_processes(2, read_by_one_only, str(tmp_path / "elsewhere"))
    assert first.startswith("another process of this run failed; expected: ")
    assert second.startswith("no checkpoint ")
    assert "LNL_SHARED" in second
