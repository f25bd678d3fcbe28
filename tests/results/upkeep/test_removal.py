"""Removed runs are gone with all they left, whatever is killed or merged meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from pipeline.errors import LabError
from pipeline.results import __main__ as program
from pipeline.results.claims import claim, claims
from pipeline.results.keys import resolved
from pipeline.results.store import Store
from pipeline.results.upkeep import compaction, removal
from pipeline.results.upkeep.compaction import compact
from pipeline.results.upkeep.removal import half_removed, remove
from pipeline.results.view import write_view
from pipeline.storage.belongings import Belongings, belongings
from pipeline.storage.place import Place
from tests.support.results_builder import add_run, content_of, merge_as_early_versions_did, run_row

GONE, KEPT = run_row(seed=1)["key"], run_row(seed=2)["key"]
LEFT = (f"checkpoints/{GONE}.pt", f"encoders/{GONE}/weights.safetensors",
        f"encoders/{GONE}/card.json", f"posteriors/{GONE}/mean.npy")  # fmt: skip


class Killed(BaseException):
    """Stands for the end of the process."""


def loose(store: Store) -> None:
    """As runs are written."""
    for seed in (1, 2):
        add_run(store, seed=seed)


def merged(store: Store) -> None:
    """As a compaction leaves them."""
    loose(store)
    compact(store)


def computed_again(store: Store) -> None:
    """In a segment, and once more in loose files that count."""
    merged(store)
    add_run(store, (0.9, 0.9, 0.9), seed=1)


def half_merged(store: Store) -> None:
    """In a segment; of the loose files a killed compaction has left the row."""
    loose(store)
    row = (store.place.folder / "runs" / f"{GONE}.parquet").read_bytes()
    compact(store)
    store.place.put(f"runs/{GONE}.parquet", row)


def early(store: Store) -> None:
    """Merged by early versions of the code."""
    loose(store)
    merge_as_early_versions_did(store)


@pytest.mark.parametrize("lie", [loose, merged, computed_again, half_merged, early])
def test_removal_killed_between_any_two_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: Callable[[Store], None]
) -> None:
    steps_left = 10**6

    def killable(act: Callable[..., object]) -> Callable[..., object]:
        def step(place: Place, name: str, *content: bytes) -> object:
            nonlocal steps_left
            if not name.startswith("claims/"):  # given back even so, for the next removal
                steps_left -= 1
                if steps_left < 0:
                    raise Killed
            return act(place, name, *content)

        return step

    delete_one = killable(lambda place, name, act=Place.delete: act(place, [name]))

    def delete(place: Place, names: Collection[str]) -> None:
        for name in names:
            delete_one(place, name)

    monkeypatch.setattr(Place, "delete", delete)
    monkeypatch.setattr(Place, "create", killable(Place.create))
    n_steps, was_killed = 0, True
    while was_killed:
        steps_left = 10**6
        store = Store(tmp_path / str(n_steps))
        lie(store)
        for name in LEFT:
            store.place.put(name, b"some")
        steps_left = n_steps
        try:
            remove(store, [GONE])
            was_killed = False
        except Killed:
            n_steps += 1
        steps_left = 10**6
        n_runs = len(store.runs([GONE]).collect())
        n_epochs = len(store.epochs([GONE]).collect())
        assert (n_runs, n_epochs) in ({(0, 0), (1, 3)} if was_killed else {(0, 0)})
        assert len(store.samples([GONE]).collect()) == 4 * n_runs
        assert len(store.epochs([KEPT]).collect()) == 3
        if n_runs or GONE in half_removed(store):  # the same again does the rest
            remove(store, resolved(store, [GONE], half_removed(store)))
        assert not any(entry.name.endswith(f"{GONE}.parquet") for entry in store.place.entries())
        assert belongings(store.place, GONE) == Belongings(None, None, None, None)
        compact(store)
        assert [row[0] for row in content_of(store)[0]] == [KEPT]
        assert claims(store.place) == []
    assert n_steps > 6


def test_a_compaction_at_the_same_time_brings_no_run_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, merge, remove_loose = Store(tmp_path), compaction._merge, removal._remove_loose
    loose(store)

    def removing_first(*arguments: object) -> None:
        if store.status(GONE):
            remove(store, [GONE])
        merge(*arguments)

    with monkeypatch.context() as slow:
        slow.setattr(compaction, "_merge", removing_first)
        compact(store)
    assert [row[0] for row in content_of(store)[0]] == [KEPT]

    def merging_first(chosen: Store, keys: list[str]) -> None:
        if keys:
            compact(chosen)
        remove_loose(chosen, keys)

    add_run(store, seed=1)
    monkeypatch.setattr(removal, "_remove_loose", merging_first)
    remove(store, [GONE])
    assert [len(table) for table in content_of(store)] == [1, 3, 4]


def test_a_run_that_is_computed_is_refused_and_nothing_removed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    loose(store)
    other = claim(store.place, GONE)
    assert other is not None
    with pytest.raises(LabError, match=f"computes run {GONE}.*nothing was removed.*stop it first"):
        remove(store, [KEPT, GONE])
    other.release()
    assert len(content_of(store)[0]) == 2
    assert claims(store.place) == []


def test_runs_are_named_by_a_beginning_that_no_other_has(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keys = sorted(add_run(store, seed=seed) for seed in range(40))
    first = keys[0]
    unique = next(
        first[:n] for n in range(1, 18) if sum(key.startswith(first[:n]) for key in keys) == 1
    )
    assert resolved(store, [keys[3], unique]) == [keys[3], first]
    for given, words in (
        (["nothing"], r"run 'nothing' is not in .*; try: .*runs.py list"),
        (["r"], "'r' begins the keys of 40 runs: .* and 36 more; .*; try: " + first),
        (["", first], "begins the keys of 40 runs"),
        ([unique, first], f"run {first} is named twice"),
        ([first[:-1] + "x"], f"is not in .*; try: {first}"),
    ):
        with pytest.raises(LabError, match=words):
            resolved(store, given)


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["results", "rm", *words])
    program.main()


def test_rm_says_what_goes_and_asks(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store()
    loose(store)
    write_view([GONE, KEPT], lab / "results" / "views" / "tiny.parquet", store)
    for name in LEFT:
        store.place.put(name, b"some")
    for words, complaint in (((GONE,), "rm without --yes, and nobody to ask"), ((), "rm without")):
        with pytest.raises(SystemExit):
            called(monkeypatch, *words)
        assert complaint in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    called(monkeypatch, GONE)
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"run {GONE}, robust_loss ce, digits, sym, seed 1: done; ")
    assert out[0].endswith(f"/checkpoints/{GONE}.pt; {store.place.uri('encoders/' + GONE)}; "
                           f"{store.place.uri('posteriors/' + GONE)}")  # fmt: skip
    assert out[1:] == [
        f"note: the view of grid tiny keeps {GONE}; the grid computes it anew",
        "nothing was removed",
    ]
    assert store.status(GONE) == "done"
    called(monkeypatch, GONE[:6], "--yes")
    assert capsys.readouterr().out.endswith(f"removed from {store.place.address}: {GONE}\n")
    assert store.status(GONE) is None
