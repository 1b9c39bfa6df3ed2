"""A program's process itself: signals that come late, others that wait for it, full pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from pytest_dockerbin.runners import lineage
from pytest_dockerbin.runners.lineage import marked, marked_processes
from pytest_dockerbin.runners.process import Process, follow

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux programs")


@pytest.fixture
def start():
    started = []

    def start(*command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE):
        process = Process(
            command, stdin=stdin, stdout=stdout, stderr=stderr, env=dict(os.environ), cwd=None
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def test_no_signal_is_sent_to_a_number_that_may_be_another_s(start, monkeypatch):
    process = start("true")
    process.end()

    def never(*_):
        raise AssertionError("a signal was sent")

    monkeypatch.setattr(os, "kill", never)
    monkeypatch.setattr(os, "killpg", never)
    process.signal(signal.SIGTERM)
    process.signal_group(signal.SIGTERM)


def test_what_another_thread_ended_meanwhile_has_its_exit_code(start, monkeypatch):
    process = start("sh", "-c", "exit 3")
    real = os.waitid

    def late(*args):
        monkeypatch.setattr(os, "waitid", real)
        assert process.wait(60)
        process._popen.returncode = 3  # as `end` has it
        raise ChildProcessError

    monkeypatch.setattr(os, "waitid", late)
    assert process.returncode == 3


def test_there_is_no_waiting_for_what_is_gone(start):
    process = start("true")
    process.end()
    process._pause(None)  # or this would never end


def test_streams_that_go_elsewhere_are_not_read(start, tmp_path):
    with (tmp_path / "out").open("wb") as out:
        ended = follow(start("echo", "x", stdout=out), None, 60.0, 1000)
    assert (ended.stdout, ended.stderr, ended.in_time) == (b"", b"", True)
    assert (tmp_path / "out").read_text() == "x\n"


def test_input_is_whole_although_a_pipe_was_full_when_it_was_not_said_to_be(start, monkeypatch):
    process = start("cat", stdin=subprocess.PIPE)
    pipe, real, full = process.stdin.fileno(), os.write, [True, False]

    def write(descriptor, data):
        if descriptor == pipe and full and full.pop(0):
            raise BlockingIOError
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    assert follow(process, b"x" * 100_000, 60.0, 10**6).stdout == b"x" * 100_000
    assert full == []


# -- what marks it --------------------------------------------------------------------------------


def test_a_limit_that_can_t_be_set_leaves_those_before_as_they_were(monkeypatch):
    before = lineage.resource.getrlimit(lineage.resource.RLIMIT_CORE)
    real = lineage.resource.setrlimit

    def refused(limit, both):
        if limit == lineage._RLIMIT_LOCKS and both[0] != lineage.resource.RLIM_INFINITY:
            raise PermissionError
        real(limit, both)

    monkeypatch.setattr(lineage.resource, "setrlimit", refused)
    with pytest.raises(PermissionError), marked():
        raise AssertionError("it is marked")
    assert lineage.resource.getrlimit(lineage.resource.RLIMIT_CORE) == before
    monkeypatch.undo()
    with marked() as mark:  # nobody holds the lock
        assert mark


def test_what_begins_others_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(lineage, "_PATIENCE", 0.01)
    monkeypatch.setattr(lineage, "_kill_all", lambda *_: True)
    lineage.end_marked(1, os.getpid(), time.monotonic())  # or this would never end


def test_without_proc_no_process_is_found(monkeypatch):
    def none(_):
        raise FileNotFoundError

    with marked() as mark:
        assert os.getpid() in marked_processes(mark)
        monkeypatch.setattr(os, "listdir", none)
        assert marked_processes(mark) == []
