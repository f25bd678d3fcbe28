"""Claims as a program sees them: taken, kept, listed, given back, swept."""

import json
import os
import re
import time
from datetime import datetime, timedelta

import pytest

from pipeline.errors import LabError
from pipeline.results.claims import claim, claims, taking
from pipeline.results.claims.holder import Holder
from pipeline.storage.place import Place


@pytest.fixture
def elsewhere(monkeypatch):
    """Hosts that cannot look for each other's processes."""
    monkeypatch.setattr(Holder, "is_gone", False)


def aged(place, seconds):
    """Let time pass for what lies in a folder."""
    for entry in place.entries():
        then = time.time() - seconds
        os.utime(place.folder / entry.name, (then, then))


def test_one_program_at_a_time_claims_a_run(place):
    mine = claim(place, "r1")
    assert claim(place, "r1") is None
    other = claim(place, "r2")
    assert [(found.key, found.alive) for found in claims(place)] == [("r1", True), ("r2", True)]
    assert claims(place, "r2")[0].holder == Holder.me()
    other.release()
    mine.release()
    assert claims(place) == []
    again = claim(place, "r1")
    assert again is not None
    again.release()
    assert place.entries() == []


def test_a_claim_whose_lifetime_is_over_is_taken_over_and_its_holder_stops(tmp_path, elsewhere):
    place = Place.at(tmp_path)
    first = claim(place, "r1", lifetime=100)
    aged(place, 99)
    assert claim(place, "r1") is None
    aged(place, 102)
    assert not claims(place)[0].alive
    second = claim(place, "r1")
    assert second is not None
    first.renew()
    assert first.is_lost
    first.release()
    assert [found.alive for found in claims(place)] == [True]
    second.renew()
    assert not second.is_lost
    second.release()


def test_a_claim_is_renewed_while_the_program_is_busy(tmp_path, elsewhere):
    place = Place.at(tmp_path)
    held = claim(place, "r1", lifetime=0.3)
    first = place.entries()
    time.sleep(0.6)
    assert claim(place, "r1") is None
    assert place.entries() != first
    held.release()


def test_a_program_that_has_ended_on_this_host_blocks_nobody(tmp_path, monkeypatch):
    place = Place.at(tmp_path)
    left = claim(place, "r1")
    monkeypatch.setattr(Holder, "is_gone", True)
    mine = claim(place, "r1")
    assert mine is not None
    left.renew()
    assert left.is_lost
    mine.release()


def test_trouble_while_a_claim_is_renewed_is_said_and_passed_over(tmp_path, monkeypatch, capsys):
    place = Place.at(tmp_path)
    held = claim(place, "r1")
    with monkeypatch.context() as broken:
        broken.setattr(Place, "create", refuse)
        broken.setattr(Place, "delete", refuse)
        held.renew()
        assert not held.is_lost
        held.release()
    assert len(re.findall("note: the claim of r1 .*no answer", capsys.readouterr().err)) == 2
    assert claims(place)[0].alive


def refuse(place, *words):
    raise LabError("no answer", "an answer", "wait", exit_code=1)


def test_a_clock_that_is_far_off_is_said_once_and_changes_nothing(tmp_path, monkeypatch, capsys):
    class Late(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=7)

    monkeypatch.setattr(taking, "datetime", Late)
    place = Place.at(tmp_path)
    for key in ("r1", "r2"):
        assert claim(place, key) is not None
    assert capsys.readouterr().err.count("note: the clock of this host is 7 min ahead") == 1
    assert [found.alive for found in claims(place)] == [True, True]


def test_what_others_left_long_ago_is_swept_once(tmp_path):
    place = Place.at(tmp_path)
    place.put("claims/old/000003", b"{}")
    place.put("locks/older.lock", b"")
    aged(place, 90_000)
    place.put("claims/young/000001", b"{}")
    claim(place, "r1").release()
    assert [entry.name for entry in place.entries()] == ["claims/young/000001"]


def test_a_claim_says_what_a_person_wants_to_know(place):
    held = claim(place, "r1", lifetime=50)
    facts = json.loads(place.get(place.entries("claims")[0].name))
    assert facts["holder"]["pid"] == os.getpid()
    assert facts["lifetime"] == 50
    assert abs(claims(place)[0].since.timestamp() - time.time()) < 60
    held.release()


def test_files_of_others_among_the_claims_do_no_harm(tmp_path):
    place = Place.at(tmp_path)
    for name in ("claims/notes", "claims/r1/notes.txt", "claims/r2/000004"):
        place.put(name, b"?")
    assert claim(place, "r1") is not None
    assert claim(place, "r2") is None
    assert [found.key for found in claims(place)] == ["r1", "r2"]
