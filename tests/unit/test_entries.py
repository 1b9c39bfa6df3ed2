"""Stored results: whole or not at all, for any number of readers while others delete."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import stat
import tempfile
import time
from pathlib import Path

import pytest

from pytest_dockerbin import entries as entries_module
from pytest_dockerbin.entries import Entries
from pytest_dockerbin.locks import Waiting
from pytest_dockerbin.manifest import BuildRecord, FileRecord, Manifest
from pytest_dockerbin.platforms import Platform

PROCESSES = multiprocessing.get_context("spawn")
KEY = "0123456789abcdef" * 4
OTHER = "f" * 64
DAY = 86400.0
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def record(name, content=b"", mode=0o644, link=None):
    sha256 = hashlib.sha256(link.encode() if link else content).hexdigest()
    size = 0 if link else len(content)
    return FileRecord(name=name, size=size, sha256=sha256, mode=mode, link=link)


def manifest_of(*files):
    build = BuildRecord(seconds=1.5, steps=3, cached_steps=1, log_path=None, ref=None)
    return Manifest(platform=Platform.parse("linux/arm64"), files=files, build=build)


MANIFEST = manifest_of(
    record("bin/tool", b"tool" * 1000, 0o755),
    record("doc/text", b"text"),
    record("link", link="bin/tool", mode=0o777),
)


def make_tree(tree):
    for file, content in (("bin/tool", b"tool" * 1000), ("doc/text", b"text")):
        (tree / file).parent.mkdir(parents=True)
        (tree / file).write_bytes(content)
        (tree / file).chmod(0o755 if file == "bin/tool" else 0o644)
        os.utime(tree / file, (1_000_000_000, 1_000_000_000))
    (tree / "link").symlink_to("bin/tool")
    (tree / "empty" / "er").mkdir(parents=True)
    return tree


@pytest.fixture
def root(tmp_path):
    (tmp_path / "v1").mkdir()
    return tmp_path / "v1"


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "built")


@pytest.fixture
def entries(root, tree):
    """Entries of which KEY is one."""
    entries = Entries(root)
    entries.store(KEY, tree, MANIFEST, label="app/ --target bin")
    return entries


def folder_of(root, key=KEY):
    return root / "entries" / key[:2] / key


def contents(folder):
    """Return all there is below a folder, as far as a test could see it."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            str(path.readlink()) if path.is_symlink() else path.is_file() and path.read_bytes(),
            path.is_file() and not path.is_symlink() and path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


def keys(entries):
    return [entry.key for entry in entries]


def age(root, key, seconds):
    """Let an entry have been used some seconds ago."""
    then = time.time() - seconds
    os.utime(folder_of(root, key) / "manifest.json", (then, then))


def nothing_in_between(root):
    return [*root.glob("staging/*"), *root.glob("trash/*")] == []


def test_an_entry_that_vanishes_while_it_is_listed_is_left_out(entries, root, monkeypatch):
    """As one that another process collects meanwhile."""
    real = entries_module.subfolders

    def vanishing(folder):
        found = list(real(folder))
        if folder_of(root) in found:
            shutil.rmtree(folder_of(root))
        return found

    assert keys(entries) == [KEY]
    monkeypatch.setattr(entries_module, "subfolders", vanishing)
    assert keys(entries) == []
    assert not folder_of(root).exists()


# -- store and fetch -------------------------------------------------------------------------------


def test_what_was_stored_is_fetched(entries, tree, tmp_path):
    assert entries.fetch(KEY, tmp_path / "got") == MANIFEST
    assert contents(tmp_path / "got") == contents(tree)


def test_folders_without_files_are_kept_too(entries, tmp_path):
    entries.fetch(KEY, tmp_path / "got")
    assert (tmp_path / "got" / "empty" / "er").is_dir()


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_modes_do_not_depend_on_the_umask(root, tree, tmp_path, mask):
    before = os.umask(mask)
    try:
        entries = Entries(root)
        entries.store(KEY, tree, MANIFEST)
        entries.fetch(KEY, tmp_path / "got")
    finally:
        os.umask(before)
    for name, mode in (("", 0o755), ("bin", 0o755), ("bin/tool", 0o755), ("doc/text", 0o644)):
        assert stat.S_IMODE((tmp_path / "got" / name).stat().st_mode) == mode, name


def test_what_is_handed_out_is_a_copy(entries, root, tmp_path):
    entries.fetch(KEY, tmp_path / "one")
    (tmp_path / "one" / "bin" / "tool").write_bytes(b"changed")
    (tmp_path / "one" / "doc" / "text").chmod(0)
    assert entries.fetch(KEY, tmp_path / "two") == MANIFEST
    for file in folder_of(root).rglob("*"):
        assert file.is_dir() or file.lstat().st_nlink == 1


def test_what_is_not_stored_is_a_miss_and_leaves_nothing(root, tmp_path):
    entries = Entries(root)
    assert entries.fetch(OTHER, tmp_path / "got") is None
    assert not entries.has(OTHER)
    assert list(entries) == []
    assert not (tmp_path / "got").exists()
    assert list(root.iterdir()) == []


def test_an_entry_tells_what_it_is(entries, root):
    (entry,) = entries
    assert (entry.key, entry.path, entry.size) == (KEY, folder_of(root), 4004)
    assert entry.manifest() == MANIFEST
    assert entry.label() == "app/ --target bin"
    assert entry.damage() is None


def test_storing_again_takes_the_place_of_what_was_there(entries, root, tree, tmp_path):
    (tree / "doc" / "text").write_bytes(b"newer")
    (tree / "link").unlink()
    newer = manifest_of(record("bin/tool", b"tool" * 1000, 0o755), record("doc/text", b"newer"))
    entries.store(KEY, tree, newer)
    assert entries.fetch(KEY, tmp_path / "got") == newer
    assert keys(entries) == [KEY]
    assert nothing_in_between(root)


def test_a_file_where_an_entry_should_be_is_replaced(entries, root, tree, tmp_path):
    entries.discard(KEY)
    folder_of(root).touch()
    assert entries.fetch(KEY, tmp_path / "got") is None
    entries.store(KEY, tree, MANIFEST)
    assert entries.fetch(KEY, tmp_path / "got") == MANIFEST
    assert nothing_in_between(root)


def test_nothing_is_stored_that_is_not_what_its_manifest_says(root, tree):
    (tree / "doc" / "text").write_bytes(b"else")
    entries = Entries(root)
    with pytest.raises(OSError, match="doc/text: other content"):
        entries.store(KEY, tree, MANIFEST)
    assert not entries.has(KEY)
    assert nothing_in_between(root)


@pytest.mark.parametrize("call", ["mkdir", "rename", "write_text"])
def test_nothing_stays_of_what_could_not_be_written(entries, root, tree, monkeypatch, call):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, call, full)
        with pytest.raises(OSError, match="No space left"):
            entries.store(OTHER, tree, MANIFEST)
    assert keys(entries) == [KEY]
    assert nothing_in_between(root)


def test_storing_under_the_entry_s_lock_is_not_disturbed_by_a_sweep(entries, root):
    """The lock tells one that is being made from one that was left."""
    live = root / "staging" / f"{OTHER}.1.01234567"
    left = root / "staging" / f"{KEY}.1.01234567"
    for folder in (live, left):
        folder.mkdir()
    with entries.lock(OTHER, "it", Waiting()):
        entries.sweep()
        assert list((root / "staging").iterdir()) == [live]
    entries.sweep()
    assert nothing_in_between(root)


# -- damage ----------------------------------------------------------------------------------------


def edit(change):
    """Return a damage that edits the manifest's JSON, digest and all."""

    def damage(entry):
        path = entry / "manifest.json"
        data = json.loads(path.read_text())
        change(data)
        del data["sha256"]
        text = json.dumps(data, sort_keys=True)
        path.write_text(json.dumps(data | {"sha256": hashlib.sha256(text.encode()).hexdigest()}))

    return damage


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replace(path, make):
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    make(path)


DAMAGES = {
    "a flipped bit": lambda entry: flip(entry / "tree/bin/tool"),
    "truncated": lambda entry: os.truncate(entry / "tree/bin/tool", 17),
    "emptied": lambda entry: os.truncate(entry / "tree/doc/text", 0),
    "longer": lambda entry: (entry / "tree/doc/text").write_bytes(b"text "),
    "missing": lambda entry: (entry / "tree/doc/text").unlink(),
    "an extra file": lambda entry: (entry / "tree/doc/extra").touch(),
    "an extra folder": lambda entry: (entry / "tree/doc/extra").mkdir(),
    "a missing folder": lambda entry: (entry / "tree/empty/er").rmdir(),
    "no tree": lambda entry: shutil.rmtree(entry / "tree"),
    "other mode": lambda entry: (entry / "tree/doc/text").chmod(0o755),
    "setuid": lambda entry: (entry / "tree/bin/tool").chmod(0o4755),
    "a file became a link": lambda entry: replace(
        entry / "tree/doc/text", lambda path: path.symlink_to("../bin/tool")
    ),
    "a file became a folder": lambda entry: replace(entry / "tree/doc/text", Path.mkdir),
    "a file became a fifo": lambda entry: replace(entry / "tree/doc/text", os.mkfifo),
    "a link became a file": lambda entry: replace(entry / "tree/link", Path.touch),
    "a link leads elsewhere": lambda entry: replace(
        entry / "tree/link", lambda path: path.symlink_to("doc/text")
    ),
    "a folder became a file": lambda entry: replace(entry / "tree/empty", Path.touch),
    "a folder became a link": lambda entry: (
        (entry / "tree/bin").rename(entry / "bin"),
        (entry / "tree/bin").symlink_to("../bin"),
    ),
    "the tree became a link": lambda entry: (
        (entry / "tree").rename(entry / "there"),
        (entry / "tree").symlink_to("there"),
    ),
    "no manifest": lambda entry: (entry / "manifest.json").unlink(),
    "an empty manifest": lambda entry: os.truncate(entry / "manifest.json", 0),
    "half a manifest": lambda entry: os.truncate(entry / "manifest.json", 300),
    "a manifest of zeros": lambda entry: (entry / "manifest.json").write_bytes(bytes(500)),
    "a manifest in Latin-1": lambda entry: (entry / "manifest.json").write_bytes(b'"\xe9"'),
    "a list": lambda entry: (entry / "manifest.json").write_text("[]"),
    "a deep list": lambda entry: (entry / "manifest.json").write_text("[" * 100_000),
    "a changed fact": lambda entry: (entry / "manifest.json").write_text(
        (entry / "manifest.json").read_text().replace('"steps": 3', '"steps": 7')
    ),
    "another key": edit(lambda data: data.update(key=OTHER)),
    "another schema": edit(lambda data: data.update(schema=2)),
    "no schema": edit(lambda data: data.pop("schema")),
    "no platform": edit(lambda data: data["manifest"].update(platform="linux/nonsense")),
    "no files": edit(lambda data: data["manifest"].pop("files")),
    "a newer field": edit(lambda data: data["manifest"]["files"][0].update(newer=1)),
    "the manifest is a folder": lambda entry: replace(entry / "manifest.json", Path.mkdir),
}


@pytest.fixture(params=DAMAGES)
def damaged(request, entries, root):
    DAMAGES[request.param](folder_of(root))
    return entries


def test_what_is_damaged_is_a_miss_until_it_is_stored_again(damaged, root, tree, tmp_path):
    assert damaged.fetch(KEY, tmp_path / "got") is None
    assert not (tmp_path / "got").exists()
    assert damaged.has(KEY)
    damaged.store(KEY, tree, MANIFEST)
    assert damaged.fetch(KEY, tmp_path / "got") == MANIFEST
    assert nothing_in_between(root)


def test_what_is_damaged_is_told_and_can_be_deleted(damaged, root):
    (entry,) = damaged
    assert entry.damage()
    damaged.clear()
    assert list(damaged) == []
    assert not folder_of(root).exists()


@pytest.mark.parametrize("name", ["../outside", "/outside", "doc/../../outside", "./outside"])
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_manifest_never_leads_out_of_the_copy(entries, root, tmp_path, name, what):
    """Its digest is no signature: whoever can write there can make one that fits."""
    change = {
        "file": lambda data: data["manifest"]["files"][0].update(name=name),
        "folder": lambda data: data["folders"].append(name),
    }
    edit(change[what])(folder_of(root))
    assert entries.fetch(KEY, tmp_path / "deep" / "got") is None
    assert not list(tmp_path.rglob("outside"))


def test_nothing_is_written_through_a_link_of_the_copy(root, tmp_path):
    """A manifest with a file below a link, over a tree that looks just so."""
    outside = tmp_path / "outside"
    outside.mkdir()
    tree = tmp_path / "built"
    tree.mkdir()
    (tree / "a").symlink_to(outside)
    manifest = manifest_of(record("a", link=str(outside), mode=0o777), record("a/b", b"x"))
    (outside / "b").write_bytes(b"x")
    (outside / "b").chmod(0o644)
    with pytest.raises(OSError, match="a/b"):
        Entries(root).store(KEY, tree, manifest)
    assert [path.name for path in outside.iterdir()] == ["b"]


# -- notes of use ----------------------------------------------------------------------------------


def used(entries):
    return next(iter(entries)).used


def test_a_fetch_is_noted_once_an_hour_at_most(entries, root, tmp_path):
    age(root, KEY, 1800)
    before = used(entries)
    entries.fetch(KEY, tmp_path / "one")
    assert used(entries) == before
    age(root, KEY, 2 * DAY)
    entries.fetch(KEY, tmp_path / "two")
    assert time.time() - used(entries) < DAY


def test_a_use_in_the_future_counts_as_now(entries, root, tmp_path):
    """The clock was wrong, or is."""
    age(root, KEY, -3650 * DAY)
    assert used(entries) <= time.time()
    assert entries.collect(max_age=DAY, max_size=10**9) == 0
    assert entries.fetch(KEY, tmp_path / "got") == MANIFEST
    assert (folder_of(root) / "manifest.json").stat().st_mtime <= time.time()


# -- discard and collect ---------------------------------------------------------------------------


def test_what_was_discarded_is_gone(entries, root, tmp_path):
    entries.discard(KEY)
    assert not entries.has(KEY)
    assert entries.fetch(KEY, tmp_path / "got") is None
    assert nothing_in_between(root)


def test_there_may_be_nothing_to_discard(entries, root):
    entries.discard(OTHER)
    assert keys(entries) == [KEY]
    assert nothing_in_between(root)


def test_what_nobody_can_tell_to_be_finished_is_left(entries, root, monkeypatch):
    half = root / "staging" / f"{OTHER}.1.0123abcd"
    half.mkdir(parents=True)

    def unknown(_):
        raise NotImplementedError

    monkeypatch.setattr(entries_module, "is_held", unknown)
    entries.sweep()
    assert half.is_dir()
    monkeypatch.undo()
    entries.sweep()
    assert not half.exists()


@pytest.fixture
def many(root, tree):
    """Five entries of 4004 bytes, used 0 to 4 days ago: their keys, the last used first."""
    entries = Entries(root)
    names = [sign * 64 for sign in "c1e05"]
    for days, key in enumerate(names):
        entries.store(key, tree, MANIFEST)
        age(root, key, days * DAY)
    return entries, names


def test_what_was_not_used_for_long_is_collected(many):
    entries, names = many
    assert entries.collect(max_age=2.5 * DAY, max_size=10**9) == 2
    assert set(keys(entries)) == set(names[:3])


def test_the_least_used_are_collected_when_there_is_too_much(many):
    entries, names = many
    assert entries.collect(max_age=100 * DAY, max_size=3 * 4004) == 2
    assert set(keys(entries)) == set(names[:3])


def test_one_that_is_too_large_does_not_drive_out_the_others(many, root):
    entries, names = many
    (folder_of(root, names[0]) / "tree" / "huge").write_bytes(bytes(10**6))
    assert entries.collect(max_age=100 * DAY, max_size=10**5) == 1
    assert set(keys(entries)) == set(names[1:])


def test_what_is_to_be_kept_is_kept(many):
    entries, names = many
    entries.collect(max_age=-1.0, max_size=0, keep=frozenset({names[4]}))
    assert keys(entries) == [names[4]]


def test_one_that_was_used_since_it_was_looked_at_is_kept(many, root, monkeypatch):
    entries, names = many
    discard = entries.discard
    # while the first one is deleted
    monkeypatch.setattr(entries, "discard", lambda key: (age(root, names[4], 0), discard(key)))
    assert entries.collect(max_age=2.5 * DAY, max_size=10**9) == 1
    assert set(keys(entries)) == {*names[:3], names[4]}


@pytest.mark.parametrize("years", [10, -10])
def test_a_clock_that_jumps_does_not_delete_what_is_kept(many, monkeypatch, years):
    entries, names = many
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + years * 365 * DAY)
    assert entries.collect(max_age=14 * DAY, max_size=10**9) == 0
    assert set(keys(entries)) == set(names)


def test_old_ones_are_looked_for_once_in_an_interval(many, root):
    entries, _ = many
    assert entries.collect(max_age=3.5 * DAY, max_size=10**9, interval=DAY) == 1
    assert entries.collect(max_age=-1.0, max_size=0, interval=DAY) == 0
    past, future = time.time() - 2 * DAY, time.time() + 2 * DAY
    os.utime(root / "collected", (past, past))
    assert entries.collect(max_age=2.5 * DAY, max_size=10**9, interval=DAY) == 1
    os.utime(root / "collected", (future, future))
    assert entries.collect(max_age=1.5 * DAY, max_size=10**9, interval=DAY) == 1
    assert entries.collect(max_age=-1.0, max_size=0) == 2


def test_collecting_makes_nothing_where_nothing_is(root):
    assert Entries(root).collect(max_age=0.0, max_size=0) == 0
    assert list(root.iterdir()) == []


def test_a_damaged_manifest_does_not_save_an_entry(entries, root):
    (folder_of(root) / "manifest.json").unlink()
    os.utime(folder_of(root), (0, 0))
    assert entries.collect(max_age=DAY, max_size=10**9) == 1


@pytest.fixture
def as_nobody():
    """Be user 65534 in a folder of its own; root is stopped by no mode."""
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, 65534, 65534)
    os.seteuid(65534)
    yield folder
    os.seteuid(0)
    shutil.rmtree(folder)


@as_root
@pytest.mark.parametrize("mode", [0o000, 0o500])
@pytest.mark.parametrize("where", ["", "tree", "tree/bin"])
def test_an_entry_with_a_mode_that_forbids_it_is_a_miss_or_served_and_deleted(
    as_nobody, mode, where
):
    tree = make_tree(as_nobody / "built")
    entries = Entries(as_nobody)
    entries.store(KEY, tree, MANIFEST)
    (folder_of(as_nobody) / where).chmod(mode)
    assert entries.fetch(KEY, as_nobody / "got") == (MANIFEST if mode else None)
    entries.store(KEY, tree, MANIFEST)
    assert entries.fetch(KEY, as_nobody / "again") == MANIFEST
    (folder_of(as_nobody) / where).chmod(mode)
    entries.collect(max_age=-1.0, max_size=0)
    assert list(entries) == []
    assert nothing_in_between(as_nobody)


@as_root
def test_a_folder_that_can_only_be_read_serves(as_nobody):
    entries = Entries(as_nobody)
    entries.store(KEY, make_tree(as_nobody / "built"), MANIFEST)
    age(as_nobody, KEY, 30 * DAY)
    os.seteuid(0)
    dest = as_nobody / "dest"
    dest.mkdir(mode=0o777)
    dest.chmod(0o777)
    for path in [as_nobody, *as_nobody.rglob("*")]:
        os.chown(path, 0, 0, follow_symlinks=False)
    for path in (as_nobody, *(as_nobody / "entries").glob("**/")):
        path.chmod(0o555)
    os.seteuid(65534)
    assert entries.fetch(KEY, dest / "got") == MANIFEST
    with pytest.raises(PermissionError):
        entries.collect(max_age=DAY, max_size=0)
    assert keys(entries) == [KEY]


# -- what is not ours ------------------------------------------------------------------------------


def test_names_that_are_not_ours_are_neither_listed_nor_deleted(entries, root, tmp_path):
    outside = tmp_path / "outside"
    for name in (KEY, OTHER):
        (outside / name / "tree").mkdir(parents=True)
        (outside / name / "tree" / "precious").touch()
    foreign = [
        root / "entries" / "notes.txt",
        root / "entries" / "aa" / "short",
        root / "entries" / "aa" / OTHER,  # not where its key belongs
        root / "entries" / "ff" / OTHER.upper(),
        root / "staging" / "mine",
        root / "staging" / f"{KEY}.mine",
        root / "trash" / f"{KEY}.1.mine" / "precious",
    ]
    for path in foreign:
        path.mkdir(parents=True)
    (root / "entries" / "ee").symlink_to(outside)
    (root / "entries" / "ff" / OTHER).symlink_to(outside / OTHER)
    (root / "trash" / f"{KEY}.1.01234567").symlink_to(outside)
    before = contents(outside)
    assert keys(entries) == [KEY]
    entries.collect(max_age=-1.0, max_size=0)
    assert contents(outside) == before
    assert [path for path in foreign if not path.is_dir()] == []


@pytest.mark.parametrize("name", ["entries", "trash", "staging"])
def test_a_link_in_a_folder_s_place_is_not_followed(root, tmp_path, name):
    outside = tmp_path / "outside"
    for below in (f"{KEY[:2]}/{KEY}/tree", f"{KEY}.1.01234567"):
        (outside / below).mkdir(parents=True)
    (root / name).symlink_to(outside)
    entries = Entries(root)
    before = contents(outside)
    assert list(entries) == []
    entries.collect(max_age=-1.0, max_size=0)
    assert contents(outside) == before


# -- readers while others delete -------------------------------------------------------------------


def _read(root, dest, rounds, answers):
    """Fetch again and again; answer how often there was an entry, or what went wrong."""
    try:
        entries, hits = Entries(root), 0
        for number in range(rounds):
            got = dest / str(number)
            found = entries.fetch(KEY, got)
            if found is None:
                assert not got.exists()
                continue
            hits += 1
            assert found == MANIFEST
            assert (got / "bin" / "tool").read_bytes() == b"tool" * 1000
            assert (got / "doc" / "text").read_bytes() == b"text"
            assert (got / "link").readlink() == Path("bin/tool")
            shutil.rmtree(got)
    except BaseException as error:  # noqa: BLE001 (told to the parent)
        answers.put(repr(error))
    else:
        answers.put(hits)


def test_readers_see_an_entry_whole_or_not_at_all_while_others_collect(root, tree, tmp_path):
    """F9, with the store's writer and the list of entries in it too."""
    readers, rounds = 3, 300
    answers = PROCESSES.Queue()
    processes = []
    for number in range(readers):
        dest = tmp_path / f"reader{number}"
        dest.mkdir()
        args = (root, dest, rounds, answers)
        processes.append(PROCESSES.Process(target=_read, args=args))
    entries = Entries(root)
    for process in processes:
        process.start()
    while answers.qsize() < readers:
        entries.store(KEY, tree, MANIFEST)
        assert [entry.damage() for entry in entries] == [None]
        entries.collect(max_age=-1.0, max_size=0)
    got = [answers.get(timeout=60) for _ in range(readers)]
    for process in processes:
        process.join()
    assert [answer for answer in got if not isinstance(answer, int)] == []
    assert nothing_in_between(root)


def _collect(root, begun, answers):
    try:
        begun.wait(60)
        for _ in range(200):
            entries = Entries(root)
            list(entries)
            entries.collect(max_age=-1.0, max_size=0)
    except BaseException as error:  # noqa: BLE001 (told to the parent)
        answers.put(repr(error))
    else:
        answers.put(None)


def test_several_may_collect_and_store_at_once(root, tree):
    count = 3
    begun, answers = PROCESSES.Event(), PROCESSES.Queue()
    processes = [
        PROCESSES.Process(target=_collect, args=(root, begun, answers)) for _ in range(count)
    ]
    for process in processes:
        process.start()
    begun.set()
    entries = Entries(root)
    while answers.qsize() < count:
        with entries.lock(KEY, "it", Waiting()):
            entries.store(KEY, tree, MANIFEST)
    assert [answers.get(timeout=60) for _ in range(count)] == [None] * count
    for process in processes:
        process.join()
    entries.sweep()
    assert nothing_in_between(root)


def _store_and_stop(root, tree):
    entries = Entries(root)
    with entries.lock(KEY, "it", Waiting()):
        write = Path.write_text
        Path.write_text = lambda *args, **kwargs: (
            write(*args, **kwargs),
            os.kill(os.getpid(), signal.SIGKILL),
        )
        entries.store(KEY, tree, MANIFEST)


def test_what_a_killed_writer_left_is_swept_at_once(root, tree):
    process = PROCESSES.Process(target=_store_and_stop, args=(root, tree))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    entries = Entries(root)
    assert not nothing_in_between(root)
    assert not entries.has(KEY)
    entries.collect(max_age=DAY, max_size=10**9, interval=DAY)
    assert nothing_in_between(root)
