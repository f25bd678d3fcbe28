"""Folders that stay in their place, and files that are whole, readable and tidied up."""

import os
import stat
import time
from pathlib import Path

import pytest

from pipeline import files
from pipeline.errors import LabError
from tests.support.paths import PROJECT
from tests.test_names import BAD

NAMED = [
    files.data_folder,
    lambda name: files.labels_folder(name, "clean"),
    lambda name: files.labels_folder("digits", name),
    files.encoders_folder,
]  # fmt: skip


@pytest.mark.parametrize("folder", NAMED)
@pytest.mark.parametrize("name", BAD)
def test_no_name_leads_out_of_its_folder(lab, folder, name):
    assert folder("fine").resolve().is_relative_to(lab)
    with pytest.raises(LabError):
        folder(name)


def test_a_folder_that_a_variable_names_is_the_same_wherever_a_program_starts(lab, monkeypatch):
    monkeypatch.setenv("LNL_STORE", "shared/store")
    monkeypatch.chdir("/")
    assert files.folder_named_by("LNL_STORE", lab) == lab / "shared" / "store"
    monkeypatch.setenv("HOME", str(lab / "home"))
    monkeypatch.setenv("LNL_STORE", "~/store")
    monkeypatch.setenv("LNL_ROOT", "~/project")
    assert files.folder_named_by("LNL_STORE", lab) == lab / "home" / "store"
    assert files.project_root() == lab / "home" / "project"
    monkeypatch.setenv("LNL_STORE", "")
    assert files.folder_named_by("LNL_STORE", lab) is None


def test_the_project_is_the_checkout_and_of_a_wheel_the_current_folder(lab, monkeypatch):
    monkeypatch.chdir(lab)
    monkeypatch.delenv("LNL_ROOT")
    assert files.project_root() == PROJECT
    monkeypatch.setattr(files, "is_checkout", lambda: False)
    assert files.project_root() == lab
    monkeypatch.setenv("LNL_ROOT", "elsewhere")
    assert files.project_root() == lab / "elsewhere"


@pytest.mark.parametrize("place", ["s3://bucket/store", "https://host/x", "~nobody-here/store"])
def test_an_address_is_no_folder(lab, monkeypatch, place):
    monkeypatch.setenv("LNL_ROOT", place)
    with pytest.raises(LabError, match="LNL_ROOT") as refusal:
        files.project_root()
    assert refusal.value.remedy
    assert not list(lab.glob("s3:*"))


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_get_the_permissions_that_the_umask_says(tmp_path, mask):
    before = os.umask(mask)
    try:
        with files.replacing(tmp_path / "file") as new:
            new.touch(mode=0o600)  # as some libraries do
        with files.replacing_folder(tmp_path / "folder") as new:
            (new / "inner").mkdir()
            (new / "inner" / "file").touch(mode=0o600)
    finally:
        os.umask(before)
    for path in (tmp_path / "file", tmp_path / "folder" / "inner" / "file"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~mask


def test_what_killed_programs_left_goes_after_a_day(tmp_path):
    left = {age: tmp_path / f".rows.{age}.tmp" for age in (1, 80_000, 90_000)}
    for age, path in left.items():
        path.write_text("half")
        os.utime(path, (time.time() - age,) * 2)
    other = tmp_path / ".hidden"
    other.touch()
    os.utime(other, (1, 1))
    with files.replacing(tmp_path / "rows") as new:
        new.write_text("whole")
    assert [path.exists() for path in left.values()] == [True, True, False]
    assert other.exists()


def test_a_failed_writer_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "rows"
    path.write_text("old")

    def fail():
        with files.replacing(path) as new:
            new.write_text("new")
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fail()
    assert path.read_text() == "old"
    assert [each.name for each in Path(tmp_path).iterdir()] == ["rows"]
