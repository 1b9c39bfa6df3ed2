"""``python -m pytest_dockerbin cache``: as a person types it, and as a script reads it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time

import pytest

from pytest_dockerbin.__main__ import main
from pytest_dockerbin.entries import Entries
from pytest_dockerbin.manifest import BuildRecord, FileRecord, Manifest
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.store import SessionStore, default_root

KEYS = {"linux/amd64": "a" * 64, "linux/arm/v7": "b" * 64}
DAY = 86400.0


@pytest.fixture(autouse=True)
def own_environment(tmp_path):
    """No test may ever see the cache folder of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_DOCKERBIN_CACHE_DIR", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        patch.setenv("HOME", str(tmp_path / "home"))
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The path of a cache folder, which is not there."""
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def cache(root, tmp_path):
    """A cache folder with a session that ended and two results of 2000 bytes, of last May."""
    session = SessionStore(root, "ended")
    session.once("a", lambda folder: (folder / "file").write_bytes(bytes(5_000_000)) and None)
    session.close()
    for platform, key in KEYS.items():
        tree = tmp_path / key[0]
        tree.mkdir()
        (tree / "tool").write_bytes(b"x" * 2000)
        (tree / "tool").chmod(0o755)
        sha256 = hashlib.sha256(b"x" * 2000).hexdigest()
        file = FileRecord(name="tool", size=2000, sha256=sha256, mode=0o755, program=True)
        build = BuildRecord(seconds=1.0, steps=1, cached_steps=0, log_path=None, ref="b/secret")
        manifest = Manifest(platform=Platform.parse(platform), files=(file,), build=build)
        Entries(root / "v1").store(key, tree, manifest, label="app/ --target bin")
        then = 1_780_000_000 + ord(key[0])
        os.utime(folder_of(root, key) / "manifest.json", (then, then))
    return root


def folder_of(root, key):
    return root / "v1" / "entries" / key[:2] / key


def keys(root):
    return [entry.key[0] for entry in Entries(root / "v1")]


def everything(folder):
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
    }


@pytest.fixture
def run(capsys):
    """Run a command; return its exit code, what it says, and what it complains of."""

    def run(*words):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def ask(run):
    """Run a command with --json; return its exit code and what it says."""

    def ask(*words):
        code, out, err = run(*words, "--json")
        assert err == ""
        return code, json.loads(out)

    return ask


# -- as a program ----------------------------------------------------------------------------------


def program(*words, **more):
    command = [sys.executable, "-m", "pytest_dockerbin", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def test_it_runs_as_a_module(cache):
    result = program("cache", "list")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "KEY           PLATFORM      FILES     SIZE  LAST USED         BUILT FROM",
        "bbbbbbbbbbbb  linux/arm/v7      1  2.0 KiB  2026-05-28 20:28  app/ --target bin",
        "aaaaaaaaaaaa  linux/amd64       1  2.0 KiB  2026-05-28 20:28  app/ --target bin",
        f"2 results (3.9 KiB), 1 session (4.8 MiB) in {cache}",
    ]


def test_a_mistake_is_one_line_and_exit_code_2():
    result = program("cache", "lst")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(
        "python -m pytest_dockerbin cache: argument ACTION: invalid choice: 'lst'"
    )
    assert result.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(cache):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pytest_dockerbin", "cache", "list"]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), ": the following arguments are required: COMMAND"),
        (("cache",), " cache: the following arguments are required: ACTION"),
        (("cache", "list", "--jsn"), ": unrecognized arguments: --jsn"),
        (
            ("cache", "gc", "--max-age", "soon"),
            ": --max-age: 'soon' is no quantity such as 14 d",
        ),
        (
            ("cache", "gc", "--max-size=5 apples"),
            ": --max-size: '5 apples' is no quantity such as 5 GiB",
        ),
        (
            ("cache", "gc", "--max-size", "9" * 400),
            f": --max-size: '{'9' * 400}' is no quantity such as 5 GiB",
        ),
        (("cache", "gc", "--max-age=-1d"), ": --max-age: '-1d' is no quantity such as 14 d"),
    ],
)
def test_what_is_not_understood_is_told_in_one_line(run, cache, words, complaint):
    assert run(*words) == (2, "", f"python -m pytest_dockerbin{complaint}\n")
    assert keys(cache) == ["a", "b"]


@pytest.mark.parametrize("words", [["--help"], ["cache", "--help"], ["cache", "gc", "--help"]])
def test_help_is_no_mistake(run, words):
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert out.startswith("usage: python -m pytest_dockerbin")


def test_an_interrupted_command_ends_as_shells_expect(run, cache, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pytest_dockerbin.entries.Entry.damage", interrupt)
    assert run("cache", "verify") == (130, "", "")


# -- dir -------------------------------------------------------------------------------------------


def test_dir_prints_the_user_s_folder_by_default(run, ask, tmp_path):
    assert default_root() == tmp_path / "xdg" / "pytest-dockerbin"
    assert run("cache", "dir") == (0, f"{default_root()}\n", "")
    assert ask("cache", "dir") == (0, {"cache_dir": str(default_root())})


def test_the_option_wins_over_the_variable(run, root, tmp_path, monkeypatch):
    assert run("cache", "dir") == (0, f"{root}\n", "")
    monkeypatch.chdir(tmp_path)
    assert run("cache", "dir", "--cache-dir", "x") == (0, f"{tmp_path / 'x'}\n", "")
    assert run("cache", "dir", "--cache-dir", "~/x") == (0, f"{tmp_path / 'home' / 'x'}\n", "")


# -- what only looks -------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["dir", "list", "verify", "gc", "clear"])
@pytest.mark.parametrize("there", [False, True])
def test_nothing_is_made_where_nothing_is(run, root, tmp_path, action, there):
    if there:
        root.mkdir()
    before = everything(tmp_path)
    code, _, err = run("cache", action)
    assert (code, err) == (0, "")
    assert everything(tmp_path) == before


@pytest.mark.parametrize("action", ["dir", "list", "verify"])
def test_looking_changes_nothing(run, cache, action):
    before = everything(cache)
    assert run("cache", action)[0] == 0
    assert everything(cache) == before


def test_list_says_it_in_json(ask, cache):
    result = {"files": 1, "size": 2000, "built_from": "app/ --target bin"}
    code, data = ask("cache", "list")
    assert (code, data["cache_dir"]) == (0, str(cache))
    assert data["results"] == [
        result | {"key": key * 64, "platform": platform, "last_used": f"2026-05-28T20:28:{time}Z"}
        for key, platform, time in (("b", "linux/arm/v7", 18), ("a", "linux/amd64", 17))
    ]
    assert data["sessions"]["count"] == 1
    assert data["sessions"]["size"] >= 5_000_000


def test_list_shows_what_can_t_be_read_too(run, ask, cache):
    (folder_of(cache, "a" * 64) / "manifest.json").write_text("{}")
    _, data = ask("cache", "list")
    assert [(r["platform"], r["size"]) for r in data["results"]] == [
        (None, 2000),
        ("linux/arm/v7", 2000),
    ]
    assert "\naaaaaaaaaaaa  damaged       " in "\n" + run("cache", "list")[1]


def test_names_of_strangers_do_not_reach_the_terminal_as_they_are(run, ask, cache, tmp_path):
    (entry, _) = Entries(cache / "v1")
    label = "app\x1b]52;c;evil\x07/\n::error::"
    Entries(cache / "v1").store("c" * 64, tmp_path / "a", entry.manifest(), label=label)
    (folder_of(cache, "a" * 64) / "tree" / "\x1b[2J").touch()
    assert ask("cache", "list")[1]["results"][0]["built_from"] == label
    for action in ("list", "verify"):
        out = run("cache", action)[1]
        assert all(line.isprintable() for line in out.splitlines())
        assert not any(line.startswith("::") for line in out.splitlines())


def test_verify_finds_what_is_damaged(run, ask, cache):
    assert run("cache", "verify") == (0, "2 of 2 results are whole\n", "")
    (folder_of(cache, "b" * 64) / "tree" / "tool").write_bytes(b"y" * 2000)
    told = f"damaged: {'b' * 64}: tool: other content\n1 of 2 results are whole\n"
    assert run("cache", "verify") == (1, told, "")
    assert ask("cache", "verify") == (
        1,
        {
            "cache_dir": str(cache),
            "results": [
                {"key": "a" * 64, "damage": None, "deleted": False},
                {"key": "b" * 64, "damage": "tool: other content", "deleted": False},
            ],
        },
    )
    assert keys(cache) == ["a", "b"]


def test_verify_deletes_what_is_damaged_when_asked_to(run, cache):
    (folder_of(cache, "b" * 64) / "tree" / "tool").unlink()
    code, out, _ = run("cache", "verify", "--delete")
    assert code == 0
    assert out.startswith(f"deleted: {'b' * 64}: tool: not what was stored, or missing\n")
    assert keys(cache) == ["a"]
    assert run("cache", "verify") == (0, "1 of 1 results are whole\n", "")


# -- gc and clear ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--max-age", "10d"], ["a"]),
        (["--max-age", "30 d", "--max-size", "4000"], ["a", "b"]),
        (["--max-age=30d", "--max-size=2KiB"], ["a"]),
        (["--max-age=30d", "--max-size=0"], []),
        (["--max-age", "30d"], ["a", "b"]),
        ([], ["a"]),
    ],
)
def test_gc_deletes_what_is_old_or_too_much(run, cache, words, left):
    for key, days in (("a" * 64, 1), ("b" * 64, 20)):
        then = time.time() - days * DAY
        os.utime(folder_of(cache, key) / "manifest.json", (then, then))
    code, out, err = run("cache", "gc", *words)
    assert (code, err) == (0, "")
    assert keys(cache) == left
    assert "1 session (4.8 MiB)" in out
    assert not (cache / "v1" / "sessions" / "ended").exists()


def test_clear_deletes_all_and_says_how_much(run, ask, cache):
    code, out, _ = run("cache", "clear")
    freed = "deleted 2 results (3.9 KiB), 1 session (4.8 MiB); freed 4.8 MiB"
    assert (code, out) == (0, f"{freed} in {cache}\n")
    assert keys(cache) == []
    assert list((cache / "v1" / "sessions").iterdir()) == []
    assert ask("cache", "clear") == (
        0,
        {"cache_dir": str(cache), "deleted_results": 0, "deleted_sessions": 0, "freed": 0},
    )
    SessionStore(cache, "next").close()


def test_clear_leaves_a_living_session_what_it_uses(run, cache):
    living = SessionStore(cache, "living")
    made = living.once("a", lambda folder: (folder / "file").write_text("used") and None)
    staging = cache / "v1" / "staging" / f"{'c' * 64}.1.01234567"
    staging.mkdir()
    entries = Entries(cache / "v1")
    with entries.lock("c" * 64, "it", living.waiting):
        assert run("cache", "clear")[0] == 0
        assert staging.exists()
    assert (made / "file").read_text() == "used"
    assert living.once("b", lambda folder: (folder / "file").touch()).is_dir()
    living.close()
    run("cache", "clear")
    assert not made.exists()
    assert not staging.exists()


def test_other_versions_and_other_files_stay(run, cache):
    for name in ("v2/entries/aa", "v1/other"):
        (cache / name).mkdir(parents=True)
    (cache / "note").touch()
    run("cache", "clear")
    assert (cache / "v2" / "entries" / "aa").is_dir()
    assert (cache / "v1" / "other").is_dir()
    assert (cache / "note").exists()


@pytest.fixture
def home(tmp_path):
    """A home folder: 1,000 files, some where ours would be, and 10 links out of it."""
    home = tmp_path / "documents"
    places = ("", "v1", f"v1/entries/aa/{'a' * 64}", "v1/sessions/old/alive", "v1/ended/old")
    for number in range(1000):
        folder = home / places[number % 5]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file{number}").write_text("precious")
    outside = tmp_path / "outside"
    (outside / "entries" / "aa" / ("a" * 64)).mkdir(parents=True)
    (outside / "file").write_text("precious")
    for number in range(10):
        (home / places[number % 5] / f"link{number}").symlink_to(outside)
    return home


@pytest.mark.parametrize(
    "action", ["list", "verify", "verify --delete", "gc --max-age 0s", "clear"]
)
@pytest.mark.parametrize("tag", [None, "", "Signature: 8a477f597d28d172789f06886806bc55\n# pip\n"])
def test_a_home_folder_is_refused_and_nothing_in_it_is_touched(run, home, tmp_path, action, tag):
    """F10; with the tag of another program it is still none of ours."""
    if tag is not None:
        (home / "CACHEDIR.TAG").write_text(tag)
    before = everything(tmp_path)
    why = f"{str(home)!r} is no cache folder of pytest-dockerbin: its CACHEDIR.TAG is missing"
    complaint = f"python -m pytest_dockerbin: {why}\n"
    assert run("cache", *action.split(), "--cache-dir", str(home)) == (2, "", complaint)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("what", ["entries", "sessions", "ended", "staging", "trash"])
def test_no_link_in_a_cache_folder_is_followed(run, cache, home, tmp_path, what):
    run("cache", "clear")
    place = cache / "v1" / what
    if place.exists():
        place.rename(cache / "aside")
    place.symlink_to(home / "v1" / what if (home / "v1" / what).exists() else home)
    before = everything(home)
    run("cache", "clear")
    run("cache", "gc", "--max-age=0s")
    run("cache", "verify", "--delete")
    assert everything(home) == before


@pytest.mark.parametrize("what", ["link", "file", "writable by others"])
def test_a_folder_that_is_not_the_user_s_own_is_refused(run, cache, tmp_path, what):
    named = tmp_path / "named"
    if what == "link":
        named.symlink_to(cache)
    elif what == "file":
        named.touch()
    else:
        named = cache
        cache.chmod(0o777)
    code, out, err = run("cache", "clear", "--cache-dir", str(named))
    assert (code, out) == (2, "")
    assert err.startswith(f"python -m pytest_dockerbin: the cache folder {str(named)!r} ")
    assert err.count("\n") == 1
    assert keys(cache) == ["a", "b"]


def test_an_error_of_the_system_is_one_line(run, cache, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "/the/file")

    monkeypatch.setattr("pytest_dockerbin.entries.Entries.discard", refuse)
    assert run("cache", "clear") == (
        2,
        "",
        "python -m pytest_dockerbin: /the/file: Permission denied\n",
    )
