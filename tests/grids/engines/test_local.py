"""Which worker computes where: CPUs, GPUs, several cells on one, several GPUs for one."""

from types import SimpleNamespace

import pytest

from pipeline.errors import LabError
from pipeline.grids.bundles import Bundle
from pipeline.grids.engines.local import Local
from tests.support.engines import local


def bundle(number, gpus=1, precision="fp32"):
    return Bundle(number, gpus, precision, None, [number])


@pytest.fixture
def started(monkeypatch):
    """Workers that are started, without processes: devices and bundles they were given."""
    given = []

    def start(engine, batch, first, devices):
        worker = SimpleNamespace(precision=first.precision, devices=devices, bundle=None)
        worker.pipe = SimpleNamespace(
            send=lambda one: given.append((one.number, devices)), close=lambda: None
        )
        worker.process = SimpleNamespace(
            pid=len(given), join=lambda: None, terminate=lambda: None, exitcode=-9
        )
        return worker

    monkeypatch.setattr(Local, "_start", start)
    monkeypatch.setattr(Local, "_listen", lambda engine, patience: None)
    return given


def end(engine, number):
    place = next(
        place
        for place, one in engine._running.items()
        if one.bundle and one.bundle.number == number
    )
    engine._end(place, "", blames_cell=False)


def test_each_gpu_has_as_many_cells_as_it_should(started):
    engine = local(1, ("0", "1"), per_gpu=2)
    assert engine.slots() == 4
    handle = engine.submit(None, [bundle(number) for number in range(6)])
    jobs = engine.state(None, handle, 0.0)
    # GPUs fill in turn: one cell on each before a second one on any.
    assert started == [(0, ("0",)), (1, ("1",)), (2, ("0",)), (3, ("1",))]
    assert [job.phase for job in jobs] == ["running"] * 4 + ["waiting"] * 2
    end(engine, 1)
    engine.state(None, handle, 0.0)
    assert started[4] == (4, ("1",))


def test_a_cell_with_several_gpus_waits_for_free_ones_and_has_them_alone(started):
    engine = local(1, ("0", "1", "2"), per_gpu=2)
    handle = engine.submit(None, [bundle(0), bundle(1, gpus=2), bundle(2), bundle(3), bundle(4)])
    engine.state(None, handle, 0.0)
    assert started == [(1, ("0", "1")), (0, ("2",)), (2, ("2",))]
    end(engine, 0)
    engine.state(None, handle, 0.0)
    assert started[3:] == [(3, ("2",))]
    end(engine, 1)
    engine.state(None, handle, 0.0)
    assert started[4:] == [(4, ("0",))]


def test_a_worker_has_one_precision(started):
    engine = local(1)
    handle = engine.submit(None, [bundle(0), bundle(1, precision="bf16")])
    engine.state(None, handle, 0.0)
    first = next(iter(engine._running.values()))
    end(engine, 0)
    engine.state(None, handle, 0.0)
    assert [number for number, _ in started] == [0, 1]
    assert next(iter(engine._running.values())) is not first


def test_a_machine_without_gpus_computes_on_its_cpus_and_one_with_too_few_says_so():
    assert local(2).gpus(4) == 0
    assert local(2).slots() == 2
    assert local(2, ("0", "1")).gpus(None) == 1
    with pytest.raises(LabError, match="gpus: 4 on a machine with 2; .*; try: gpus: 2"):
        local(2, ("0", "1")).gpus(4)
    with pytest.raises(LabError, match="GPU 3 on a machine that shows 2; .* below 2"):
        local(1, ("0", "1"), gpus=(0, 3))
    assert local(1, ("GPU-a", "GPU-b"), gpus=(1,)).slots() == 1
