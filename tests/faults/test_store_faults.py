"""Rows F1 to F16: the store and its locks, under kills, errors, damage and crowds."""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from rig import AMD64, DEADLINE, ERRORS, PROCESSES, Strace, calls_of, lives, wait_until

from pytest_dockerbin.entries import Entries
from pytest_dockerbin.export import seal
from pytest_dockerbin.locks import Waiting, hold, is_held
from pytest_dockerbin.manifest import BuildRecord, Manifest
from pytest_dockerbin.runners.tiny import tiny_program
from pytest_dockerbin.session import Builder
from pytest_dockerbin.settings import CacheMode, Settings


def next_session(bench, text):
    """Return what is wrong with a new session: right bytes, no warning, nothing left behind."""
    result = bench.run()
    if not result or result.get("files") != bench.expected(text) or result["warned"]:
        return f"the next session saw {result}"
    with suppress(AssertionError):  # a docker client without a parent may write for a moment yet
        wait_until(lambda: not bench.leftovers(), "nothing left behind", 20)
    left = bench.leftovers()
    for path in left:  # counted once
        shutil.rmtree(bench.folder / path, ignore_errors=True)
    return f"left behind: {left}" if left else ""


@pytest.mark.fault("F1", "kill -9 at a random moment: whole entry or none, lock free")
def test_a_session_killed_at_any_moment_leaves_the_next_one_whole_results(bench, trial, times):
    lengths = []
    for number in range(3):
        bench.input(f"warm {number}")
        session = bench.session()
        began = time.monotonic()
        session.go()
        assert "files" in session.result()
        session.close()
        lengths.append(time.monotonic() - began)
    for number in range(times()):
        text = f"kill {number}"
        bench.input(text)
        bench.docker.forget()
        session = bench.session()
        session.go()
        time.sleep(random.Random(text).uniform(0, 1.1 * max(lengths[:3])))
        session.kill()
        began = time.monotonic()
        wrong = next_session(bench, text)
        lengths.append(time.monotonic() - began)
        trial.hold(not wrong, f"kill {number}: {wrong}")
    trial.note(f"the next session took at most {max(lengths[3:]):.2f} s, all its work included")


# that change something, or hold it
CHANGES = (
    "mkdir", "rename", "write", "flock", "openat", "close", "fchmod", "chmod", "unlink", "unlinkat",
    "rmdir", "pwrite64", "ftruncate", "utimensat",
)  # fmt: skip
READS = ("read", "getdents64", "newfstatat")
# that can neither change the store nor fail by its disk
OTHERS = ("lseek", "fcntl", "ioctl", "flistxattr", "statfs", "readlink")


@pytest.mark.fault("F1", "kill -9 at a system call of the store")
@pytest.mark.parametrize("call", CHANGES)
def test_a_session_killed_at_a_system_call_leaves_the_next_one_whole_results(
    bench, trial, times, strace, call
):
    bench.run()  # so that each of the next ones deletes a session that ended
    bench.input(f"{call} counted")
    points = calls_of(bench, call)
    assert points, f"no {call} touches the store"
    for number in spread(points, times(4)):
        text = f"{call} {number}"
        bench.input(text)
        session = bench.session()
        tracer = Strace(
            session.pid, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"
        )
        session.go()
        session.result()
        session.close()
        tracer.close()
        wrong = next_session(bench, text)
        trial.hold(not wrong, f"{call} number {number}: {wrong}")


@pytest.mark.fault("F1", "every system call of the store is one of those tried, or only reads")
def test_no_system_call_of_the_store_is_forgotten(bench, strace, trial):
    for text in ("1", "1", "2"):  # a build, a hit, a build
        bench.input(text)
        seen = calls_of(bench)
        trial.hold(seen, "nothing was seen")
        forgotten = set(seen) - {*CHANGES, *READS, *OTHERS}
        trial.hold(not forgotten, f"not tried: {forgotten}")
    trial.note(f"{sum(map(seen.get, CHANGES))} calls of a build change the store or hold it")


def spread(points, most):
    """Return all points, or ``most`` of them evenly."""
    if most >= len(points):
        return points
    return [points[index * len(points) // most] for index in range(most)]


# -- damage ---------------------------------------------------------------------------------------


def flip(path, random):
    data = bytearray(path.read_bytes())
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    path.write_bytes(data)


def truncate(path, random):
    path.write_bytes(path.read_bytes()[: random.randrange(path.stat().st_size)])


def longer(path, random):
    path.write_bytes(path.read_bytes() + random.randbytes(1 + random.randrange(100)))


def missing(path, _):
    path.unlink()


def extra(path, random):
    (path.parent / f"extra{random.randrange(99)}").write_bytes(b"x")


def other_mode(path, random):
    path.chmod(random.choice([0o600, 0o666, 0o777, 0o4755, 0o444, 0o1644]))


def becomes_link(path, _):
    path.rename(path.parent.parent.parent / "same-bytes")
    path.symlink_to(path.parent.parent.parent / "same-bytes")


def becomes_folder(path, _):
    path.unlink()
    path.mkdir()


def link_becomes_file(path, _):
    link = manifest_of(path).with_name("tree") / "link"
    target = link.readlink()
    link.unlink()
    link.write_text(str(target))


def empty_manifest(path, _):
    manifest_of(path).write_bytes(b"")


def foreign_manifest(path, random):
    manifest = manifest_of(path)
    data = json.loads(manifest.read_text())
    change = random.choice(["key", "schema", "platform", "list", "null", "deep", "latin"])
    if change == "key":
        data["key"] = "0" * 64
    elif change == "schema":
        data["schema"] = 99
    elif change == "platform":
        data["manifest"]["platform"] = "linux/nonsense"
    texts = {"list": "[]", "null": "null", "deep": "[" * 100_000, "latin": "\xe9"}
    text = texts.get(change) or json.dumps(data)
    manifest.write_bytes(text.encode("latin-1"))


def flipped_manifest(path, random):
    flip(manifest_of(path), random)


def manifest_of(path):
    entry = next(parent for parent in path.parents if len(parent.name) == 64)
    return entry / "manifest.json"


DAMAGES = (
    flip, truncate, longer, missing, extra, other_mode, becomes_link, becomes_folder,
    link_becomes_file, empty_manifest, foreign_manifest, flipped_manifest,
)  # fmt: skip

TREE = {
    "bin/one": {
        "bytes": base64.b64encode(tiny_program(AMD64, 0) + bytes(4000)).decode(),
        "mode": 0o755,
    },
    "two": {"text": "two\n" * 50},
    "link": {"link": "bin/one"},
}


@pytest.mark.fault("F2", "damaged entry: a miss, built again, no traceback")
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_entry_is_never_served_and_built_again(bench, docker, trial, times, damage):
    docker.plan(("tree", TREE))
    whole = bench.run()
    (entry,) = bench.entries()
    copy = bench.folder / "copy"
    shutil.copytree(entry, copy, symlinks=True)
    for number in range(times(10)):
        shutil.rmtree(entry)
        shutil.copytree(copy, entry, symlinks=True)
        chance = random.Random(f"{damage.__name__} {number}")
        damage(entry / "tree" / chance.choice(["bin/one", "two"]), chance)
        result = bench.run()
        trial.hold(
            result.get("files") == whole["files"] and result.get("source") == "rebuilt",
            f"{damage.__name__} {number}: {result}",
        )
        served = bench.run()
        assert (served["source"], served["files"]) == ("reused", whole["files"])


# -- errors of the system --------------------------------------------------------------------------


@pytest.mark.fault("F3", "an error at a system call of the store: no traceback, no hang")
@pytest.mark.parametrize("call", [*(each for each in CHANGES if each != "close"), *READS])
def test_an_error_of_the_file_system_never_spoils_anything(bench, trial, times, strace, call):
    bench.input("kept")
    bench.run()
    bench.input(f"{call} counted")
    errors = ["EIO"] if call in READS else sorted(ERRORS)
    injected = [(number, name) for number in calls_of(bench, call) for name in errors]
    assert injected, f"no {call} touches the store"
    random.Random(call).shuffle(injected)  # so that a few are of all kinds
    for number, name in injected[: times(2)]:
        text = f"{call} {number} {name}"
        bench.input(text)
        session = bench.session()
        tracer = Strace(
            session.pid, "-e", f"trace={call}", "-e", f"inject={call}:error={name}:when={number}"
        )
        session.go()
        result = session.result()
        session.close()
        tracer.close()
        told = f"{call} number {number}, {name}: {result}"
        right = result and result.get("files") == bench.expected(text)
        said = (
            result and result.get("error") == "StoreError" and str(bench.folder) in result["report"]
        )
        trial.hold(right or said, told)
        trial.hold(result and len(result.get("warned", "")) <= 1, f"more than one warning: {told}")
        empty = [p for p in bench.cache.rglob("manifest.json") if p.stat().st_size == 0]
        trial.hold(not empty, f"empty manifests after {told}: {empty}")
        wrong = next_session(bench, text)
        trial.hold(not wrong, f"{wrong} after {told}")
    bench.input("kept")
    assert bench.run(cache="only")["source"] == "reused", "an entry that was whole is lost"


@pytest.mark.fault("F3", "full disk (tmpfs): an error that says so, or a warning")
@pytest.mark.parametrize("size", ["64k", "192k"])
def test_a_full_disk_is_told_with_its_path_and_free_space(bench, docker, disk, trial, times, size):
    small = disk(f"size={size},mode=755", "small")
    for number in range(times(4, least=2)):
        bench.cache = small.path / f"cache{number}"
        bench.input(f"{number}")
        docker.plan(("tree", {"big": {"text": "x" * random.Random(number).randrange(200_000)}}))
        result = bench.run()
        if "error" in result:
            told = re.search(
                r"'(/[^']+)' \(0 MiB free\)|only 0 MiB .* '(/[^']+)'", result["report"]
            )
            good = told and str(bench.folder) in told[0] and "--dockerbin-cache-dir" in told.string
        else:
            good = "files" in result and len(result["warned"]) <= 1
        trial.hold(good, result)
        empty = [p for p in bench.cache.rglob("manifest.json") if p.stat().st_size == 0]
        trial.hold(not empty, f"empty manifests: {empty}")
        shutil.rmtree(bench.cache)


# -- folders that can't be used --------------------------------------------------------------------


PASSES = """
def test_a(dockerbin): assert (dockerbin / "f00").read_text()
def test_b(dockerbin): assert len(dockerbin.files) == 4
"""


def outcome(said):
    """Return passed tests and warnings of pytest's last line."""
    last = said.splitlines()[-1] if said else ""
    return {
        word: int(number)
        for number, word in re.findall(r"(\d+) (passed|warning|error|failed)", last)
    }


def bound_by_modes():
    """Begin a command that root's right to write anywhere is taken from."""
    without = "-dac_override,-dac_read_search"
    command = ("setpriv", f"--bounding-set={without}", f"--inh-caps={without}")
    if subprocess.run([*command, "true"], check=False).returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("setpriv takes no rights away")
    return command


@pytest.mark.fault("F4", "cache folder that can't be used: session passes, one warning")
@pytest.mark.parametrize(
    ("layout", "workers"),
    [
        ("read-only with hit", 0), ("read-only with miss", 0), ("no parent", 0), ("foreign", 0),
        ("unwritable parent", 0), ("unwritable with hit", 0), ("read-only with miss", 2),
    ],
)  # fmt: skip
def test_a_session_passes_without_its_cache_folder_and_warns_once(  # noqa: PLR0917 (fixtures)
    bench, project, docker, disk, trial, layout, workers
):
    project.tests(PASSES)
    mounted = disk("size=8m,mode=755")
    bench.cache = mounted.path / "cache"
    args = ["--dockerbin-cache=reuse", *([f"-n{workers}"] if workers else [])]
    before = ()
    if layout.endswith("with hit"):
        assert project.run(*args)[0] == 0
        docker.forget()
    if layout.startswith("unwritable"):
        before = bound_by_modes()
        for path in [mounted.path, *bench.cache.rglob("*")]:
            if path.is_dir() or path.suffix == ".lock":
                path.chmod(path.stat().st_mode & 0o555)
    if layout.startswith("read-only"):
        mounted.remount("ro")
    elif layout == "no parent":
        bench.cache = mounted.path / "not" / "there"
        mounted.remount("ro")
    elif layout == "foreign":
        bench.cache.mkdir()
        os.chown(bench.cache, 65534, 65534)
    code, said = project.run(*args, before=before)
    trial.hold(code == 0 and outcome(said).get("passed") == 2, said)
    trial.hold(outcome(said).get("warning") == 1, f"not exactly one warning: {said}")
    hit = layout.endswith("with hit")
    trial.hold(len(docker.builds()) == (0 if hit else 1), f"builds: {docker.builds()}")


@pytest.mark.fault("F4", "cache folder that can't be used: nothing stays in the temporary folder")
def test_a_private_folder_goes_with_its_session_s_successors(bench, trial):
    bench.cache.symlink_to("elsewhere")
    for _ in range(3):
        assert len(bench.run()["warned"]) == 1
    private = list(bench.tmp.glob("pytest-dockerbin-*"))
    trial.hold(len(private) <= 1, f"{len(private)} private folders stay for ever")


@pytest.mark.fault("F5", "two schemas alternating on one root: no cross reads, all hits")
def test_two_schemas_on_one_root_ignore_each_other(bench, trial, times):
    for number in range(times(10, least=3)):
        for schema in (1, 2):
            result = bench.run(prepare=partial(become_schema, schema))
            source = "reused" if number else "built"
            trial.hold(
                result.get("source") == source and result["files"] == bench.expected(),
                f"round {number}, schema {schema}: {result}",
            )
    assert {path.name for path in bench.cache.iterdir()} == {"CACHEDIR.TAG", "v1", "v2"}
    # this version collects and clears, and leaves what it does not know
    Builder.collect(
        Settings(cache_dir=bench.cache, cache=CacheMode.REUSE, cache_max_age=0.0), "none"
    )
    Entries(bench.cache / "v1").clear()
    result = bench.run(prepare=partial(become_schema, 2))
    trial.hold(result.get("source") == "reused", f"after a clear of the other: {result}")


def become_schema(number):
    """Be a plugin of another layout: in a session's process."""
    from pytest_dockerbin import entries, session, store  # noqa: PLC0415

    entries.SCHEMA = number
    session.VERSION = store.VERSION = f"v{number}"


@pytest.mark.fault("F6", "edit during the build: no entry that its inputs do not explain")
def test_an_edit_during_the_build_is_never_stored(bench, docker, trial, times):
    for number in range(times(5, least=3)):
        chance = random.Random(number)
        bench.input(f"before {number}")
        pause = ("sleep", chance.uniform(0, 0.05))
        edit = ("edit", {"file": "input", "text": f"after {number}"})
        actions = [("derived", 4)]
        for action in (edit, pause):
            actions.insert(chance.randrange(len(actions) + 1), action)
        docker.plan(("derived", 4), builds=[actions])
        docker.forget()
        bench.run()
        trial.hold(not bench.entries(), "an entry was stored although its inputs had changed")
        for text in (f"before {number}", f"after {number}"):
            bench.input(text)
            for source in ("built", "reused"):
                result = bench.run()
                good = result["files"] == bench.expected(text) and result["source"] == source
                trial.hold(good, f"{text}: {result}")
        shutil.rmtree(bench.cache)


HOSTILE = """
import hashlib, os, pytest

@pytest.mark.parametrize("number", range({count}))
@pytest.mark.parametrize("turn", ["hostile", "next"])
def test_it(dockerbin, dockerbin_platform, number, turn):
    path = dockerbin / "bin/one"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == dockerbin.files[0].sha256
    assert path.stat().st_mode & 0o7777 == 0o755
    assert path.stat().st_nlink == 1
    if turn == "hostile":
        [
            lambda: path.write_bytes(b"evil"),
            lambda: path.chmod(0o4777),
            lambda: path.unlink(),
            lambda: os.truncate(path, 1),
            lambda: path.open("r+b").write(b"X"),
            lambda: (path.unlink(), path.symlink_to("/bin/sh")),
            lambda: (path.unlink(), path.mkdir()),
            lambda: path.parent.rename(path.parent.with_name("gone-%d" % number)),
            lambda: (path.write_bytes(b"evil"), os.utime(path, (1, 1))),
        ][number % 9]()
"""


@pytest.mark.fault("F7", "a test changes what it got: the next test has the original")
@pytest.mark.parametrize("mode", ["session", "reuse"])
def test_the_next_test_gets_what_was_built(project, docker, bench, trial, times, mode):
    docker.plan(("tree", TREE))
    count = times(10, least=9)
    project.tests(HOSTILE.format(count=count))
    for _ in range(2):  # the next session, too
        code, said = project.run(f"--dockerbin-cache={mode}", "-q", "--tb=line")
        failed = outcome(said).get("failed", 0) + outcome(said).get("error", 0)
        for number in range(2 * count):
            trial.hold(number >= failed, said[-2000:])
        assert code in (0, 1), said
    linked = [p for p in bench.cache.rglob("*") if p.is_file() and p.stat().st_nlink > 1]
    trial.hold(not linked, f"hard links: {linked}")


@pytest.mark.fault("F8", "16 processes at once: one docker call for each key and round")
def test_processes_at_once_build_each_key_once(bench, docker, trial, times):
    docker.plan(("derived", 4), ("sleep", 0.1))
    for number in range(times(20)):
        bench.input(f"round {number}")
        docker.forget()
        # half of them are one session's workers, the others sessions of their own
        shared = f"shared-{number}"
        sessions = [bench.session(session=shared if index % 2 else None) for index in range(16)]
        for session in sessions:
            session.go()
        results = [session.result() for session in sessions]
        for session in sessions:
            session.close()
        bench.sessions.clear()
        wrong = [r for r in results if not r or r.get("files") != bench.expected() or r["warned"]]
        calls = len(docker.builds())
        trial.hold(calls == 1 and not wrong, f"round {number}: {calls} docker calls, {wrong[:1]}")


@pytest.mark.fault("F8", "two checkouts at once: equal ones share, others never")
def test_two_checkouts_at_once(bench, docker, trial, times):
    docker.plan(("derived", 4), ("sleep", 0.1))
    other = bench.folder / "other checkout"
    shutil.copytree(bench.context, other)
    for number in range(times(20, least=2)):
        for text in (f"same {number}", f"other {number}"):
            bench.input(f"same {number}")
            (other / "input").write_text(text)
            docker.forget()
            sessions = [bench.session(context=each) for each in (bench.context, other) * 4]
            for session in sessions:
                session.go()
            seen = [session.result().get("files") for session in sessions]
            for session in sessions:
                session.close()
            bench.sessions.clear()
            expected = [bench.expected(f"same {number}"), bench.expected(text)] * 4
            trial.hold(seen == expected, f"round {number}: {seen}")
            # for the second text, too: the first checkout's was built before
            trial.hold(len(docker.builds()) == 1, f"{len(docker.builds())} docker calls")


def read_on(conn, root, keys, count):
    """Look entries up while others collect them: in a process of its own."""
    entries, seen = Entries(root), Counter()
    folder = Path(root) / f"reader-{os.getpid()}"
    folder.mkdir()
    try:
        for number in range(count):
            key = keys[number % len(keys)]
            dest = folder / str(number)
            manifest = entries.fetch(key, dest)
            seen["hit" if manifest else "miss"] += 1
            if manifest and (dest / "f").read_text() != key * 50:
                seen["wrong"] += 1
            if manifest is None and dest.exists():
                seen["left"] += 1
            shutil.rmtree(dest, ignore_errors=True)
    except BaseException:  # noqa: BLE001 (told to the parent)
        seen["error"] += 1
        conn.send((seen, traceback.format_exc()))
    else:
        conn.send((seen, ""))


def store_again(entries, folder, key):
    tree = folder / f"tree-{key[:8]}"
    if not tree.exists():
        tree.mkdir()
        (tree / "f").write_text(key * 50)
        (tree / "f").chmod(0o644)
    files = seal(tree, AMD64, verify=False)
    record = BuildRecord(seconds=1.0, steps=1, cached_steps=0, log_path=None, ref=None)
    entries.store(key, tree, Manifest(platform=AMD64, files=files, build=record))


@pytest.mark.fault("F9", "lookups while entries are collected and made: hit or miss")
def test_what_vanishes_while_it_is_read_is_a_miss(tmp_path, trial, times):
    root, lookups = tmp_path / "v1", times() * 10
    entries = Entries(root)
    keys = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(8)]
    for key in keys:
        store_again(entries, tmp_path, key)
    readers = []
    for _ in range(2):
        ours, theirs = PROCESSES.Pipe()
        process = PROCESSES.Process(target=read_on, args=(theirs, root, keys, lookups // 2))
        process.start()
        readers.append((process, ours))
    passes = 0
    while passes < times() or any(process.is_alive() for process, _ in readers):
        entries.collect(max_age=-1 if passes % 2 else 1e9, max_size=0 if passes % 3 else 10**9)
        for key in keys:
            if not entries.has(key):
                store_again(entries, tmp_path, key)
        passes += 1
    seen = Counter()
    for process, ours in readers:
        counted, error = ours.recv()
        process.join(DEADLINE)
        seen += counted
        assert not error, error
    for number in range(lookups):
        trial.hold(number >= seen["wrong"] + seen["left"] + seen["error"], seen)
    trial.note(f"{passes} collections; {seen['hit']} hits, {seen['miss']} misses")


@pytest.mark.fault("F10", "cache folder full of other files: none touched")
def test_a_folder_of_other_files_is_left_alone(bench, trial, times):
    home, outside = bench.cache, bench.folder / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    home.mkdir(mode=0o755)
    for number in range(times()):
        (home / f"file{number}").write_text(str(number))
    for number in range(10):
        (home / f"link{number}").symlink_to(outside)
    before = facts_of(home) | facts_of(outside)
    assert "files" in bench.run(cache_max_age=0, cache_max_size=0)
    after = facts_of(home) | facts_of(outside)
    for path, facts in before.items():
        trial.hold(after.get(path) == facts, f"{path}: {facts} became {after.get(path)}")
    trial.hold(not (home / "CACHEDIR.TAG").exists(), "a home folder was tagged as a cache")
    for action in ("list", "verify --delete", "gc --max-age=0s", "clear"):
        words = ["cache", *action.split(), f"--cache-dir={home}"]
        command = [sys.executable, "-m", "pytest_dockerbin", *words]
        code = subprocess.run(command, check=False, capture_output=True).returncode
        trial.hold(code == 2, f"{action}: {code}")
        trial.hold((facts_of(home) | facts_of(outside)) == after, f"{action} touched something")


def facts_of(folder):
    """Return what nobody may change: of the folder itself, and of all that is in it."""
    listed = [
        folder,
        *(path for path in folder.iterdir() if path.name not in ("v1", "CACHEDIR.TAG")),
    ]
    return {
        path: (path.lstat().st_mode, path.lstat().st_ino, path.is_dir() or path.read_bytes())
        for path in listed
    }


@pytest.mark.fault("F10", "links and foreign names inside the store: not followed, not deleted")
def test_collection_touches_nothing_but_entries(bench, trial):
    bench.run()
    outside = bench.folder / "outside"
    (outside / "tree").mkdir(parents=True)
    (outside / "manifest.json").write_text("{}")
    entries = bench.cache / "v1" / "entries"
    key = "ab" + "0" * 62
    (entries / "ab").mkdir(exist_ok=True)
    (entries / "ab" / key).symlink_to(outside)
    (entries / "ab" / "notes.txt").write_text("mine")
    (entries / "cd").symlink_to(outside)
    for name in ("staging", "trash", "ended", "sessions"):
        (bench.cache / "v1" / name).mkdir(exist_ok=True)
        (bench.cache / "v1" / name / f"{key}.1.x").symlink_to(outside)
    bench.input("other")
    bench.run(cache_max_age=0.0, cache_max_size=0)
    trial.hold((outside / "manifest.json").exists() and (outside / "tree").exists(), "outside")
    trial.hold((entries / "ab" / "notes.txt").read_text() == "mine", "a foreign file")


@pytest.mark.fault("F11", "clock jumps of 10 years: entries of this session stay, no endless wait")
@pytest.mark.parametrize("years", [-10, 10])
def test_a_clock_that_jumps_removes_nothing_that_is_in_use(bench, trial, years):
    bench.run()
    result = bench.run(prepare=partial(jump, years * 365 * 86400))
    trial.hold(result["source"] == "reused", result)
    trial.hold(len(bench.entries()) == 1, "an entry of this session was collected")
    bench.input("built meanwhile")
    result = bench.run(prepare=partial(jump, years * 365 * 86400))
    trial.hold(result.get("files") == bench.expected(), result)
    for text in ("built meanwhile",):
        bench.input(text)
        trial.hold(bench.run()["source"] == "reused", "the entry was lost")


def jump(seconds):
    """Let the clock jump after the first look at it: in a session's process."""
    real, looks = time.time, []

    def jumping():
        looks.append(1)
        return real() + (seconds if len(looks) > 1 else 0)

    time.time = jumping


@pytest.mark.fault("F11", "modification times in the future: nothing lost, nothing kept for ever")
def test_times_in_the_future_are_now(bench, trial):
    bench.run()
    (entry,) = bench.entries()
    ahead = time.time() + 10 * 365 * 86400
    for path in [*entry.rglob("*"), *bench.cache.rglob("*.lock"), *(bench.cache / "v1").iterdir()]:
        os.utime(path, (ahead, ahead))
    trial.hold(bench.run()["source"] == "reused", "an entry of the future was lost")
    trial.hold((entry / "manifest.json").stat().st_mtime < ahead - 86400, "its use was not noted")


@pytest.mark.fault("F12", "thousands of entries: a lookup lists no folder; no test, no touch")
def test_a_lookup_among_many_entries_lists_none_of_them(bench, strace, trial, times):
    bench.run()
    (entry,) = bench.entries()
    many = times() * 5
    for number in range(many):
        key = hashlib.sha256(b"%d" % number).hexdigest()
        other = bench.cache / "v1" / "entries" / key[:2] / key
        (other / "tree").mkdir(parents=True)
        (other / "tree" / "f").write_bytes(bytes(4096))
        (other / "manifest.json").write_bytes((entry / "manifest.json").read_bytes())
    entries, calls = Entries(bench.cache / "v1"), []
    opened = {"os.listdir", "os.scandir", "open"}
    watch = {"on": True}
    sys.addaudithook(
        lambda name, args: watch["on"] and name in opened and calls.append((name, args[0]))
    )
    assert entries.fetch(entry.name, bench.folder / "copy")
    watch["on"] = False
    began = time.monotonic()
    for number in range(20):
        assert entries.fetch(entry.name, bench.folder / f"copy{number}")
    lookup = (time.monotonic() - began) / 20 * 1000
    began = time.monotonic()
    entries.collect(max_age=1e9, max_size=10**12)
    scan = time.monotonic() - began
    trial.note(f"{many} entries: a lookup takes {lookup:.1f} ms (the row's limit: 5 ms),")
    trial.note(f"a scan {scan:.2f} s (the row's limit: 2 s)")
    seen = [str(path) for _, path in calls if str(bench.cache) in str(path)]
    trial.hold(seen, "nothing was seen: the hook does not work")
    trial.hold(all(path.startswith(str(entry)) for path in seen), f"looked at {seen}")


@pytest.mark.fault("F12", "a session without tests of ours does not touch the cache folder")
def test_a_session_without_tests_of_ours_does_not_touch_the_cache(project, bench, trial):
    project.tests("def test_it(): pass")
    code, said = project.run("--dockerbin-cache=reuse")
    assert code == 0, said
    trial.hold(not bench.cache.exists(), "the cache folder was made")


# -- locks ----------------------------------------------------------------------------------------


def hold_lock(conn, path, fork):
    """Hold a lock, with a forked child that lives on: in a process of its own."""
    with hold(path, "held", Waiting()):
        child = os.fork() if fork else 0
        if fork and child == 0:
            time.sleep(10 * DEADLINE)
            os._exit(0)
        conn.send((os.getpid(), child))
        time.sleep(DEADLINE)


@pytest.mark.parametrize(
    "fork",
    [
        pytest.param(False, marks=pytest.mark.fault("F13", "lock holder killed: free")),
        pytest.param(True, marks=pytest.mark.fault("F14", "lock holder that forked killed: free")),
    ],
)
def test_the_lock_of_a_killed_holder_is_free(tmp_path, trial, times, fork):
    path = tmp_path / "a.lock"
    for _ in range(times(2)):
        ours, theirs = PROCESSES.Pipe()
        process = PROCESSES.Process(target=hold_lock, args=(theirs, path, fork))
        process.start()
        assert ours.poll(DEADLINE)
        pid, child = ours.recv()
        assert is_held(path)
        os.kill(pid, signal.SIGKILL)
        process.join(DEADLINE)
        try:
            began = time.monotonic()
            wait_until(lambda: not is_held(path), "the lock of a killed holder is free")
            trial.took(time.monotonic() - began)
            trial.hold(not fork or lives(child), "the child did not live on: nothing was proved")
        except AssertionError as error:
            trial.hold(False, error)
        finally:
            if child:
                os.kill(child, signal.SIGKILL)
    trial.note_longest("free again", 1)


@pytest.mark.fault("F15", "long wait: one line with holder, pid, time, log; ended by a stop")
def test_a_long_wait_is_told_once_and_ends_with_the_session(bench, docker, trial):
    go = bench.folder / "go"
    docker.plan(("derived", 4), ("wait_for", str(go)))
    maker = bench.session(session="one")
    maker.go()
    wait_until(docker.builds, "the build begins")
    heard = [bench.folder / f"heard{number}" for number in range(3)]
    waiters = [bench.session(session="one", heard=file) for file in heard]
    for waiter in waiters:
        waiter.go()
    for file in heard:  # while the maker has not ended
        wait_until(lambda file=file: file.exists() and file.read_text(), "a waiter says so")
    Builder.stop(Settings(cache_dir=bench.cache), "one")
    (log,) = bench.cache.glob("v1/sessions/*/logs/*.log")
    for waiter in waiters:
        result = waiter.result()
        lines = result["said"]
        told = len(lines) == 1 and f"(pid {maker.pid})" in lines[0] and "for 0:0" in lines[0]
        trial.hold(told and lines[0].endswith(f"(log {log})"), f"said: {lines}")
        trial.hold(result.get("error") == "StoppedError", result)
        trial.took(result["share"] * 100)
    trial.hold(maker.result().get("error") == "StoppedError", "the maker goes on")
    wait_until(lambda: not docker.living(), "docker has ended")
    times = [float(file.read_text().split()[0]) for file in heard]
    # of three, so that one that the machine let wait is no reason to fail
    trial.hold(min(times) <= 6, f"the lines came after {times} s")
    trial.note(f"said after {min(times):.2f} to {max(times):.2f} s (the row's limit: 6 s)")
    trial.note(f"a waiter with its start takes {max(trial.seconds):.2f} % of a core in that time")


@pytest.mark.fault("F15", "long wait: bounded by the build timeout")
def test_a_wait_is_bounded_by_the_build_timeout(bench, docker, trial):
    docker.plan(("wait_for", str(bench.folder / "go")))
    maker = bench.session(session="one")
    maker.go()
    wait_until(docker.builds, "the build begins")
    os.kill(maker.pid, signal.SIGSTOP)  # alive, with its lock, and never at its end
    waiter = bench.session(session="one", build_timeout=0.5, prepare=without_grace)
    waiter.go()
    result = waiter.result()
    os.kill(maker.pid, signal.SIGCONT)
    trial.hold(result.get("error") == "BuildTimeoutError", result)
    trial.hold(f"(pid {maker.pid})" in result.get("report", ""), result)


def without_grace():
    """Wait no longer than a build may take: in a session's process."""
    from pytest_dockerbin import session  # noqa: PLC0415

    session._END_OF_BUILD = 0.5


@pytest.mark.fault("F15", "long wait: another platform is built meanwhile")
def test_a_waiting_worker_builds_another_platform(bench, docker, trial):
    go = bench.folder / "go"
    docker.plan(("derived", 4), builds=[[("wait_for", str(go)), ("derived", 4)]])
    maker = bench.session(session="one", platform="linux/arm64")
    maker.go()
    wait_until(docker.builds, "the build begins")
    waiter = bench.session(session="one", platform="linux/arm64", others=["linux/amd64"])
    waiter.go()
    builds = wait_until(lambda: docker.builds()[1:], "the waiting one builds too")
    trial.hold("--platform=linux/amd64" in builds[0]["argv"], builds)
    trial.hold(not go.exists(), "while the first one goes on")
    go.touch()
    for session in (maker, waiter):
        trial.hold(session.result().get("files") == bench.expected(), "got nothing")
    third = bench.run(session="one", platform="linux/amd64")
    trial.hold(third.get("files") == bench.expected(), "what was built meanwhile is not used")
    trial.hold(len(docker.builds()) == 2, f"{len(docker.builds())} docker calls")


@pytest.mark.fault("F15", "long wait: 32 waiters all get through")
def test_all_waiters_get_through(bench, docker, trial):
    go = bench.folder / "go"
    docker.plan(("derived", 4), ("wait_for", str(go)))
    sessions = [bench.session(session="one") for _ in range(33)]
    for session in sessions:
        session.go()
    wait_until(docker.builds, "the build begins")
    time.sleep(1)  # for most of them, to be waiting
    began = time.monotonic()
    go.touch()
    for session in sessions:
        result = session.result()
        trial.hold(result.get("files") == bench.expected(), "a waiter got nothing")
        trial.took(result["at"] - began)
    trial.note_longest("the last one through", 2)
    assert len(docker.builds()) == 1


# one worker waits for the first build, which ends only when another platform is built
BOTH_PLATFORMS = """
import pytest

@pytest.mark.platform("linux/arm64", "linux/amd64")
def test_it(dockerbin): assert len(dockerbin.files) == 4
"""


@pytest.mark.fault("F15", "long wait: a waiting xdist worker builds another platform")
def test_a_waiting_worker_of_xdist_builds_another_platform(bench, docker, project, trial):
    go = str(bench.folder / "go")
    first = [("derived", 4), ("wait_for", go)]
    docker.plan(("derived", 4), ("touch", go), builds=[first])
    project.tests(BOTH_PLATFORMS)
    # both workers begin with the same test, and nothing builds in the background
    code, said = project.run("-n2", "--dist=each", "--dockerbin-jobs=0")
    trial.hold(code == 0 and outcome(said).get("passed") == 4, said)
    built = [word for call in docker.builds() for word in call["argv"] if "--platform=" in word]
    # either docker may be the first to say that it runs; the first waits for the other
    trial.hold(sorted(built) == ["--platform=linux/amd64", "--platform=linux/arm64"], built)


def without_locks(folder, number):
    """Let no file below a folder be locked, as on some network file systems."""
    real = fcntl.flock

    def flock(descriptor, operation):
        handle = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        if str(Path(f"/proc/self/fd/{handle}").readlink()).startswith(str(folder)):
            raise OSError(number, os.strerror(number))
        return real(descriptor, operation)

    fcntl.flock = flock


@pytest.mark.fault("F16", "file system without locks: private folder, one warning, no marker")
@pytest.mark.parametrize("name", ["ENOSYS", "EOPNOTSUPP", "ENOLCK", "524"])
def test_a_file_system_without_locks_is_done_without(bench, trial, name):
    number = getattr(errno, name, 524)
    result = bench.run(prepare=partial(without_locks, bench.cache, number))
    trial.hold(result.get("files") == bench.expected(), result)
    trial.hold(len(result["warned"]) == 1, f"warnings: {result['warned']}")
    markers = [
        str(p)
        for p in bench.cache.rglob("*")
        # what is kept of inputs, beside stored results, is no lock's
        if p.is_file()
        and p.stat().st_size
        and p.name != "CACHEDIR.TAG"
        and p.parent.name != "inputs"
    ]
    trial.hold(not markers, f"marker files: {markers}")


@pytest.mark.fault("F16", "no lock file is ever unlinked (strace of whole sessions)")
def test_no_lock_is_unlinked_while_its_session_lives(project, bench, strace, trial):
    project.tests(PASSES)
    for turn in range(2):
        listing = bench.folder / f"unlinks{turn}"
        calls = "trace=unlink,unlinkat,rmdir,rename,renameat,renameat2"
        strace = [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-y",
            "-s",
            "4096",
            "-e",
            calls,
            "-o",
            str(listing),
        ]
        code, said = project.end(project.start("--dockerbin-cache=reuse", "-n2", before=strace))
        assert code == 0, said
        ours = [line for line in listing.read_text().splitlines() if str(bench.cache) in line]
        lines = [line for line in ours if ".lock" in line]
        live = [line for line in lines if "/ended/" not in line]
        trial.hold(not live, f"unlinked: {live}")
        trial.hold(bool(lines) == bool(turn), f"the ended session was not deleted: {lines}")
