from __future__ import annotations

import errno
import json
import subprocess
from pathlib import Path

import elf as make
import pytest

from pytest_dockerbin import shipping
from pytest_dockerbin.build_name import BuildName, Export
from pytest_dockerbin.build_settings import spec_of
from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.session import Builder
from pytest_dockerbin.settings import Settings
from pytest_dockerbin.shipping import Verdict, check_output, ship

AMD64 = Platform.parse("linux/amd64")
ARM64 = Platform.parse("linux/arm64")
PASSED = Verdict(passed=2, skipped=1)


@pytest.fixture
def export(tmp_path):
    """Make an export of a session as a build makes it, without docker."""
    sessions = []

    def make_export(platform=AMD64, name="default", text="text", words=""):
        source = tmp_path / f"source-{len(sessions)}"
        tree = source / platform.slug
        (tree / "empty").mkdir(parents=True)
        machine = {AMD64: make.AMD64, ARM64: make.ARM64}[platform]
        (tree / "hello").write_bytes(make.elf(machine))
        (tree / "hello").chmod(0o755)
        (tree / "back\\slash").write_text(text)
        (tree / "hi").symlink_to("hello")
        session = Builder(Settings(prebuilt=source, cache_dir=tmp_path / "cache"))
        sessions.append(session)
        spec = spec_of({"context": Path("/gone")}, built=False)
        result = session.build(spec, platform).path.parent
        return Export(BuildName(name, "", words), "gone/", None, platform, result)

    yield make_export
    for session in sessions:
        session.close()


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "dist"


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def checked(dest):
    """Let sha256sum check the folder, and return how many files it checked."""
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    run = subprocess.run(command, cwd=dest, check=True, capture_output=True, text=True)
    return len(run.stdout.splitlines())


def test_each_platform_is_written_with_sums_and_index(dest, export):
    assert ship(dest, [export(), export(ARM64)], {AMD64: PASSED, ARM64: PASSED}) == {}
    one = ["", "/back\\slash", "/empty", "/hello", "/hi"]
    folders = [f"{at}{name}" for at in ("linux_amd64", "linux_arm64") for name in one]
    assert names(dest) == ["SHA256SUMS", "dockerbin.json", *folders]
    assert checked(dest) == 4
    told = json.loads((dest / "dockerbin.json").read_text())["platforms"]
    assert [(each["platform"], each["tests"]["passed"]) for each in told] == [
        ("linux/amd64", 2),
        ("linux/arm64", 2),
    ]


def test_it_is_written_the_same_again(dest, export):
    """So that a release can be compared with another."""
    exports, verdicts = [export(), export(ARM64)], {AMD64: PASSED, ARM64: PASSED}
    ship(dest, exports, verdicts)
    before = [(dest / name).read_bytes() for name in ("SHA256SUMS", "dockerbin.json")]
    ship(dest, exports[::-1], verdicts)
    assert [(dest / name).read_bytes() for name in ("SHA256SUMS", "dockerbin.json")] == before


def test_a_platform_that_something_speaks_against_is_left_out(dest, export):
    against = Verdict(passed=2, skipped=0, against="1 failed")
    left_out = ship(dest, [export(), export(ARM64)], {AMD64: PASSED, ARM64: against})
    assert left_out == {ARM64: "1 failed"}
    assert not (dest / "linux_arm64").exists()
    assert checked(dest) == 2


def test_a_platform_is_taken_away_once_its_tests_fail(dest, export):
    exports = [export(), export(ARM64)]
    ship(dest, exports, {AMD64: PASSED, ARM64: PASSED})
    against = PASSED._replace(against="1 error")
    ship(dest, exports, {AMD64: PASSED, ARM64: against})
    assert not (dest / "linux_arm64").exists()
    ship(dest, exports, {AMD64: against, ARM64: against})
    assert not names(dest)


def test_builds_of_one_name_have_a_folder_each(dest, export):
    exports = [
        export(name="server-bin", words="server --target bin", text="one"),
        export(name="server-bin", words="server-bin", text="two"),
        export(name="client"),
    ]
    assert ship(dest, exports, {AMD64: PASSED}) == {}
    told = json.loads((dest / "dockerbin.json").read_text())["platforms"]
    assert told[0]["folder"] == "client/linux_amd64"
    assert all(each["folder"].startswith("server-bin-") for each in told[1:])
    texts = {
        each["build"]["words"]: (dest / each["folder"] / "back\\slash").read_text() for each in told
    }
    assert texts == {"server --target bin": "one", "server-bin": "two", "": "text"}


def test_nothing_is_made_where_nothing_passed(dest, export):
    ship(dest, [export()], {AMD64: PASSED._replace(against="1 failed")})
    assert not dest.exists()


def test_several_builds_have_a_folder_each_also_when_one_is_left_out(dest, export):
    exports = [export(name="a"), export(name="b", text="b"), export(ARM64, name="b")]
    ship(dest, exports, {AMD64: PASSED, ARM64: PASSED._replace(against="1 failed")})
    assert {name.rpartition("linux_amd64")[0] for name in names(dest) if "hello" in name} == {
        "a/",
        "b/",
    }
    assert checked(dest) == 4
    ship(dest, exports[:1], {AMD64: PASSED})
    assert not (dest / "a").exists()
    assert (dest / "linux_amd64/hello").exists()


def test_two_exports_of_one_name_are_written_if_they_are_the_same(dest, export):
    assert ship(dest, [export(), export()], {AMD64: PASSED}) == {}
    left_out = ship(dest, [export(), export(text="other")], {AMD64: PASSED})
    assert left_out == {AMD64: "two builds are called 'default', and differ"}


def test_a_build_that_failed_is_not_there(dest, export):
    left_out = ship(dest, [export()._replace(result=None)], {AMD64: PASSED})
    assert left_out == {AMD64: "nothing was built for its tests"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tree: (tree / "hello").write_bytes(b"other"), "hello: other size or mode"),
        (lambda tree: (tree / "hello").unlink(), "hello: No such file or directory"),
        (lambda tree: (tree / "hi").unlink(), "hi: No such file or directory"),
        (lambda tree: (tree / "back\\slash").write_text("TEXT"), "back\\slash: other content"),
    ],
)
def test_what_a_test_changed_is_not_written(dest, export, change, told):
    exported = export()
    change(exported.result / "tree")
    assert ship(dest, [exported], {AMD64: PASSED}) == {AMD64: f"a test changed {told}"}


def test_what_another_machine_has_is_left_out(dest, export, tmp_path):
    """xdist's workers may be elsewhere, and what they built with them."""
    far = Export(BuildName("default"), "gone/", None, ARM64, tmp_path / "elsewhere")
    left_out = ship(dest, [export(), far], {AMD64: PASSED, ARM64: PASSED})
    assert left_out == {ARM64: "tested on another machine, which has its files"}
    assert checked(dest) == 2


def test_what_a_test_left_behind_is_not_written(dest, export):
    exported = export()
    (exported.result / "tree/core").write_text("dumped")
    (exported.result / "tree/cache").mkdir()
    assert ship(dest, [exported], {AMD64: PASSED}) == {}
    assert not any("c" in name.partition("/")[2].replace("back\\slash", "") for name in names(dest))


# -- the folder that is written --------------------------------------------------------------------


def test_another_folder_s_files_are_not_written_among(dest, export, tmp_path):
    check_output(dest, "--dockerbin-output")
    dest.mkdir()
    check_output(dest, "--dockerbin-output")
    (dest / ".dockerbin-0123").mkdir()  # a session was killed
    check_output(dest, "--dockerbin-output")
    (dest / "notes").write_text("mine")
    with pytest.raises(SettingsError, match=r"--dockerbin-output: .* other files, such as 'notes'"):
        check_output(dest, "--dockerbin-output")
    with pytest.raises(SettingsError, match="is no folder"):
        check_output(dest / "notes", "--dockerbin-output")
    (dest / "dockerbin.json").write_text('{"schema": 7}')
    with pytest.raises(SettingsError, match="other files"):
        check_output(dest, "--dockerbin-output")
    (dest / "dockerbin.json").unlink()
    (dest / "notes").unlink()
    ship(dest, [export()], {AMD64: PASSED})
    check_output(dest, "--dockerbin-output")
    assert not list(dest.glob(".dockerbin-*"))


def test_files_that_were_put_beside_ours_stay(dest, export):
    exports = [export()]
    ship(dest, exports, {AMD64: PASSED})
    (dest / "notes").write_text("mine")
    (dest / "linux_arm64").mkdir()
    ship(dest, exports, {AMD64: PASSED})
    assert (dest / "notes").read_text() == "mine"
    with pytest.raises(FileExistsError):
        ship(dest, [*exports, export(ARM64)], {AMD64: PASSED, ARM64: PASSED})
    assert checked(dest) == 2  # as it was


def test_a_full_disk_leaves_what_was_there(dest, export, monkeypatch):
    exports = [export()]
    ship(dest, exports, {AMD64: PASSED})
    before = names(dest)

    def take(_source, staged, _record):
        raise OSError(errno.ENOSPC, "No space left on device", str(staged / "hello"))

    monkeypatch.setattr(shipping, "take", take)
    with pytest.raises(OSError, match="No space left"):
        ship(dest, exports, {AMD64: PASSED})
    assert names(dest) == before
    assert checked(dest) == 2


@pytest.mark.parametrize("count", range(6))
def test_one_that_was_cut_short_has_no_sums_and_is_written_anew(dest, export, monkeypatch, count):
    """Killed at whichever rename: nobody takes it for whole, and the next session may write it."""
    exports = [export(), export(ARM64)]
    verdicts = {AMD64: PASSED, ARM64: PASSED}
    ship(dest, exports, verdicts)
    (dest / "linux_amd64/old").write_text("old")
    renames = []

    def cut(rename):
        def cut_rename(path, target):
            if len(renames) == count:
                raise KeyboardInterrupt
            renames.append(target)
            return rename(path, target)

        return cut_rename

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", cut(Path.rename))
        patch.setattr(Path, "replace", cut(Path.replace))
        with pytest.raises(KeyboardInterrupt):
            ship(dest, exports, verdicts)
    assert not (dest / "SHA256SUMS").exists()
    check_output(dest, "--dockerbin-output")
    ship(dest, exports, verdicts)
    assert checked(dest) == 4
    assert not (dest / "linux_amd64/old").exists()
