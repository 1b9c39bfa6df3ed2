"""What is told of builds while they run: in lines, and in one line of the terminal."""

from __future__ import annotations

import threading

import pytest

from pytest_dockerbin.activity import Deferred, Lines, Silence
from pytest_dockerbin.report.wording import columns, cut
from pytest_dockerbin.reporting.live import LiveLine


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_line_at_the_beginning_each_half_minute_and_at_the_end(clock):
    said = []
    lines = Lines(said.append, clock=clock)
    lines.begin("linux/arm64 app", "building")
    for clock.now in range(101, 165):
        lines.update("linux/arm64 app", f"{clock.now - 100} s")
    lines.end("linux/arm64 app", "built")
    assert said == [f"linux/arm64 app: {text}" for text in ("building", "30 s", "60 s", "built")]


def test_each_thing_has_its_own_half_minute(clock):
    said = []
    lines = Lines(said.append, clock=clock)
    lines.begin("a", "building")
    clock.now += 20
    lines.begin("b", "waiting")
    clock.now += 10
    lines.update("a", "30 s")
    lines.update("b", "10 s")
    lines.end("b", "")
    assert said == ["a: building", "b: waiting", "a: 30 s"]


def test_the_line_of_a_terminal_is_no_faster_than_eyes_and_gone_at_the_end(clock):
    shown = []
    line = LiveLine(shown.append, clock=clock)
    line.begin("a", "building")
    line.update("a", "0 s")
    clock.now += 1
    line.update("a", "1 s")
    line.begin("b", "building")
    line.end("b", "built in 3 s")
    assert shown == ["dockerbin: a: building", "dockerbin: a: 1 s", "dockerbin: b: building", ""]


def test_of_what_ended_while_others_were_told_nothing_more_is_said():
    said = []

    class Heard(Silence):
        def update(self, what, text):
            said.append((what, text))
            deferred._updates.pop("b", None)  # as `end` does in another thread

    deferred = Deferred(Heard())
    thread = threading.Thread(target=lambda: [deferred.update(what, "1 s") for what in "ab"])
    thread.start()
    thread.join()
    deferred.flush()
    assert said == [("a", "1 s")]


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [("abc", 3, "abc"), ("abcd", 3, "abc"), ("漢字", 3, "漢"), ("漢字", 4, "漢字"), ("", 0, "")],
)
def test_a_line_is_cut_at_the_width_of_the_terminal(text, width, shown):
    assert cut(text, width) == shown


def test_a_combining_sign_takes_no_column():
    assert [columns(text) for text in ("e\u0301", "漢", "ab")] == [1, 2, 2]
