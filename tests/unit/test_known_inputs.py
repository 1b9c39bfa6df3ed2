"""Files that look as they did are not read again, and any doubt is a reading."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pytest_dockerbin import build_spec
from pytest_dockerbin.fingerprint import fingerprint_inputs
from pytest_dockerbin.known_inputs import Known, KnownInputs

KEY, LOOKS, CONTENT = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def known(tmp_path):
    return KnownInputs(tmp_path / "v1")


@pytest.fixture
def remembered(tmp_path):
    """Return the files of what is remembered."""
    (tmp_path / "v1").mkdir()
    return lambda: sorted((tmp_path / "v1" / "inputs").glob("*"))


@pytest.fixture
def context(tmp_path):
    """A context with one file that was changed long ago."""
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY input /\n")
    (folder / "input").write_text("one")
    return folder


def later(monkeypatch):
    """Let a minute pass."""
    now = time.time_ns() + 60 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: now)


def reads(monkeypatch):
    """Return the names of files that are opened from here on."""
    names = []
    original = os.open

    def noted(path, flags, *args, **kwargs):
        names.append(str(path))
        return original(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", noted)
    return names


def test_files_that_look_the_same_are_not_read(context, known, remembered, monkeypatch):
    later(monkeypatch)
    spec = build_spec(context)
    first = fingerprint_inputs(spec, known)
    assert len(remembered()) == 1
    names = reads(monkeypatch)
    assert fingerprint_inputs(spec, known) == first == fingerprint_inputs(spec)
    assert names.count("input") == 1, "by the last one, which knows nothing"


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("two"),
        lambda path: path.write_text("longer"),
        lambda path: path.chmod(0o755),
        lambda path: path.rename(path.with_name("other")),
        lambda path: path.with_name("more").write_text(""),
        lambda path: path.unlink(),
    ],
    ids=["content", "size", "mode", "name", "another", "none"],
)
def test_a_change_is_seen(context, known, remembered, monkeypatch, change):
    later(monkeypatch)
    spec = build_spec(context)
    first = fingerprint_inputs(spec, known)
    change(context / "input")
    second = fingerprint_inputs(spec, known)
    assert second != first
    assert second == fingerprint_inputs(spec)


def test_times_that_somebody_put_back_do_not_hide_a_change(context, known, remembered, monkeypatch):
    """As with rsync --times or tar: the inode's own time can't be set."""
    later(monkeypatch)
    spec = build_spec(context)
    first = fingerprint_inputs(spec, known)
    facts = (context / "input").stat()
    (context / "input").write_text("two")
    os.utime(context / "input", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert fingerprint_inputs(spec, known) != first


def test_the_same_files_with_other_times_have_the_same_digest(
    context, known, remembered, monkeypatch
):
    """As after git clone and touch: they are read, and that is all."""
    later(monkeypatch)
    spec = build_spec(context)
    first = fingerprint_inputs(spec, known)
    os.utime(context / "input", (1, 1))
    assert fingerprint_inputs(spec, known) == first


def test_files_that_were_just_changed_are_not_remembered(context, known, remembered):
    """A second change within one tick of the clock would not show."""
    (context / "input").write_text("two")
    fingerprint_inputs(build_spec(context), known)
    assert remembered() == []


def test_other_patterns_are_another_folder(context, known, remembered, monkeypatch):
    later(monkeypatch)
    spec = build_spec(context)
    first = fingerprint_inputs(spec, known)
    (context / ".dockerignore").write_text("input\n")
    assert fingerprint_inputs(spec, known) != first


@pytest.mark.parametrize("text", ["", f"{LOOKS}\n", f"{LOOKS} {CONTENT}", "\xff", f"{LOOKS} x\n"])
def test_what_is_not_what_was_written_is_not_known(known, remembered, text):
    known.put(KEY, Known(LOOKS, CONTENT))
    assert known.get(KEY) == Known(LOOKS, CONTENT)
    remembered()[0].write_text(text, encoding="latin-1")
    assert known.get(KEY) is None
    assert known.get(CONTENT) is None


def test_a_folder_that_can_only_be_read_is_no_error():
    known = KnownInputs(Path("/proc/nowhere"))
    known.put(KEY, Known(LOOKS, CONTENT))
    assert known.get(KEY) is None
    known.collect(0)


def test_what_is_old_is_forgotten_and_other_files_stay(known, remembered):
    known.put(KEY, Known(LOOKS, CONTENT))
    known.put(LOOKS, Known(LOOKS, CONTENT))
    old, new = remembered()
    foreign = old.with_name("README")
    foreign.write_text("")
    for path in (old, foreign):
        os.utime(path, (1, 1))
    known.collect(3600)
    assert remembered() == [foreign, new]
