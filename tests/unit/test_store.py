"""The store, in several real processes: a lock that is only mocked proves nothing."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_dockerbin import store as store_module
from pytest_dockerbin.errors import StoppedError, StoreError, UntrustedStoreError
from pytest_dockerbin.store import (
    SessionStore,
    _others_may_rename_in,
    collect,
    default_root,
    has_store,
    session_sizes,
    stop,
)

PROCESSES = multiprocessing.get_context("spawn")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def store(root):
    store = SessionStore(root, "session")
    yield store
    store.close()


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def leftovers(store):
    return list((store.path / "staging").iterdir())


def write(text):
    return lambda folder: (folder / "file").write_text(text) and None


def never(_):
    raise AssertionError("made again")


# -- the folder -----------------------------------------------------------------------------------


def test_the_folder_is_private_and_tagged_as_a_cache(root):
    SessionStore(root / "deep" / "er", "session").close()
    assert mode(root / "deep" / "er") == 0o700
    tag = (root / "deep" / "er" / "CACHEDIR.TAG").read_text()
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55\n")


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o002])
def test_it_is_private_whatever_the_umask(root, mask):
    before = os.umask(mask)
    try:
        with_lock = SessionStore(root, "session")
        with_lock.once("a", write("x"))
        with_lock.close()
    finally:
        os.umask(before)
    assert mode(root) == 0o700


def test_a_folder_that_is_a_link_is_refused(root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    root.symlink_to("elsewhere")
    with pytest.raises(StoreError, match="is a symbolic link") as caught:
        SessionStore(root, "session")
    assert caught.value.hint == "name another: --dockerbin-cache-dir=DIR"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_behind_a_link_is_fine(root, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to("disk")
    SessionStore(tmp_path / "home" / "cache", "session").close()


@pytest.mark.parametrize("permissions", [0o770, 0o707, 0o777, 0o1777])
def test_a_folder_in_use_that_others_may_write_to_is_refused(root, permissions):
    root.mkdir()
    (root / "planted").touch()
    root.chmod(permissions)
    with pytest.raises(StoreError, match="can be written by other users"):
        SessionStore(root, "session")
    assert mode(root) == permissions & 0o1777


@pytest.mark.parametrize("permissions", [0o757, 0o777])
def test_a_folder_where_others_may_put_another_in_its_place_is_refused(tmp_path, permissions):
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(permissions)
    with pytest.raises(UntrustedStoreError, match=r"in '.*above', where other users") as caught:
        SessionStore(above / "below" / "cache", "session")
    assert "--dockerbin-cache-dir" in caught.value.hint


@as_root
def test_a_group_of_others_may_not_write_above_either(tmp_path):
    above = tmp_path / "above"
    above.mkdir()
    os.chown(above, 0, 54321)
    above.chmod(0o775)
    with pytest.raises(UntrustedStoreError, match="where other users"):
        SessionStore(above / "cache", "session")


@pytest.mark.parametrize("permissions", [0o775, 0o1777])
def test_the_user_s_own_group_may_write_above_and_all_where_only_owners_rename(
    tmp_path, permissions
):
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(permissions)
    if above.stat().st_gid != os.geteuid() and not permissions & stat.S_ISVTX:
        pytest.skip("this user's own group does not have the user's number")
    SessionStore(above / "cache", "session").close()


@pytest.mark.parametrize(
    ("group", "user", "of_folder", "may"),
    [
        (1000, 1000, 0, False),  # root's
        (1000, 1000, 1000, False),  # the user's own, of which nobody else is
        (1000, 1001, 1000, True),
        (1000, 1000, 100, True),
    ],
)
def test_whose_group_may_write_above(monkeypatch, group, user, of_folder, may):
    monkeypatch.setattr(os, "getegid", lambda: group)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    facts = SimpleNamespace(st_mode=0o40775, st_gid=of_folder)
    assert _others_may_rename_in(facts) is may


def test_all_that_a_session_makes_is_private(root):
    store = SessionStore(root, "20260101-ended")
    store.once("build", lambda folder: (folder / "made").touch())
    store.claim("cause-1")
    with store.making("build", "a build") as staging:
        assert mode(staging) == 0o700
    folders = [root / "v1", *(path for path in store.path.iterdir() if path.is_dir())]
    assert len(folders) > 5
    assert {mode(path) for path in folders} == {0o700}
    locks = list(root.rglob("*.lock"))
    claims = [path for path in root.rglob("claims/*") if path.is_file()]
    assert {mode(path) for path in locks + claims} == {0o600}
    store.close()
    collect(root)
    assert mode(root / "v1" / "ended") == 0o700


def test_an_empty_folder_that_others_may_write_to_is_made_private(root):
    root.mkdir()
    root.chmod(0o777)
    SessionStore(root, "session").close()
    assert mode(root) == 0o700


@as_root
def test_a_folder_of_somebody_else_is_refused(root):
    root.mkdir()
    os.chown(root, 65534, 65534)
    with pytest.raises(StoreError, match="belongs to user 65534"):
        SessionStore(root, "session")


@pytest.mark.parametrize("what", ["file", "dangling"])
def test_what_is_no_folder_is_refused(root, what):
    root.touch() if what == "file" else root.symlink_to("nowhere")
    with pytest.raises(StoreError, match=f"{str(root)!r} can't be used: File exists"):
        SessionStore(root, "session")


@as_root
def test_a_folder_that_can_t_be_made_is_refused():
    with pytest.raises(StoreError, match="can't be used: "):
        SessionStore(Path("/proc/nowhere/cache"), "session")


def test_a_file_system_without_locks_is_refused(root, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(StoreError, match=f"{str(root)!r} can't be used: "):
        SessionStore(root, "session")


def test_the_default_folder_is_the_user_s_cache_folder(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert default_root() == Path("/caches/pytest-dockerbin")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_root() == Path("/home/me/.cache/pytest-dockerbin")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_root() == Path("/home/me/.cache/pytest-dockerbin")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_root() == Path("/home/me/Library/Caches/pytest-dockerbin")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert default_root() == Path("/local/pytest-dockerbin")
    monkeypatch.delenv("LOCALAPPDATA")
    assert default_root() == Path("/home/me/AppData/Local/pytest-dockerbin")


HOME = ("document", ".profile", "v1/notes", "CACHEDIR.TAG")


@pytest.fixture
def home(root):
    """A folder that holds somebody's files, one of them with a name of ours."""
    for name in HOME:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("mine")
    root.chmod(0o755)
    return root


def test_a_folder_with_other_files_is_left_as_it_is(home):
    """The tag would keep a home folder out of backups; its mode is the user's, too."""
    with pytest.raises(UntrustedStoreError, match="holds other files") as caught:
        SessionStore(home, "session")
    assert caught.value.hint == "name another: --dockerbin-cache-dir=DIR"
    assert sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_file()) == sorted(HOME)
    assert mode(home) == 0o755


@pytest.mark.parametrize("left", [(), ("CACHEDIR.TAG",), ("CACHEDIR.TAG.0123",), ("v1/", "v2/")])
def test_a_folder_that_a_killed_process_began_is_used(root, left):
    root.mkdir(mode=0o700)
    for name in left:
        (root / name).mkdir() if name.endswith("/") else (root / name).touch()
    SessionStore(root, "session").close()
    assert has_store(root)


def test_a_cache_folder_may_hold_other_files_once_it_is_one(root):
    SessionStore(root, "session").close()
    (root / "note").touch()
    SessionStore(root, "again").close()
    assert (root / "note").exists()


def test_looking_for_a_store_makes_nothing(root, tmp_path):
    assert not has_store(root)
    root.mkdir()
    assert not has_store(root)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("what", ["link", "file", "foreign", "linked tag", "linked version"])
def test_what_is_no_store_is_told_from_one(root, tmp_path, what):
    store = tmp_path / "store"
    SessionStore(store, "session").close()
    if what == "link":
        root.symlink_to(store)
    elif what == "file":
        root.touch()
    else:
        root.mkdir()
        (root / "file").touch()
    if what == "linked tag":
        (root / "CACHEDIR.TAG").symlink_to(store / "CACHEDIR.TAG")
    if what == "linked version":
        (root / "CACHEDIR.TAG").write_text((store / "CACHEDIR.TAG").read_text())
        (root / "v1").symlink_to(store / "v1")
    with pytest.raises(UntrustedStoreError):
        has_store(root)


# -- once -----------------------------------------------------------------------------------------


def test_a_result_is_made_once(store):
    made = store.once("a", write("first"))
    assert (made / "file").read_text() == "first"
    assert store.once("a", never) == made
    assert leftovers(store) == []


def test_results_of_other_names_and_sessions_are_others(store, root):
    made = store.once("a", write("a"))
    other = SessionStore(root, "other")
    assert store.once("b", write("b")) != made
    assert other.once("a", write("other")) != made
    other.close()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_kept_of_a_result_that_could_not_be_made(store, error):
    def fail(folder):
        (folder / "half").touch()
        raise error

    with pytest.raises(error):
        store.once("a", fail)
    assert leftovers(store) == []
    assert list((store.path / "results").iterdir()) == []
    made = store.once("a", write("again"))
    assert [path.name for path in made.iterdir()] == ["file"]


def test_a_result_is_not_there_before_it_is_whole(store):
    seen = []
    store.once("a", lambda _: seen.append((store.path / "results" / "a").exists()))
    assert seen == [False]


def test_threads_of_one_process_make_a_result_once(store):
    made, barrier = [], threading.Barrier(4)

    def ask():
        barrier.wait()
        store.once("a", made.append)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def _ask(root, barrier, answers):
    store = SessionStore(root, "session")
    barrier.wait(60)
    made = store.once("a", lambda folder: (folder / "pid").write_text(str(os.getpid())) and None)
    answers.put((os.getpid(), (made / "pid").read_text(), store.claim("said")))
    store.close()


def test_many_processes_make_one_result_and_one_of_them_may_speak(root):
    count = 6
    barrier, answers = PROCESSES.Barrier(count), PROCESSES.Queue()
    processes = [
        PROCESSES.Process(target=_ask, args=(root, barrier, answers)) for _ in range(count)
    ]
    for process in processes:
        process.start()
    got = [answers.get(timeout=60) for _ in range(count)]
    for process in processes:
        process.join()
    assert len({pid for pid, _, _ in got}) == count
    assert len({maker for _, maker, _ in got}) == 1
    assert sorted(spoke for _, _, spoke in got) == [False] * (count - 1) + [True]


def _make_and_wait(root, begun):
    store = SessionStore(root, "session")

    def make(folder):
        (folder / "half").touch()
        begun.set()
        signal.pause()

    store.once("a", make)


@pytest.fixture
def maker(root):
    """A process that is in the middle of making the result ``a``."""
    begun = PROCESSES.Event()
    process = PROCESSES.Process(target=_make_and_wait, args=(root, begun))
    process.start()
    assert begun.wait(60)
    yield process
    process.kill()
    process.join()


def test_a_maker_that_is_killed_leaves_no_half_result_and_nobody_waiting(root, maker):
    store = SessionStore(root, "session")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(store.once("a", write("whole"))))
    thread.start()
    assert answers == []
    maker.kill()
    thread.join(30)
    assert [path.name for path in answers[0].iterdir()] == ["file"]
    store.close()


def test_other_results_do_not_wait_for_one_in_the_making(root, maker):
    store = SessionStore(root, "session")
    store.once("b", write("b"))
    assert maker.is_alive()
    store.close()


def test_what_is_made_and_what_is_in_the_making_is_known(root, maker):
    store = SessionStore(root, "session")
    assert (store.is_made("a"), store.is_being_made("a")) == (False, True)
    assert store.is_being_made("b") is False
    maker.kill()
    maker.join()
    store.once("a", write("a"))
    assert (store.is_made("a"), store.is_being_made("a")) == (True, False)
    store.close()


def test_who_waits_gives_up_once_the_session_is_stopped(root, maker):
    """And no other session does."""
    store, other = SessionStore(root, "session"), SessionStore(root, "other")
    assert store.stopped() is False
    stop(root, "session")
    assert (store.stopped(), other.stopped()) == (True, False)
    with pytest.raises(StoppedError):
        store.once("a", never)
    stop(root, "none")  # nothing to stop
    assert not (root / "v1" / "sessions" / "none").exists()
    for each in (store, other):
        each.close()


def test_who_waits_gives_up_once_the_process_is_told_to(root, maker):
    store = SessionStore(root, "session", stopped=lambda: True)
    with pytest.raises(StoppedError):
        store.once("a", never)
    store.close()


def test_as_many_as_there_are_places_do_a_thing_at_once(root):
    store = SessionStore(root, "session")
    late = SessionStore(root, "session", stopped=lambda: True)  # one that would have to wait
    with store.turn(1, "build"):
        with pytest.raises(StoppedError), late.turn(1, "build"):
            pass
        with late.turn(2, "build"):
            pass
        with late.turn(0, "build"):  # any number
            pass
    for each in (store, late):
        each.close()


# -- claims and names -----------------------------------------------------------------------------


def test_a_claim_is_given_once_for_each_name_and_session(store, root):
    assert store.claim("a")
    assert not store.claim("a")
    assert store.claim("b")
    other = SessionStore(root, "other")
    assert other.claim("a")
    other.close()


def test_two_stores_of_one_process_may_share_a_session(store, root):
    again = SessionStore(root, "session")
    made = store.once("a", write("x"))
    assert again.once("a", never) == made
    again.close()
    collect(root, keep="another")
    assert store.path.exists()  # the first one still lives


# -- collect --------------------------------------------------------------------------------------


def sessions(root):
    return sorted(path.name for path in (root / "v1" / "sessions").iterdir())


def test_sessions_that_ended_are_deleted_but_for_the_one_to_keep(root):
    for name in ("old", "older", "kept"):
        store = SessionStore(root, name)
        store.once("a", write("x"))
        store.close()
    collect(root, keep="kept")
    assert sessions(root) == ["kept"]
    assert (root / "v1" / "sessions" / "kept" / "results" / "a" / "file").exists()


def test_a_session_in_which_a_process_lives_is_kept(root, maker):
    ended = SessionStore(root, "ended")
    ended.close()
    collect(root, keep="mine")
    assert sessions(root) == ["session"]
    maker.kill()
    maker.join()
    collect(root, keep="mine")
    assert sessions(root) == []


def test_a_session_may_be_left_in_another_thread_than_it_was_begun_in(root):
    stores = []
    thread = threading.Thread(target=lambda: stores.append(SessionStore(root, "session")))
    thread.start()
    thread.join()
    stores[0].close()
    collect(root, keep="mine")
    assert sessions(root) == []


def test_what_an_interrupted_process_left_half_deleted_is_deleted(root):
    SessionStore(root, "mine").close()
    (root / "v1" / "ended" / "old.1234" / "results").mkdir(parents=True)
    collect(root, keep="mine")
    assert list((root / "v1" / "ended").iterdir()) == []


def test_a_session_is_alive_until_its_last_process_leaves(root, maker):
    store = SessionStore(root, "session")
    store.close()
    collect(root, keep="mine")
    assert sessions(root) == ["session"]


def test_what_is_no_session_does_no_harm(root, tmp_path):
    SessionStore(root, "ended").close()
    outside = tmp_path / "outside"
    (outside / "alive").mkdir(parents=True)
    (root / "v1" / "sessions" / "link").symlink_to(outside)
    (root / "v1" / "sessions" / "file").touch()
    collect(root, keep="mine")
    assert (outside / "alive").exists()
    assert "ended" not in sessions(root)


def test_a_result_that_nobody_may_write_to_is_deleted_too(root):
    store = SessionStore(root, "ended")
    made = store.once("a", write("x"))
    made.chmod(0o500)
    store.close()
    collect(root, keep="mine")
    assert sessions(root) == []


@pytest.mark.parametrize("name", ["sessions", "ended"])
def test_a_link_in_a_folder_s_place_is_not_followed(root, tmp_path, name):
    SessionStore(root, "session").close()
    outside = tmp_path / "outside"
    (outside / "old" / "alive").mkdir(parents=True)
    shutil.rmtree(root / "v1" / name, ignore_errors=True)
    (root / "v1" / name).symlink_to(outside)
    with suppress(OSError):
        collect(root)
    assert (outside / "old" / "alive").exists()


def test_a_folder_without_a_session_s_marks_is_left_alone(root):
    SessionStore(root, "ended").close()
    (root / "v1" / "sessions" / "documents" / "mine").mkdir(parents=True)
    (root / "v1" / "sessions" / "killed-very-early").mkdir()
    collect(root)
    assert sessions(root) == ["documents"]


def test_a_session_whose_lock_can_t_be_tried_is_kept_and_others_are_not(root):
    """Such as one of root's; here a lock that is a link in a circle."""
    for name in ("a", "b", "c"):
        SessionStore(root, name).close()
    (root / "v1" / "sessions" / "b" / "alive" / "1-0.lock").symlink_to("1-0.lock")
    collect(root)
    assert sessions(root) == ["b"]


def test_sessions_are_told_with_their_sizes(root):
    store = SessionStore(root, "one")
    store.once("a", write("12345"))
    store.close()
    assert session_sizes(root)["one"] >= 5
    assert list(session_sizes(root)) == ["one"]


def test_there_is_nothing_to_collect_where_there_never_was_a_session(tmp_path):
    collect(tmp_path / "nowhere", keep="mine")


def _begin_and_end(root, number, rounds, answers):
    try:
        for turn in range(rounds):
            store = SessionStore(root, f"{number}-{turn}")
            store.once("a", write("x"))
            assert (store.path / "results" / "a" / "file").exists()
            store.close()
            collect(root, keep=f"{number}-{turn}")
    except BaseException as error:  # noqa: BLE001 (told to the parent)
        answers.put(repr(error))
    else:
        answers.put(None)


def test_sessions_that_begin_while_others_clean_up_are_left_alone(root):
    count = 4
    answers = PROCESSES.Queue()
    processes = [
        PROCESSES.Process(target=_begin_and_end, args=(root, number, 40, answers))
        for number in range(count)
    ]
    for process in processes:
        process.start()
    got = [answers.get(timeout=120) for _ in range(count)]
    for process in processes:
        process.join()
    assert got == [None] * count


def test_a_store_survives_being_deleted_by_hand(store, root):
    """``rm -rf`` of the cache while no result is wanted: the next session begins anew."""
    store.close()
    shutil.rmtree(root)
    SessionStore(root, "session").close()


def test_a_folder_that_went_meanwhile_is_not_an_empty_one(tmp_path):
    assert not store_module._is_empty(tmp_path / "gone")
    assert store_module._is_empty(tmp_path)
