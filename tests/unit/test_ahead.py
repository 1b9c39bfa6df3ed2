"""Tasks in the background: in order, a few at a time, and none left in the end."""

from __future__ import annotations

import signal
import threading

import pytest

from pytest_dockerbin import ahead as module
from pytest_dockerbin.activity import Deferred, Lines
from pytest_dockerbin.ahead import Ahead

PATIENCE = 60.0  # seconds; only a failure takes that long


@pytest.fixture
def gate():
    return threading.Event()


def test_tasks_begin_in_order_and_no_more_at_once_than_allowed(gate):
    ahead = Ahead(2)
    began, both = [], threading.Barrier(3)

    def task(name):
        began.append(name)
        if len(began) <= 2:
            both.wait(PATIENCE)
            gate.wait(PATIENCE)

    ahead.start((name, lambda name=name: task(name)) for name in "abcd")
    both.wait(PATIENCE)
    assert sorted(began) == ["a", "b"]
    assert not ahead.wait("abcd", 0.05)
    gate.set()
    for name in "abcd":
        assert ahead.wait(name, PATIENCE)
        assert not ahead.is_pending(name)
    assert began[2:] == ["c", "d"]


def test_tasks_given_later_wait_for_those_that_run(gate):
    ahead = Ahead(1)
    began, inside = [], threading.Event()

    def first():
        inside.set()
        gate.wait(PATIENCE)
        began.append("a")

    ahead.start([("a", first)])
    assert inside.wait(PATIENCE)
    ahead.start([("b", lambda: began.append("b"))])
    assert not ahead.wait("b", 0.05)
    gate.set()
    assert ahead.wait("b", PATIENCE)
    assert began == ["a", "b"]


@pytest.fixture
def interrupted():
    """Give what interrupts the main thread soon, as Ctrl-C does."""

    def raise_it(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, raise_it)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_task_goes_on_where_waiting_for_it_was_interrupted_and_is_stopped_later(
    gate, interrupted
):
    """Up to Python 3.12 an interrupted `Thread.join` takes the thread for one that has ended."""
    ahead = Ahead(1)
    inside = threading.Event()

    def task():
        inside.set()
        gate.wait(PATIENCE)

    ahead.start([("a", task)])
    assert inside.wait(PATIENCE)
    interrupted()
    with pytest.raises(KeyboardInterrupt):
        ahead.finish()
    assert ahead.is_pending("a")

    threading.Timer(0.1, gate.set).start()
    ahead.stop()
    assert not ahead.is_pending("a")
    assert not ahead.stopped


def test_one_that_is_asked_for_is_the_next(gate):
    ahead = Ahead(1)
    began = []
    ahead.start([("a", lambda: gate.wait(PATIENCE))])
    ahead.start((name, lambda name=name: began.append(name)) for name in "bcd")
    ahead.hurry("d")
    gate.set()
    for name in "bcd":
        assert ahead.wait(name, PATIENCE)
    assert began[0] == "d"


def test_what_a_task_raises_stops_no_other():
    ahead = Ahead(1)
    began = []
    ahead.start([("a", lambda: 1 / 0), ("b", lambda: began.append("b"))])
    assert ahead.wait("b", PATIENCE)
    assert not ahead.is_pending("a")


def test_a_stop_is_seen_by_what_runs_and_nothing_more_begins(gate):
    ahead = Ahead(1)
    began = []

    def task():
        gate.set()
        while not ahead.stopped:
            threading.Event().wait(0.01)

    ahead.start([("a", task), ("b", lambda: began.append("b"))])
    gate.wait(PATIENCE)
    ahead.stop()
    assert began == []
    assert not ahead.is_pending("a")
    assert not ahead.is_pending("b")


def test_a_task_that_is_given_twice_is_done_once():
    ahead = Ahead(1)
    began = []
    ahead.start([("a", lambda: began.append("first")), ("a", lambda: began.append("second"))])
    ahead.start([("a", lambda: began.append("third"))])
    ahead.wait("a", PATIENCE)
    ahead.finish()
    assert began == ["first"]


def test_one_that_does_not_give_up_is_left_behind_and_still_told_to_stop(gate, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    ahead = Ahead(1)
    inside = threading.Event()
    ahead.start([("a", lambda: inside.set() or gate.wait(PATIENCE))])
    assert inside.wait(PATIENCE)
    ahead.stop()
    assert ahead.stopped
    assert ahead.is_pending("a")
    gate.set()
    ahead.finish()
    assert not ahead.is_pending("a")


def test_no_thread_is_left_when_there_is_nothing_more_to_do():
    """Python warns of forks in a process that has threads."""
    before = threading.active_count()
    ahead = Ahead(4)
    ahead.start((name, bool) for name in "abc")
    ahead.finish()
    assert threading.active_count() == before


def test_what_another_thread_tells_is_told_when_it_is_asked_for():
    said = []
    deferred = Deferred(Lines(said.append))

    def other():
        deferred.begin("a", "building")
        deferred.update("a", "1 s")
        deferred.end("a", "built")
        deferred.begin("b", "building")

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert said == []
    deferred.flush()
    assert said == ["a: building", "a: built", "b: building"]
    deferred.begin("c", "building")
    assert said[-1] == "c: building"
