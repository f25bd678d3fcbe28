"""What a lost job has left is handed out in bundles that are worth a job."""

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace

from pipeline.grids.bundles import Bundle, Lengths
from pipeline.grids.engines.engine import Handle, Job
from pipeline.grids.following import Follower, submit
from pipeline.grids.frozen_cell import FrozenCell
from pipeline.grids.news import Reporter, news_path
from pipeline.grids.progress import Progress

N_CELLS = 40


class Losing:
    """An engine whose second bundle loses its job after some cells; the rest ends well."""

    name, pause = "losing", 0.0

    def __init__(self) -> None:
        self.submitted: list[list[Bundle]] = []

    def slots(self) -> int:
        """Two."""
        return 2

    def lengths(self) -> Lengths:
        """Bundles of ten minutes and more."""
        return Lengths(shortest=600.0, longest=1800.0, per_slot=4)

    def submit(self, batch: SimpleNamespace, bundles: Sequence[Bundle]) -> Handle:
        """Compute at once."""
        self.submitted.append(list(bundles))
        for bundle in bundles:
            news = Reporter(news_path(batch.folder, bundle.number))
            for row in bundle.rows[: 2 if bundle.number == 1 else None]:
                news.begun(batch.cells[row].key)
                news.ended(batch.cells[row].key, "done")
        return Handle(self.name, tuple(bundle.number for bundle in bundles), "", {})

    def state(self, batch: SimpleNamespace, handle: Handle, patience: float) -> list[Job]:
        """All jobs have ended."""
        return [Job(str(number), (number,), "ended") for number in handle.bundles]


def test_cells_that_turned_out_short_are_handed_out_again_in_one_bundle(tmp_path, monkeypatch):
    monkeypatch.setenv("LNL_STORE", str(tmp_path / "store"))
    for folder in ("bundles", "handles"):
        (tmp_path / folder).mkdir()
    cells = [
        FrozenCell(f"r{n:016x}", f"cell {n}", "robust_loss", "{}", "exact", "{}", [], None, [], 0,
                   "fp32", None)
        for n in range(N_CELLS)
    ]  # fmt: skip
    batch = SimpleNamespace(
        folder=tmp_path,
        cells=cells,
        n_cells=N_CELLS,
        token="00000000",
        grid="g",
        frozen_at=datetime.now(UTC),
    )
    engine = Losing()
    handle = submit(batch, engine, range(N_CELLS))
    endings = Follower(batch, engine, Progress(batch, 2)).follow(handle)
    first, again = engine.submitted
    assert endings == {"done": N_CELLS}
    assert len(first) > 2  # where nobody knew what a cell takes
    assert [bundle.rows for bundle in again] == [first[1].rows[2:]]
    assert len(again[0].rows) > 2
