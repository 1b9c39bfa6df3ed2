"""Waiting for another process: said, bounded, and given up with the session."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from pytest_dockerbin import locks
from pytest_dockerbin.activity import Lines, Silence
from pytest_dockerbin.errors import BuildTimeoutError, StoppedError
from pytest_dockerbin.locks import Waiting, file_lock, hold, hold_one, is_held

PROCESSES = multiprocessing.get_context("spawn")


def hold_until_told(path, begun, end):
    with hold(path, "it", Waiting()):
        begun.set()
        end.wait(60)


@pytest.fixture
def held(tmp_path):
    """A lock that another process holds, and that process."""
    path = tmp_path / "it.lock"
    begun, end = PROCESSES.Event(), PROCESSES.Event()
    process = PROCESSES.Process(target=hold_until_told, args=(path, begun, end))
    process.start()
    assert begun.wait(60)
    yield path, process
    end.set()
    process.join()


def wait(path, **how):
    with hold(path, "app/ for linux/arm64", Waiting(**how)):
        raise AssertionError("there are two holders")


def test_waiting_is_given_up_after_its_limit_and_names_the_holder(held):
    path, process = held
    with pytest.raises(BuildTimeoutError) as caught:
        wait(path, limit=0.3)
    assert caught.value.summary.startswith("app/ for linux/arm64: given up after 0 s of waiting")
    assert f"(pid {process.pid})" in caught.value.summary
    assert "--dockerbin-build-timeout" in caught.value.hint


def test_a_limit_of_nothing_still_takes_a_free_lock(tmp_path):
    with hold(tmp_path / "free.lock", "it", Waiting(limit=0)):
        assert is_held(tmp_path / "free.lock")


def test_a_long_wait_is_told_of_while_it_lasts(held, monkeypatch):
    path, process = held
    monkeypatch.setattr(locks, "_PATIENCE", 0.1)
    monkeypatch.setattr(locks, "_TURN", 0.1)
    said = []
    with pytest.raises(BuildTimeoutError):
        wait(path, limit=1.0, activity=Lines(said.append, interval=0))
    assert len(said) > 1
    for line in said:
        assert line.startswith("app/ for linux/arm64: waiting for ")
        assert f"(pid {process.pid}), which has had it for 0:" in line


def test_of_a_wait_that_is_over_no_more_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.1)
    path, heard = tmp_path / "it.lock", []
    holder = file_lock(path)
    holder.acquire()

    class Heard(Silence):
        def begin(self, what, text):
            heard.append((what, text.partition(" for ")[0]))
            holder.release()

        def end(self, what, text):
            heard.append((what, text))

    with hold(path, "app", Waiting(activity=Heard())):
        pass
    assert heard == [("app", "waiting"), ("app", "")]


def test_a_worker_of_xdist_is_named_by_its_own_name(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw3")
    path = tmp_path / "it.lock"
    with hold(path, "it", Waiting()), pytest.raises(BuildTimeoutError) as caught:
        wait(path, limit=0.1)
    assert f"waiting for gw3 (pid {os.getpid()})" in caught.value.summary


def test_the_log_of_what_is_waited_for_is_named_once(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.1)
    monkeypatch.setattr(locks, "_TURN", 0.1)
    path, log, said = tmp_path / "it.lock", tmp_path / "a \x1b[2J.log", []
    with hold(path, "it", Waiting(), log=log), pytest.raises(BuildTimeoutError):
        wait(path, limit=1.0, activity=Lines(said.append, interval=0))
    assert said[0].endswith(f" (log {tmp_path}/a ?[2J.log)")
    assert len(said) > 1
    assert not any("(log" in line for line in said[1:])


@pytest.mark.parametrize("text", ["", "torn", "1 host soon"])
def test_an_unreadable_signature_is_another_process(held, text):
    path, _ = held
    path.write_text(text)
    with pytest.raises(BuildTimeoutError, match="waiting for another process"):
        wait(path, limit=0.1)


def test_a_stop_ends_the_wait(held):
    path, _ = held
    with pytest.raises(StoppedError, match="being stopped"):
        wait(path, stopped=lambda: True)


def test_one_of_several_is_waited_for_until_it_is_free(tmp_path):
    paths = [tmp_path / "1.lock", tmp_path / "2.lock"]
    first, second = map(file_lock, paths)
    first.acquire()
    second.acquire()

    def still_goes_on():
        second.release()
        return False

    with hold_one(paths, "it", Waiting(stopped=still_goes_on)):
        assert is_held(paths[1])
    assert not is_held(paths[1])
    first.release()


def test_a_stop_ends_the_wait_for_one_of_several(tmp_path):
    path = tmp_path / "1.lock"
    waiting = hold_one([path], "it", Waiting(stopped=lambda: True))
    with (
        hold(path, "it", Waiting()),
        pytest.raises(StoppedError, match="being stopped"),
        waiting,
    ):
        raise AssertionError("there are two holders")


def test_where_there_can_be_no_locks_none_is_waited_for(tmp_path):
    (tmp_path / "file").touch()
    done = []
    with hold_one([tmp_path / "file" / "1.lock"], "it", Waiting()):
        done.append("it")
    assert done
