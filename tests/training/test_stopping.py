"""How often processes agree, and what a signal means the first and the second time."""

import signal

import pytest

from pipeline.errors import Interrupted
from pipeline.training.stopping import StopRequest

STEPS = 400


class Clock:
    """Time that passes only as a test says."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)


class Processes:
    """Several processes, of which this one is as slow as the others."""

    def __init__(self, n_processes=2):
        self.n_processes, self.asked = n_processes, 0

    def largest_of(self, *values):
        """Count how often it is asked."""
        self.asked += 1
        return values


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def agreements(clock, seconds_per_step, n_processes=2):
    """How often processes agree in 400 steps."""
    processes = Processes(n_processes)
    stop = StopRequest(processes, 1e9, lambda: None)
    for _ in range(STEPS):
        clock.now += seconds_per_step
        assert not stop.save_now()
    return processes.asked


def test_several_processes_agree_every_half_second_and_every_twenty_steps(clock):
    assert agreements(clock, 0.001) == pytest.approx(STEPS / 20, abs=1)
    assert agreements(clock, 0.1) == pytest.approx(STEPS / 5, rel=0.3)
    assert agreements(clock, 2.0) == STEPS
    # One process has nobody to ask.
    assert agreements(clock, 0.001, n_processes=1) == STEPS


def test_a_slow_step_is_saved_at_once(clock):
    written = []
    stop = StopRequest(Processes(), 30.0, lambda: written.append(clock.now))
    for _ in range(20):
        clock.now += 10.0
        if stop.save_now():
            stop.save()
    assert written == [1030.0 + 30 * number for number in range(6)]


def stopped(stop):
    """The steps that pass until the state is saved."""
    for step in range(1, 41):
        if stop.save_now():
            with pytest.raises(Interrupted, match="SIGTERM"):
                stop.save()
            return step
    raise AssertionError("not stopped")


def test_the_signal_of_a_group_and_its_launcher_is_one_wish(clock):
    with StopRequest(Processes(), 1e9, lambda: None) as stop:
        signal.raise_signal(signal.SIGTERM)
        clock.now += 4.0
        signal.raise_signal(signal.SIGTERM)
        assert stopped(stop) == 1


def test_a_later_signal_ends_the_program_at_once(clock):
    with StopRequest(Processes(), 1e9, lambda: None):
        signal.raise_signal(signal.SIGINT)
        clock.now += 6.0
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_warning_of_a_cluster_saves_and_stops(clock, number):
    with StopRequest(Processes(), 1e9, lambda: None) as stop:
        signal.raise_signal(number)
        assert stop.save_now()
        with pytest.raises(Interrupted, match="state is saved") as stopped:
            stop.save()
    assert stopped.value.signal_number == number


def test_a_warning_is_no_first_signal_and_never_a_second_one(clock):
    with StopRequest(Processes(), 1e9, lambda: None) as stop:
        signal.raise_signal(signal.SIGUSR2)
        clock.now += 60.0
        signal.raise_signal(signal.SIGTERM)  # the first one
        clock.now += 60.0
        signal.raise_signal(signal.SIGUSR1)
        assert stop.save_now()
        with pytest.raises(Interrupted, match="SIGTERM"):
            stop.save()


def test_what_cannot_wait_is_written_at_once(clock):
    written, urgent = [], []
    stop = StopRequest(Processes(), 1e9, lambda: written.append(clock.now), lambda: bool(urgent))
    assert not stop.save_now()
    urgent.append(1)
    clock.now += 1.0
    for _ in range(20):
        if stop.save_now():
            stop.save()
            break
    assert written == [1001.0]


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest(Processes(), 1e9, lambda: None):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
