from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from types import SimpleNamespace

import elf as make
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linked import SHT_NOBITS, SHT_PROGBITS, Linked

from pytest_dockerbin.errors import (
    ArtifactError,
    BuildError,
    DockerbinError,
    StoreError,
    WrongPlatformError,
)
from pytest_dockerbin.export import Gauge, seal
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.settings import Limits

AMD64 = Platform.parse("linux/amd64")
ARM64 = Platform.parse("linux/arm64")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make such files")


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


def put(path, data=b"text", mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


def sealed(tree, platform=AMD64, *, verify="platform", **limits):
    return {f.name: f for f in seal(tree, platform, verify=verify, limits=Limits(**limits))}


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


# -- what is recorded -----------------------------------------------------------------------------


def test_every_file_is_recorded_and_sorted_by_name(tree):
    put(tree / "bin" / "hello", make.elf(), 0o755)
    put(tree / "README", b"read me")
    put(tree / "lib" / "lib.so", make.elf(kind=make.ET_DYN), 0o755)
    (tree / "empty").mkdir()
    (tree / "bin" / "hi").symlink_to("hello")
    files = seal(tree, AMD64, verify="platform")
    assert [file.name for file in files] == ["README", "bin/hello", "bin/hi", "lib/lib.so"]
    readme, hello, link, library = files
    assert (readme.size, readme.mode, readme.program, readme.link) == (7, 0o644, False, None)
    assert readme.sha256 == hashlib.sha256(b"read me").hexdigest()
    assert (hello.mode, hello.program) == (0o755, True)
    assert (link.size, link.mode, link.link, link.program) == (0, 0o777, "hello", False)
    assert (library.mode, library.program) == (0o755, False)


def test_large_files_have_their_digests_too(tree):
    files = {f"large-{n}": bytes([n]) * (2**20 + n) for n in range(9)} | {"small": b"small"}
    for name, data in files.items():
        put(tree / name, data)
    before = set(Path("/proc/self/fd").iterdir())
    digests = {name: file.sha256 for name, file in sealed(tree).items()}
    assert digests == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_a_large_file_that_cannot_be_read_is_an_error(tree, monkeypatch):
    put(tree / "large", bytes(2**20))

    def fails(file, name):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("pytest_dockerbin.digests.hashlib.file_digest", fails)
        with pytest.raises(OSError, match="Input/output"):
            sealed(tree)
    assert sealed(tree)["large"].sha256 == hashlib.sha256(bytes(2**20)).hexdigest()


def test_an_executable_without_the_x_bit_is_no_program(tree):
    put(tree / "hello", make.elf(), 0o644)
    assert not sealed(tree)["hello"].program


def test_an_empty_export_is_an_error(tree):
    (tree / "folders" / "only").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="the build for linux/amd64 exported nothing"):
        sealed(tree)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (0o600, 0o644),
        (0o444, 0o644),
        (0o666, 0o644),
        (0o000, 0o644),
        (0o700, 0o755),
        (0o111, 0o755),
        (0o4755, 0o755),
        (0o2755, 0o755),
        (0o6711, 0o755),
        (0o1777, 0o755),
        (0o4644, 0o644),
    ],
)
def test_modes_become_uniform_and_no_setuid_bit_survives(tree, before, after):
    put(tree / "file", mode=before)
    assert sealed(tree)["file"].mode == after
    assert mode(tree / "file") == after


def test_folders_can_be_entered_by_everybody(tree):
    put(tree / "a" / "b" / "file")
    for folder in (tree / "a" / "b", tree / "a", tree):
        folder.chmod(0o2700)
    sealed(tree)
    assert [mode(tree), mode(tree / "a"), mode(tree / "a" / "b")] == [0o755] * 3


def test_modification_times_stay(tree):
    os.utime(put(tree / "file"), ns=(1, 1_500_000_000_123_456_789))
    os.utime(put(tree / "linked"), ns=(1, 1_400_000_000_000_000_000))
    os.link(tree / "linked", tree / "other")
    sealed(tree)
    assert (tree / "file").stat().st_mtime_ns == 1_500_000_000_123_456_789
    assert (tree / "linked").stat().st_mtime_ns == 1_400_000_000_000_000_000
    assert (tree / "other").stat().st_mtime_ns == 1_400_000_000_000_000_000


def test_extended_attributes_are_dropped(tree):
    put(tree / "folder" / "file")
    for path in (tree, tree / "folder", tree / "folder" / "file"):
        os.setxattr(path, "user.secret", b"x")
    sealed(tree)
    for path in (tree, tree / "folder", tree / "folder" / "file"):
        assert os.listxattr(path) == []


def test_an_attribute_that_the_host_insists_on_is_no_error(tree, monkeypatch):
    """SELinux gives every file a label and lets nobody take it away."""
    put(tree / "file")

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "listxattr", lambda _: ["security.selinux"])
    monkeypatch.setattr(os, "removexattr", refuse)
    assert list(sealed(tree)) == ["file"]


def test_a_file_system_without_attributes_is_no_error(tree, monkeypatch):
    put(tree / "file")

    def unsupported(_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "listxattr", unsupported)
    assert list(sealed(tree)) == ["file"]


@as_root
def test_file_capabilities_are_dropped(tree):
    capabilities = bytes.fromhex("0100000200200000000000000000000000000000")
    os.setxattr(put(tree / "file", mode=0o755), "security.capability", capabilities)
    sealed(tree)
    assert os.listxattr(tree / "file") == []


def test_hard_links_become_files_of_their_own(tree):
    put(tree / "one", b"same", 0o755)
    os.link(tree / "one", tree / "two")
    os.link(tree / "one", tree / "three")
    files = sealed(tree)
    assert {file.sha256 for file in files.values()} == {hashlib.sha256(b"same").hexdigest()}
    assert {path.stat().st_nlink for path in tree.iterdir()} == {1}
    assert {mode(path) for path in tree.iterdir()} == {0o755}
    assert {path.name for path in tree.iterdir()} == {"one", "two", "three"}


def test_a_file_named_like_a_copy_of_a_hard_link_is_kept(tree):
    put(tree / "one", b"linked")
    os.link(tree / "one", tree / "two")
    for name in (".one.copy", ".two.copy"):
        put(tree / name, b"mine")
    assert set(sealed(tree)) == {"one", "two", ".one.copy", ".two.copy"}
    assert (tree / ".one.copy").read_bytes() == b"mine"


def test_a_hard_link_may_have_the_longest_name_there_is(tree):
    put(tree / ("x" * 255))
    os.link(tree / ("x" * 255), tree / ("y" * 255))
    assert set(sealed(tree)) == {"x" * 255, "y" * 255}


def test_a_folder_of_very_many_hard_links_is_read_once(tree):
    """A folder that is changed while it is read may name a file twice, or one that has gone."""
    put(tree / "0000", b"same")
    for number in range(1, 3000):
        os.link(tree / "0000", tree / f"{number:04}")
    files = seal(tree, AMD64, verify="platform")
    assert [file.name for file in files] == [f"{number:04}" for number in range(3000)]


# -- what is refused ------------------------------------------------------------------------------


def refused(tree, message, **given):
    with pytest.raises(ArtifactError) as caught:
        sealed(tree, **given)
    assert caught.value.summary == f"the export for linux/amd64 can't be used: {message}"
    return caught.value


def test_a_named_pipe_is_refused_and_not_opened(tree):
    os.mkfifo(tree / "pipe")
    refused(tree, "'pipe' is a named pipe")


def test_a_socket_is_refused(tree, monkeypatch):
    monkeypatch.chdir(tree)  # a socket's path may have 107 bytes only
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        refused(tree, "'socket' is a socket")


@as_root
@pytest.mark.parametrize(
    ("kind", "words"), [(stat.S_IFCHR, "character device"), (stat.S_IFBLK, "block device")]
)
def test_a_device_is_refused_and_not_opened(tree, kind, words):
    (tree / "dev").mkdir()
    os.mknod(tree / "dev" / "x", kind | 0o666, os.makedev(1, 3))
    refused(tree, f"'dev/x' is a {words}")


@pytest.mark.parametrize("name", [b"a\nb", b"\x1b[2J", b"caf\xe9", b"\x7f", b"\xe2\x80\xae.txt"])
def test_a_name_that_could_drive_a_terminal_is_refused(tree, name):
    Path(os.fsdecode(bytes(tree) + b"/" + name)).touch()
    with pytest.raises(ArtifactError, match="has control characters or bytes that are") as caught:
        sealed(tree)
    assert caught.value.summary.isprintable()


def test_a_name_of_any_language_is_kept(tree):
    put(tree / "größe" / "Ω 字")
    assert set(sealed(tree)) == {"größe/Ω 字"}


def test_the_caps_on_an_export(tree):
    for name in ("a", "b", "c"):
        put(tree / name, b"x" * 10)
    sealed(tree, files=3, size=30)
    with pytest.raises(ArtifactError, match="is too large: more than 2 files"):
        sealed(tree, files=2)
    with pytest.raises(ArtifactError, match="is too large: more than 29 bytes"):
        sealed(tree, size=29)


def test_a_sparse_file_counts_with_its_length_and_is_not_read(tree):
    with (tree / "sparse").open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(ArtifactError, match="is too large: more than 2147483648 bytes"):
        sealed(tree)


def test_a_deep_tree_is_refused_beyond_the_cap(tree):
    put(tree / "d/d/d/file")
    assert set(sealed(tree, depth=3)) == {"d/d/d/file"}
    with pytest.raises(ArtifactError, match="is too large: more than 2 folders deep"):
        sealed(tree, depth=2)


def test_a_tree_deeper_than_any_path_may_be_is_refused(tree):
    at = os.open(tree, os.O_RDONLY)
    for _ in range(100):
        os.mkdir("d" * 100, dir_fd=at)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    with pytest.raises(ArtifactError, match="more than 64 folders deep"):
        sealed(tree)
    shutil.rmtree(tree)  # pytest's own cleaning can't go that deep


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/etc/passwd", "outside the export"),
        ("/bin/hello", "outside the export"),
        ("..", "outside the export or in a circle"),
        ("../../etc/passwd", "outside the export or in a circle"),
        ("../outside", "outside the export or in a circle"),
        ("dir/../../outside", "outside the export or in a circle"),
        ("up/../outside", "outside the export or in a circle"),
        ("link", "outside the export or in a circle"),
        ("./dir/../link", "outside the export or in a circle"),
        ("missing", "which was not exported"),
        ("file/", "which was not exported"),
        ("file/.", "which was not exported"),
        ("file/..", "which was not exported"),
        ("missing/../file", "which was not exported"),
    ],
)
def test_a_link_that_leads_nowhere_inside_is_refused(tree, tmp_path, target, why):
    put(tmp_path / "outside")
    put(tree / "file")
    put(tree / "dir" / "inner")
    (tree / "up").symlink_to("dir/..")
    (tree / "link").symlink_to(target)
    error = refused(tree, f"'link' links to {target!r}, {why}")
    assert (error.hint == "make the link relative") is target.startswith("/")


@pytest.mark.parametrize(
    "target", ["file", "./file", "dir/../file", "dir", "dir/", ".", "up/file", "dir//inner"]
)
def test_a_link_that_stays_inside_is_kept_as_it_is(tree, target):
    put(tree / "file")
    put(tree / "dir" / "inner")
    (tree / "up").symlink_to("dir/..")
    (tree / "link").symlink_to(target)
    assert sealed(tree)["link"].link == target
    assert os.readlink(tree / "link") == target  # noqa: PTH115 (pathlib takes ./ out)


def test_links_are_followed_as_often_as_the_kernel_does(tree):
    put(tree / "link0")
    for number in range(1, 41):
        (tree / f"link{number}").symlink_to(f"link{number - 1}")
    assert (tree / "link40").exists()
    assert len(sealed(tree)) == 41
    (tree / "link41").symlink_to("link40")
    with pytest.raises(ArtifactError, match="'link41' links to 'link40'"):
        sealed(tree)


NAMES = ["a", "b", "c"]
LINK_TARGETS = st.lists(st.sampled_from([*NAMES, ".", "..", ""]), min_size=1, max_size=5).map(
    "/".join
)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux where a link ends")
@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join),
        st.sampled_from(["file", "folder"]) | LINK_TARGETS.filter(bool),
        min_size=1,
        max_size=7,
    )
)
def test_links_are_judged_as_the_file_system_follows_them(plan):
    """The oracle is the kernel: a link is good if it can be followed and its end is inside."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "tree"
        root.mkdir()
        put(root / "x")
        for name, what in sorted(plan.items()):
            path = root / name
            try:
                if what == "file":
                    put(path)
                elif what == "folder":
                    path.mkdir(parents=True, exist_ok=True)
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.symlink_to(what)
            except OSError:  # below a file, through a link that leads nowhere, or there already
                continue
        outside = [path for path in root.parent.rglob("*") if not path.is_relative_to(root)]
        if outside:
            return  # a link led the plan itself out of the tree
        ends = [_end(path) for path in root.rglob("*") if path.is_symlink()]
        good = all(end is not None and end.is_relative_to(root) for end in ends)
        try:
            seal(root, AMD64, verify=False)
        except ArtifactError:
            sealed_too = False
        else:
            sealed_too = True
        if good != sealed_too:
            # refused, although it can be followed: its way leads through the tree's parent, so
            # it depends on the name that the tree happens to have
            assert good
            assert _leaves(root)


def _end(link):
    try:
        descriptor = os.open(link, os.O_PATH)
    except OSError:
        return None
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    finally:
        os.close(descriptor)


def _leaves(root):
    """Tell whether a link of the tree leads out of it on its way, component by component."""
    for path in root.rglob("*"):
        if path.is_symlink():
            at, rest = path.parent.resolve(), path.readlink().as_posix().split("/")
            while rest:
                at = at / rest.pop(0)
                if at.is_symlink():
                    rest = at.readlink().as_posix().split("/") + rest
                    at = at.parent
                at = Path(os.path.normpath(at))
                if not at.is_relative_to(root):
                    return True
    return False


# -- nothing outside ------------------------------------------------------------------------------


def test_nothing_outside_is_touched_or_read(tree, tmp_path):
    secret = put(tmp_path / "secret", b"secret", 0o600)
    folder = tmp_path / "folder"
    put(folder / "inner", b"inner", 0o600)
    folder.chmod(0o700)
    os.link(secret, tree / "hard")
    (tree / "soft").symlink_to("../secret")
    (tree / "dir").symlink_to("../folder")
    (tree / "dangling").symlink_to("../made-by-us")
    before = {p: (mode(p), p.stat().st_mtime_ns) for p in (secret, folder, folder / "inner")}
    with pytest.raises(ArtifactError, match="outside the export"):
        sealed(tree)
    assert {p: (mode(p), p.stat().st_mtime_ns) for p in before} == before
    assert secret.read_bytes() == b"secret"
    assert secret.stat().st_nlink == 1
    assert not (tmp_path / "made-by-us").exists()


def test_a_tree_that_is_a_link_itself_is_not_followed(tree, tmp_path):
    put(tree / "file", mode=0o600)
    (tmp_path / "link").symlink_to(tree)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        sealed(tmp_path / "link")
    assert mode(tree / "file") == 0o600


def test_no_descriptor_is_left_open(tree):
    put(tree / "a" / "b" / "c" / "file")
    os.mkfifo(tree / "a" / "b" / "c" / "pipe")
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(ArtifactError):
        sealed(tree)
    assert set(Path("/proc/self/fd").iterdir()) == before


def _seal_as_nobody(tree, answers):
    os.setgid(65534)
    os.setuid(65534)
    try:
        answers.put(sorted(file.name for file in seal(tree, AMD64, verify="platform")))
    except BaseException as error:  # noqa: BLE001 (told to the parent)
        answers.put(repr(error))


@as_root
def test_a_user_who_is_not_root_can_seal_what_nobody_may_read():
    """Root reads whatever the mode; so the work is done by a process of another user."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        tree = Path(name) / "tree"
        put(tree / "closed" / "file", mode=0o000)
        put(tree / "linked", mode=0o000)
        os.link(tree / "linked", tree / "twin")
        put(tree / "readable-folder" / "file", mode=0o4711)
        for path in [tree, *tree.rglob("*")]:
            os.chown(path, 65534, 65534)
        (tree / "closed").chmod(0o000)
        (tree / "readable-folder").chmod(0o400)
        context = multiprocessing.get_context("spawn")
        answers = context.Queue()
        process = context.Process(target=_seal_as_nobody, args=(tree, answers))
        process.start()
        answer = answers.get(timeout=60)
        process.join()
    assert answer == ["closed/file", "linked", "readable-folder/file", "twin"]


# -- executables ----------------------------------------------------------------------------------


def test_an_executable_of_another_platform_is_refused(tree):
    put(tree / "hello", make.elf(make.AMD64), 0o755)
    with pytest.raises(WrongPlatformError) as caught:
        sealed(tree, ARM64)
    assert caught.value.summary == (
        "'hello', exported for linux/arm64, is a 64-bit amd64 ELF file; expected an arm64 ELF file"
    )


def test_several_are_refused_by_the_name_of_the_first(tree):
    for name in ("c", "a", "b"):
        put(tree / name, make.elf(make.AMD64), 0o755)
    with pytest.raises(WrongPlatformError, match=r"^'a', .* ELF file \(and 2 more files\); "):
        sealed(tree, ARM64)


def test_a_library_of_another_platform_is_refused_too(tree):
    put(tree / "lib.so", make.elf(make.AMD64, kind=make.ET_DYN), 0o644)
    with pytest.raises(WrongPlatformError):
        sealed(tree, ARM64)


def test_what_is_no_executable_is_never_refused(tree):
    put(tree / "run.sh", b"#!/bin/sh\n", 0o755)
    put(tree / "main.o", make.elf(kind=make.ET_REL))
    put(tree / "cut", make.elf()[:40], 0o755)
    put(tree / "empty", b"", 0o755)
    assert not any(file.program for file in sealed(tree, ARM64).values())


@pytest.mark.parametrize("mode", [0o755, 0o644])
@pytest.mark.parametrize(
    ("name", "machine", "bits", "order"),
    [("amd64", 62, 64, "<"), ("386", 3, 32, "<"), ("s390x", 22, 64, ">")],
)
def test_a_program_that_is_cut_short_is_refused(tree, name, machine, bits, order, mode):
    """The kernel starts it, and it dies of a signal somewhere."""
    platform = Platform.parse(name)
    data = bytes(Linked(machine=machine, bits=bits, order=order))
    put(tree / "hello", data[:-1], mode)
    with pytest.raises(ArtifactError) as caught:
        sealed(tree, platform)
    assert caught.value.summary == (
        f"the export for {platform} can't be used: 'hello' is cut short: "
        f"{len(data) - 1} bytes, its headers name {len(data)}"
    )
    assert set(sealed(tree, platform, verify=False)) == {"hello"}
    put(tree / "hello", data, mode)
    assert set(sealed(tree, platform)) == {"hello"}


@pytest.mark.parametrize("bits", [32, 64])
def test_debug_information_in_a_file_of_its_own_is_not_cut_short(tree, bits):
    """In it eu-strip leaves the program headers as they were."""
    platform, facts = Platform.parse("386" if bits == 32 else "amd64"), {"loaded": 1 << 20}
    facts |= {"bits": bits, "machine": 3 if bits == 32 else 62}
    put(tree / "hello.debug", bytes(Linked(code=SHT_NOBITS, **facts)), 0o755)
    assert set(sealed(tree, platform)) == {"hello.debug"}
    put(tree / "hello.debug", bytes(Linked(code=SHT_PROGBITS, **facts)), 0o755)
    with pytest.raises(ArtifactError, match=r"'hello.debug' is cut short: \d+ bytes, .* 1048576$"):
        sealed(tree, platform)


def test_verification_can_be_switched_off(tree):
    put(tree / "hello", make.elf(make.AMD64), 0o755)
    assert set(sealed(tree, ARM64, verify=False)) == {"hello"}


def test_a_program_that_needs_a_loader_is_refused_where_static_ones_were_asked_for(tree):
    put(tree / "hello", make.elf(interpreter="/lib/ld.so"), 0o755)
    assert set(sealed(tree, verify="platform")) == {"hello"}
    error = refused(
        tree, "'hello' is not static: it needs the loader '/lib/ld.so'", verify="static"
    )
    assert error.hint == 'link statically, or set verify="platform"'


@pytest.mark.parametrize(
    "data",
    [make.elf(), make.elf(kind=make.ET_DYN, dynamic=[(make.DT_FLAGS_1, make.DF_1_PIE)])],
    ids=["static", "static-pie"],
)
def test_a_static_program_is_what_was_asked_for(tree, data):
    put(tree / "hello", data, 0o755)
    assert sealed(tree, verify="static")["hello"].program


def test_a_terminal_escape_in_a_loader_s_name_does_not_reach_the_message(tree):
    put(tree / "hello", make.elf(interpreter="/lib/\x1b[2J"), 0o755)
    with pytest.raises(DockerbinError) as caught:
        sealed(tree, verify="static")
    assert caught.value.summary.isprintable()


# -- a full disk ----------------------------------------------------------------------------------


@pytest.fixture
def gauge(tmp_path, monkeypatch):
    """A gauge, and a way to say how many blocks of 1 MiB its disk has left."""
    left = {"blocks": 1000, "files": 10**6}

    def statvfs(_):
        return SimpleNamespace(
            f_bavail=left["blocks"],
            f_bfree=left["blocks"],
            f_frsize=2**20,
            f_ffree=left["files"],
        )

    monkeypatch.setattr("os.statvfs", statvfs)
    return Gauge(tmp_path / "tree", AMD64, Limits()), left


def test_an_export_that_nearly_fills_its_disk_is_ended(gauge, tmp_path):
    measure, left = gauge
    measure.check()
    left["blocks"] = 63
    with pytest.raises(StoreError) as caught:
        measure.check()
    assert caught.value.summary == (
        "the export for linux/amd64 was ended: only 63 MiB are left on the disk of "
        f"{str(tmp_path)!r}"
    )


def test_of_a_small_disk_half_may_be_taken(gauge, tmp_path):
    _, left = gauge
    left["blocks"] = 63
    measure = Gauge(tmp_path / "tree", AMD64, Limits())
    left["blocks"] = 32
    measure.check()
    left["blocks"] = 30
    with pytest.raises(StoreError, match="only 30 MiB are left"):
        measure.check()


def test_a_full_disk_explains_a_failed_export_and_no_failed_step(gauge, tmp_path):
    measure, left = gauge
    canceled = BuildError("build failed: error from receiver: context canceled")
    step = BuildError("build failed: RUN make", hint="as it was", place=("Dockerfile", 1))
    measure.explain(canceled)
    assert canceled.hint is None
    left["blocks"] = 0
    for error in (canceled, step):
        measure.explain(error)
    assert canceled.hint == (
        f"only 0 MiB are left on the disk of {str(tmp_path)!r}: free space there, or name another "
        "folder: --dockerbin-cache-dir=DIR"
    )
    assert step.hint == "as it was"


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (Limits(size=10), "more than 10 bytes"),
        (Limits(files=3), "more than 3 files"),
        (Limits(), ""),
    ],
)
def test_an_export_is_counted_once_the_disk_tells_that_much_was_written(gauge, tree, limits, most):
    _, left = gauge
    measure = Gauge(tree, AMD64, limits)
    for name in "abcd":
        put(tree / name, b"text")
    measure.check()  # by others, or not yet on the disk
    left["blocks"] -= 100
    left["files"] -= 100
    if not most:
        measure.check()
        return
    with pytest.raises(ArtifactError) as caught:
        measure.check()
    assert most in caught.value.summary


def test_a_disk_on_which_others_write_ends_no_small_export(gauge, tree):
    _, left = gauge
    measure = Gauge(tree, AMD64, Limits(size=10, files=3))
    put(tree / "a", b"text")
    left["blocks"] -= 100
    measure.check()


def test_nothing_is_measured_where_the_system_tells_no_free_space(tree, monkeypatch):
    monkeypatch.delattr("os.statvfs")
    measure = Gauge(tree, AMD64, Limits(size=10))
    put(tree / "a", b"text" * 10)
    measure.check()
    error = BuildError("build failed: error from receiver: context canceled")
    measure.explain(error)
    assert error.hint is None
