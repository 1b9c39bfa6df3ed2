from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import threading
from pathlib import Path
from types import SimpleNamespace

import elf as make
import pytest

from pytest_dockerbin import prebuilt
from pytest_dockerbin import session as session_module
from pytest_dockerbin.build_name import BuildName
from pytest_dockerbin.build_settings import spec_of
from pytest_dockerbin.buildx import bake
from pytest_dockerbin.errors import (
    ArtifactError,
    NotPrebuiltError,
    SettingsError,
    StoreError,
    WrongPlatformError,
)
from pytest_dockerbin.manifest import FileRecord
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.prebuilt import Prebuilt
from pytest_dockerbin.session import Builder
from pytest_dockerbin.settings import Settings
from pytest_dockerbin.shipment import Index, Shipped, write_sums

AMD64 = Platform.parse("linux/amd64")
ARM64 = Platform.parse("linux/arm64")
DEFAULT = BuildName("default", "", ".")
TIME = 1_600_000_000_000_000_000

as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")


def fill(folder, machine=make.AMD64):
    """Make an export with programs, text, links and an empty folder; return its records."""
    contents = {"bin/hello": make.elf(machine), "share/text": b"text", "other": b"other"}
    records = []
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755 if name == "bin/hello" else 0o644)
        os.utime(path, ns=(TIME, TIME))
        digest = hashlib.sha256(data).hexdigest()
        mode = stat.S_IMODE(path.stat().st_mode)
        records.append(FileRecord(name=name, size=len(data), sha256=digest, mode=mode))
    for name, target in {"bin/hi": "hello", "hello": "bin/hi", "usr": "share"}.items():
        (folder / name).symlink_to(target)
        digest = hashlib.sha256(target.encode()).hexdigest()
        records.append(FileRecord(name=name, size=0, sha256=digest, mode=0o777, link=target))
    (folder / "empty").mkdir()
    return tuple(sorted(records, key=lambda record: record.name))


def shipped(build, platform, folder, files):
    return Shipped(
        build=build,
        label="project/",
        target=None,
        platform=platform,
        folder=folder,
        passed=1,
        skipped=0,
        files=files,
    )


def write(folder, parts):
    index = Index(tuple(parts))
    (folder / "dockerbin.json").write_text(index.write())
    (folder / "SHA256SUMS").write_text(write_sums(index.sums()))


@pytest.fixture
def folder(tmp_path):
    """What one build of two platforms is written as."""
    dist = tmp_path / "dist"
    machines = {AMD64: make.AMD64, ARM64: make.ARM64}
    write(
        dist,
        [
            shipped(DEFAULT, at, at.slug, fill(dist / at.slug, machine))
            for at, machine in machines.items()
        ],
    )
    return dist


@pytest.fixture
def copied(folder, tmp_path):
    def copy(build=DEFAULT, platform=AMD64):
        dest = tmp_path / "copy"
        shutil.rmtree(dest, ignore_errors=True)
        Prebuilt(folder).copy(build, platform, dest)
        return dest

    return copy


def shape(tree):
    """Return what a tree holds, as far as a test of it can tell."""
    return {
        str(path.relative_to(tree)): (
            str(path.readlink())
            if path.is_symlink()
            else path.is_dir() or (path.read_bytes(), path.stat().st_mode & 0o111, TIME)
        )
        for path in tree.rglob("*")
    }


# -- what is copied -------------------------------------------------------------------------------


def test_a_platform_is_copied_as_it_is(folder, copied):
    copy = copied()
    assert shape(copy) == shape(folder / "linux_amd64")
    assert (copy / "bin/hello").stat().st_mtime_ns == TIME


def test_the_folder_is_only_read(folder, copied):
    before = {path: path.lstat() for path in folder.rglob("*")}
    copied()
    after = {path: path.lstat() for path in folder.rglob("*")}
    assert [(path, facts.st_mtime_ns, facts.st_ino) for path, facts in after.items()] == [
        (path, facts.st_mtime_ns, facts.st_ino) for path, facts in before.items()
    ]


def test_modes_and_links_are_restored_after_an_upload(folder, copied):
    """A file stands where a link was, and no file is executable."""
    before = shape(folder / "linux_amd64")
    for name in ("bin/hi", "hello"):
        (folder / "linux_amd64" / name).unlink()
        shutil.copy(folder / "linux_amd64/bin/hello", folder / "linux_amd64" / name)
    (folder / "linux_amd64/bin/hello").chmod(0o644)
    assert shape(copied()) == before


def test_folders_that_docker_wrote_are_copied_unchecked(folder, copied):
    (folder / "SHA256SUMS").unlink()
    (folder / "dockerbin.json").unlink()
    (folder / "linux_amd64/more").write_text("more")
    assert not Prebuilt(folder).is_checked
    assert Prebuilt(folder).platforms() == (AMD64, ARM64)
    assert shape(copied()) == shape(folder / "linux_amd64")


def test_sums_alone_are_enough(folder, copied):
    """``sha256sum */* > SHA256SUMS`` in a folder that docker wrote; links may be among them."""
    (folder / "dockerbin.json").unlink()
    digest = hashlib.sha256(make.elf()).hexdigest()
    with (folder / "SHA256SUMS").open("a") as sums:
        sums.write(f"{digest}  ./linux_amd64/bin/hi\n")
    assert shape(copied()) == shape(folder / "linux_amd64")
    (folder / "linux_amd64/other").write_text("OTHER")
    with pytest.raises(ArtifactError, match="'linux_amd64/other' differs from its sum"):
        copied()


# -- what is refused ------------------------------------------------------------------------------


def damage_content(tree):
    (tree / "share/text").write_bytes(b"TEXT")


def remove_file(tree):
    (tree / "share/text").unlink()


def remove_link(tree):
    (tree / "bin/hi").unlink()


def remove_all(tree):
    shutil.rmtree(tree)


def add_file(tree):
    (tree / "share/more").write_bytes(b"")


def add_link(tree):
    (tree / "share/more").symlink_to("text")


def turn_link(tree):
    remove_link(tree)
    (tree / "bin/hi").symlink_to("../other")


def other_file_for_link(tree):
    remove_link(tree)
    (tree / "bin/hi").write_bytes(b"other")


def link_for_file(tree):
    remove_file(tree)
    (tree / "share/text").symlink_to("/etc/hostname")


def link_for_folder(tree):
    shutil.move(tree / "share", tree.parent / "elsewhere")
    (tree / "share").symlink_to(tree.parent / "elsewhere")


def pipe_for_file(tree):
    remove_file(tree)
    os.mkfifo(tree / "share/text")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (damage_content, "'linux_amd64/share/text' differs from its sum in SHA256SUMS"),
        (remove_file, "'linux_amd64/share/text' is missing"),
        (remove_link, "'linux_amd64/bin/hi' is missing"),
        (remove_all, "'linux_amd64/bin/hello' is missing"),
        (add_file, "'linux_amd64/share/more' is not in SHA256SUMS"),
        (add_link, "'linux_amd64/share/more' is not in dockerbin.json"),
        (turn_link, "'linux_amd64/bin/hi' is a link to '../other', and not in dockerbin.json"),
        (other_file_for_link, "'linux_amd64/bin/hi' differs from its sum in SHA256SUMS"),
        (link_for_file, "'linux_amd64/share/text' is a link to '/etc/hostname', and not in "),
        (link_for_folder, "'linux_amd64/share' is not in dockerbin.json"),
        (pipe_for_file, "'linux_amd64/share/text' is no file, link or folder"),
    ],
)
def test_a_changed_folder_is_refused_and_what_changed_is_named(folder, copied, change, told):
    change(folder / "linux_amd64")
    with pytest.raises(ArtifactError) as caught:
        copied()
    beginning = f"the prebuilt folder {str(folder)!r} can't be used for linux/amd64: "
    assert caught.value.summary.startswith(beginning + told)
    assert copied(platform=ARM64).is_dir()  # the other platform is whole


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("SHA256SUMS", None, "'SHA256SUMS' is missing"),
        ("SHA256SUMS", "what?\n", "'SHA256SUMS' can't be read: line 1 is no checksum and name"),
        ("dockerbin.json", "{}", "'dockerbin.json' can't be read: not what --dockerbin-output"),
        ("dockerbin.json", b"\xff", "'dockerbin.json' can't be read: 'utf-8' codec"),
    ],
)
def test_a_folder_that_was_cut_short_is_refused(folder, copied, name, text, told):
    (folder / name).unlink()
    if text is not None:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ArtifactError) as caught:
        copied()
    assert told in caught.value.summary


@as_user
def test_a_folder_that_may_not_be_read_is_refused(folder, copied):
    (folder / "linux_amd64/bin").chmod(0)
    with pytest.raises(ArtifactError, match="'linux_amd64/bin' can't be read: Permission denied"):
        copied()


# -- what is not there ----------------------------------------------------------------------------


@pytest.mark.parametrize("bare", [False, True])
def test_a_platform_that_is_not_there_is_unavailable(folder, copied, bare):
    if bare:
        (folder / "SHA256SUMS").unlink()
        (folder / "dockerbin.json").unlink()
    with pytest.raises(NotPrebuiltError) as caught:
        copied(platform=Platform.parse("linux/s390x"))
    has = "has nothing for linux/s390x; it has linux/amd64, linux/arm64"
    assert caught.value.summary == f"the prebuilt folder {str(folder)!r} {has}"


def test_several_builds_are_told_apart_by_their_names(tmp_path):
    dist = tmp_path / "dist"
    names = [BuildName("a"), BuildName("b", "11111111"), BuildName("b", "22222222")]
    parts = []
    for name in names:
        files = fill(dist / str(name) / "linux_amd64")
        parts.append(shipped(name, AMD64, f"{name}/linux_amd64", files))
    write(dist, parts)
    prebuilt = Prebuilt(dist)
    for number, name in enumerate(names):
        prebuilt.copy(name, AMD64, tmp_path / str(number))
    prebuilt.copy(BuildName("a", "33333333"), AMD64, tmp_path / "other arguments")
    for name in (BuildName("b", "33333333"), BuildName("b"), BuildName("c"), DEFAULT):
        with pytest.raises(NotPrebuiltError) as caught:
            prebuilt.copy(name, AMD64, tmp_path / "never")
        told = f"has no build {str(name)!r} for linux/amd64; it has a for linux/amd64, b-11111111"
        assert told in caught.value.summary


def test_a_build_is_not_taken_for_another_of_its_name(tmp_path):
    dist = tmp_path / "dist"
    there = BuildName("server-bin", "", "server --target bin")
    write(dist, [shipped(there, AMD64, "linux_amd64", fill(dist / "linux_amd64"))])
    with pytest.raises(NotPrebuiltError) as caught:
        Prebuilt(dist).copy(BuildName("server-bin", "", "server-bin"), AMD64, tmp_path / "never")
    told = (
        "has no build 'server-bin (server-bin)' for linux/amd64; "
        "it has server-bin (server --target bin) for linux/amd64"
    )
    assert caught.value.summary == f"the prebuilt folder {str(dist)!r} {told}"


# -- at the start ---------------------------------------------------------------------------------


def test_what_is_no_prebuilt_folder_is_said_at_the_start(tmp_path, folder):
    Prebuilt(folder).check("--dockerbin-prebuilt")
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "hello").write_text("as docker build --output writes one platform")
    for place, told in (
        (tmp_path / "none", f"there is no folder '{tmp_path}/none'"),
        (flat / "hello", f"there is no folder '{flat}/hello'"),
        (flat, f"'{flat}' holds no platform's folder, such as linux_amd64"),
    ):
        with pytest.raises(SettingsError) as caught:
            Prebuilt(place).check("--dockerbin-prebuilt")
        assert caught.value.summary == f"--dockerbin-prebuilt: {told}"


# -- in a session ---------------------------------------------------------------------------------


def builder(folder, tmp_path):
    return Builder(Settings(prebuilt=folder, cache_dir=tmp_path / "cache", project=PROJECT))


PROJECT = Path("/gone")
SPEC = spec_of({"context": PROJECT}, built=False)


def test_a_builder_builds_nothing_then(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with builder(folder, tmp_path) as session:
        artifact = session.build(SPEC, ARM64)
        assert artifact.build.source == "prebuilt"
        assert artifact.binary().path.name == "hello"
        assert artifact.path.is_relative_to(tmp_path / "cache")
        artifact.binary().path.write_text("changed by a test")
        session.mend(ARM64)
        assert artifact.binary().path.read_bytes() == make.elf(make.ARM64)


def test_a_prebuilt_export_is_trusted_no_more_than_a_build_s(folder, tmp_path):
    """Its sums are right, and it is another architecture's."""
    shutil.rmtree(folder / "linux_arm64")
    write(folder, [shipped(DEFAULT, ARM64, "linux_arm64", fill(folder / "linux_arm64"))])
    told = "'bin/hello', exported for linux/arm64, is a 64-bit amd64 ELF file"
    with builder(folder, tmp_path) as session, pytest.raises(WrongPlatformError, match=told):
        session.build(SPEC, ARM64)


def test_auto_is_every_platform_that_is_there_and_runs_here(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with builder(folder, tmp_path) as session:
        assert Platform.host() in session.auto_platforms()
        assert set(session.auto_platforms()) <= {AMD64, ARM64}


def test_nothing_that_is_prebuilt_is_built_again(folder, tmp_path):
    with builder(folder, tmp_path) as session:
        artifact = session.build(SPEC, ARM64)
        with pytest.raises(NotPrebuiltError) as caught:
            artifact.assert_reproducible()
    assert caught.value.summary == (
        "assert_reproducible builds, and with --dockerbin-prebuilt nothing is built"
    )


def test_a_disk_that_fails_while_it_is_copied_is_told(folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Prebuilt, "copy", full)
    with builder(folder, tmp_path) as session, pytest.raises(StoreError, match="No space left"):
        session.build(SPEC, ARM64)


def test_what_another_process_mended_meanwhile_is_left_as_it_is(folder, tmp_path, monkeypatch):
    with builder(folder, tmp_path) as session:
        program = session.build(SPEC, ARM64).binary().path
        program.write_text("changed by a test")
        real, asked = session_module.changed, []

        def changed(tree, stamps):
            asked.append(tree)
            if len(asked) == 2:  # under the lock
                program.write_text("mended by another process")
                return []
            return real(tree, stamps)

        monkeypatch.setattr(session_module, "changed", changed)
        session.mend(ARM64)
        assert len(asked) == 2
        assert program.read_text() == "mended by another process"


def test_what_a_thread_builds_is_told_in_the_thread_of_the_builder(folder, tmp_path):
    warned = []
    with builder(folder, tmp_path) as session:
        session._warnings.append("careful")
        session._warn = warned.append
        thread = threading.Thread(target=lambda: session.build(SPEC, ARM64))
        thread.start()
        thread.join()
        assert warned == []
        session.build(SPEC, ARM64)
        assert warned == ["careful"]


def test_a_bake_target_is_not_what_a_build_with_equal_settings_is(folder, tmp_path, monkeypatch):
    """Though bake can be asked: in the folder each has its name."""
    project = tmp_path / "app"
    project.mkdir()
    (project / "Dockerfile").write_text("FROM scratch")
    files = (project / "docker-bake.hcl",)
    files[0].write_text('target "app" {}')
    printed = {"group": {"default": {"targets": ["app"]}}, "target": {"app": {}}}
    monkeypatch.setattr(bake, "print_definition", lambda *_: printed)
    settings = Settings(prebuilt=folder, cache_dir=tmp_path / "cache", project=project)
    with Builder(settings) as session:
        with pytest.raises(NotPrebuiltError, match="has no build 'app' for linux/amd64"):
            session.build(session.baking.targets(files, "app").spec("app", {}), AMD64)
        plain = spec_of({"context": project}, built=False)
        assert session.build(plain, AMD64).build.source == "prebuilt"


def with_argument(value):
    return spec_of({"context": PROJECT, "build_args": (("VERSION", value),)}, built=False)


@pytest.mark.parametrize("planned", [True, False])
def test_one_build_serves_one_of_those_that_differ_in_arguments(tmp_path, planned):
    """The one that is there, where it is known in time that it is asked for, else the first."""
    there, other = with_argument("1"), with_argument("2")
    names = [BuildName.of(spec, PROJECT) for spec in (there, other)]
    dist = tmp_path / "dist"
    write(dist, [shipped(names[0], at, at.slug, fill(dist / at.slug)) for at in (AMD64,)])
    with builder(dist, tmp_path) as session:
        if planned:
            session.begin({(other, AMD64): False, (there, AMD64): False})
        served, refused = (there, other) if planned else (other, there)
        if planned:
            with pytest.raises(NotPrebuiltError):
                session.build(refused, AMD64)
        assert session.build(served, AMD64).build.source == "prebuilt"
        with pytest.raises(NotPrebuiltError) as caught:
            session.build(refused, AMD64)
    told = f"has one build, {names[0]}, where the tests ask for several: "
    told += ", ".join(sorted(map(str, names)))
    assert caught.value.summary == f"the prebuilt folder {str(dist)!r} {told}"


def test_processes_of_a_session_share_one_build_only_if_they_ask_for_the_same(tmp_path):
    dist = tmp_path / "dist"
    write(dist, [shipped(DEFAULT, AMD64, "linux_amd64", fill(dist / "linux_amd64"))])
    settings = Settings(prebuilt=dist, cache_dir=tmp_path / "cache", project=PROJECT)
    with Builder(settings, session="one") as first, Builder(settings, session="one") as second:
        first.build(with_argument("1"), AMD64)
        second.build(with_argument("1"), AMD64)
        with pytest.raises(NotPrebuiltError, match="has one build, default, where the tests ask"):
            second.build(with_argument("2"), AMD64)
    with builder(dist, tmp_path) as later:
        later.build(with_argument("2"), AMD64)


def test_a_file_that_can_t_be_read_is_named(folder, copied, monkeypatch):
    real = os.open

    def closed(path, *args, **given):
        if str(path).endswith("share/text"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *args, **given)

    monkeypatch.setattr(os, "open", closed)
    with pytest.raises(ArtifactError, match="'linux_amd64/share/text' can't be read: Permission"):
        copied()


def test_links_in_a_circle_have_no_sum(folder):
    records = {
        name: FileRecord(name=name, size=0, sha256="", mode=0o777, link=target)
        for name, target in {"a": "b", "b": "a"}.items()
    }
    found = SimpleNamespace(records=records, sums={})
    place = next(kind for kind in vars(prebuilt).values() if hasattr(kind, "_digest_behind"))
    assert place._digest_behind(found, "a") is None
