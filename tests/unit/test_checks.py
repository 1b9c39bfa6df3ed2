from __future__ import annotations

import traceback

import linked
import pytest
from elf import ET_EXEC
from linked import Linked, Need

from pytest_dockerbin.artifact import Binary
from pytest_dockerbin.errors import ArtifactError, SettingsError
from pytest_dockerbin.platforms import Platform

AMD64 = Platform.parse("linux/amd64")
STATIC = Linked(kind=ET_EXEC, interpreter=None, dynamic=False)
HARDENED = Linked(tags=((linked.DT_BIND_NOW, 0),), unversioned=("__stack_chk_fail",))
GLIBC = Linked(
    needed=("libm.so.6", "libc.so.6"),
    needs=(
        Need("libc.so.6", "GLIBC_2.4", ("memcpy",)),
        Need("libc.so.6", "GLIBC_2.34", ("__libc_start_main", "dlopen")),
        Need("libm.so.6", "GLIBC_2.29", ("pow",)),
        Need("libc.so.6", "GLIBC_2.38", ("strlcpy",), flags=linked.WEAK),
    ),
)


@pytest.fixture
def binary(tmp_path):
    def write(program) -> Binary:
        path = tmp_path / "hello"
        path.write_bytes(bytes(program))
        return Binary(path=path, platform=AMD64, size=0, sha256="", runner=lambda: None)

    return write


@pytest.fixture
def fails(tmp_path):
    """Run a check that fails, and return what it says without the path."""

    def run(check, *args, **options) -> list[str]:
        with pytest.raises(AssertionError) as caught:
            check(*args, **options)
        *lines, place = str(caught.value).splitlines()
        assert place == f"  in {tmp_path / 'hello'}"
        frames = [frame.f_locals for frame, _ in traceback.walk_tb(caught.tb)]
        assert len(frames) > 1
        assert all("__tracebackhide__" in frame for frame in frames[1:])  # all but this one
        return lines

    return run


def test_info_is_that_of_the_file(binary):
    assert binary(GLIBC).info.symbol_versions == {"GLIBC": "2.34"}
    with pytest.raises(ArtifactError, match="hello for linux/amd64 can't be inspected"):
        _ = binary(b"#!/bin/sh").info


def test_static(binary, fails):
    binary(STATIC).assert_static()
    binary(Linked(interpreter=None, needed=())).assert_static()
    assert fails(binary(GLIBC).assert_static) == [
        "hello for linux/amd64 is not static",
        "  interpreter: /lib64/ld-linux-x86-64.so.2",
        "  needs: libm.so.6",
        "  needs: libc.so.6",
    ]


def test_libraries(binary, fails):
    program = binary(GLIBC)
    program.assert_needs_only({"libm.so.6", "libc.so.6", "libstdc++.so.6"})
    program.assert_needs_only(["lib[cm].so.*"])
    binary(STATIC).assert_needs_only(())
    assert fails(binary(GLIBC).assert_needs_only, ["libc.so.6", "ld-*"]) == [
        "hello for linux/amd64 needs other libraries than ld-*, libc.so.6",
        "  needs: libm.so.6",
    ]
    with pytest.raises(TypeError, match="expected several names"):
        program.assert_needs_only("libc.so.6")


@pytest.mark.parametrize("version", ["2.34", "2.100", "3"])
def test_a_glibc_that_is_new_enough(binary, version):
    binary(GLIBC).assert_max_glibc(version)
    binary(STATIC).assert_max_glibc(version)


def test_a_glibc_that_is_too_old_is_told_with_the_symbols_newest_first(binary, fails):
    assert fails(binary(GLIBC).assert_max_glibc, "2.28") == [
        "hello for linux/amd64 asks for newer symbols than GLIBC_2.28",
        "  GLIBC_2.34 of libc.so.6: __libc_start_main, dlopen",
        "  GLIBC_2.29 of libm.so.6: pow",
    ]


def test_versions_without_a_number(binary, fails):
    """No symbol asks for the marker; what is private is of one glibc only."""
    program = Linked(needs=(Need("libc.so.6", "GLIBC_ABI_DT_RELR"),))
    binary(program).assert_max_glibc("2.36")
    assert fails(binary(program).assert_max_glibc, "2.35")[1:] == [
        "  GLIBC_ABI_DT_RELR of libc.so.6: no symbol"
    ]
    private = Linked(needs=(Need("libc.so.6", "GLIBC_PRIVATE", tuple("abcdefg")),))
    assert fails(binary(private).assert_max_glibc, "9.9")[1:] == [
        "  GLIBC_PRIVATE of libc.so.6: a, b, c, d, e and 2 more"
    ]


def test_several_families_at_once(binary, fails):
    program = Linked(
        needs=(
            Need("libc.so.6", "GLIBC_2.34", ("a",)),
            Need("libstdc++.so.6", "GLIBCXX_3.4.29", ("b",)),
            Need("libstdc++.so.6", "CXXABI_1.3.9", ("c",)),
        )
    )
    binary(program).assert_max_symbol_versions(GLIBCXX="3.4.29", CXXABI="1.3.11")
    assert fails(binary(program).assert_max_symbol_versions, GLIBC="2.28", GLIBCXX="3.4.9") == [
        "hello for linux/amd64 asks for newer symbols than GLIBC_2.28 and GLIBCXX_3.4.9",
        "  GLIBCXX_3.4.29 of libstdc++.so.6: b",
        "  GLIBC_2.34 of libc.so.6: a",
    ]
    with pytest.raises(ValueError, match=r"'new' is no version such as 2\.28"):
        binary(program).assert_max_glibc("new")


def test_size(binary, fails):
    program = binary(bytes(1536))
    program.assert_max_size(1536)
    program.assert_max_size("1.5 KiB")
    assert fails(program.assert_max_size, "1 KiB") == [
        "hello for linux/amd64 is larger than 1,024 bytes (1 KiB)",
        "  size: 1,536 bytes",
    ]
    with pytest.raises(SettingsError, match="no quantity"):
        program.assert_max_size("small")


def test_hardened(binary, fails):
    binary(HARDENED).assert_hardened()
    soft = Linked(kind=ET_EXEC, relro=False, stack=7)
    assert fails(binary(soft).assert_hardened) == [
        "hello for linux/amd64 is not hardened",
        "  not position-independent: build with -fPIE -pie (Go: -buildmode=pie)",
        "  no RELRO: link with -Wl,-z,relro,-z,now",
        "  executable stack: link with -Wl,-z,noexecstack",
        "  no stack protector: compile with -fstack-protector-strong",
    ]
    binary(soft).assert_hardened(pie=False, relro=False, nx=False, canary=False)


def test_each_protection_can_be_left_out(binary, fails):
    soft = Linked(kind=ET_EXEC, stack=7)
    options = {"pie": False, "relro": "partial", "nx": False, "canary": False}
    binary(soft).assert_hardened(**options)
    for name, value in {"pie": True, "relro": "full", "nx": True, "canary": True}.items():
        assert len(fails(binary(soft).assert_hardened, **{**options, name: value})) == 2


def test_what_can_t_be_told_and_what_a_format_lacks_is_no_failure(binary):
    musl = Linked(interpreter=None, needed=(), symtab=None, tags=((linked.DT_BIND_NOW, 0),))
    binary(musl).assert_hardened()
    binary(linked.windows_program()).assert_hardened()
    binary(linked.mac_program()).assert_hardened()


def test_stripped(binary, fails):
    binary(Linked(symtab=None)).assert_stripped()
    assert fails(binary(Linked()).assert_stripped)[0] == "hello for linux/amd64 is not stripped"


def test_build_id(binary, fails):
    binary(Linked()).assert_build_id()
    assert fails(binary(Linked(build_id=None)).assert_build_id) == [
        "hello for linux/amd64 has no build id",
        "  link with -Wl,--build-id",
    ]


def test_rpath(binary, fails):
    binary(Linked()).assert_no_rpath()
    program = Linked(texts=((linked.DT_RPATH, "/opt/a"), (linked.DT_RUNPATH, "$ORIGIN")))
    assert fails(binary(program).assert_no_rpath) == [
        "hello for linux/amd64 looks for libraries in folders of its own",
        "  RPATH: /opt/a",
        "  RUNPATH: $ORIGIN",
    ]


def test_texts_that_must_not_be_in_it(binary, fails):
    program = binary(b"\0\x01built in /home/me/src/a.c\0secret\0" + b"\0/home/you" * 6)
    program.assert_contains_no("/root/", b"\x01\x02")
    program.assert_contains_no()
    lines = fails(program.assert_contains_no, "/home/me", b"secret")
    assert lines == [
        "hello for linux/amd64 contains what it must not",
        "  at 0xb: 'built in /home/me/src/a.c'",
        "  at 0x1c: 'secret'",
    ]
    assert fails(program.assert_contains_no, "/home/you")[-1] == "  and 1 more places"
    with pytest.raises(ValueError, match="empty text"):
        program.assert_contains_no("")
