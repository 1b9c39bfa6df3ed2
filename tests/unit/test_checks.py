from __future__ import annotations

import traceback

import linked
import pytest
from elf import ET_EXEC
from linked import Linked, Need

from pytest_dockerbin.artifact import Binary
from pytest_dockerbin.errors import ArtifactError
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
        *lines, place = failure(AssertionError, check, *args, **options).splitlines()
        assert place == f"  in {tmp_path / 'hello'}"
        return lines

    return run


def failure(kind, check, *args, **options) -> str:
    """Run a check that raises an error of a type, hidden from pytest, and return its message."""
    with pytest.raises(kind) as caught:
        check(*args, **options)
    frames = [frame.f_locals for frame, _ in traceback.walk_tb(caught.tb)]
    assert len(frames) > 1
    assert all("__tracebackhide__" in frame for frame in frames[1:])  # all but this one
    assert type(caught.value) is kind
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return str(caught.value)


def test_info_is_that_of_the_file(binary):
    assert binary(GLIBC).info.symbol_versions == {"GLIBC": "2.34"}
    with pytest.raises(ArtifactError, match=r"hello for linux/amd64 can't be inspected: .* script"):
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


@pytest.mark.parametrize(
    ("libraries", "message"),
    [
        ("a.so", "libraries: expected several names, such as {'a.so'}, not 'a.so'"),
        (None, "libraries: expected several names, not None"),
        ([5], "libraries: expected names as text, not 5"),
    ],
)
def test_what_is_no_list_of_libraries(binary, libraries, message):
    assert failure(TypeError, binary(GLIBC).assert_needs_only, libraries) == message


def test_case_does_not_matter_in_the_names_of_windows_libraries_only(binary, fails):
    program = binary(linked.windows_program(libraries=("KERNEL32.dll", "ws2_32.DLL")))
    program.assert_needs_only(["kernel32.dll", "WS2*.dll"])
    assert fails(program.assert_needs_only, ["kernel32.dll"])[1:] == ["  needs: ws2_32.DLL"]
    assert fails(binary(GLIBC).assert_needs_only, ["LIBC.so.6", "libm.so.6"])[1:] == [
        "  needs: libc.so.6"
    ]


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


VERSIONED = Linked(needs=(Need("libtinfo.so.6", "NCURSES6_TINFO_5.0", ("a",)),))


def test_a_family_that_is_known_or_that_the_program_uses(binary, fails):
    for family in ("CXXABI", "GCC", "GLIBC", "GLIBCXX", "LIBATOMIC", "OPENSSL", "ZLIB"):
        binary(VERSIONED).assert_max_symbol_versions(**{family: "1.0"})
        binary(linked.windows_program()).assert_max_symbol_versions(**{family: "1.0"})
    binary(VERSIONED).assert_max_symbol_versions(NCURSES6_TINFO="5.0")
    assert len(fails(binary(VERSIONED).assert_max_symbol_versions, NCURSES6_TINFO="4.9")) == 2


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("GLIBCX", "did you mean GLIBCXX?"),
        ("glibc", "did you mean GLIBC?"),
        ("NCURSES6_TINF", "did you mean NCURSES6_TINFO?"),
        (
            "MUSL",
            "known: CXXABI, GCC, GLIBC, GLIBCXX, LIBATOMIC, NCURSES6_TINFO, OPENSSL, ZLIB",
        ),
    ],
)
def test_a_family_that_is_misspelled_would_check_nothing(binary, family, expected):
    check = binary(VERSIONED).assert_max_symbol_versions
    assert failure(ValueError, check, **{family: "2.0"}) == (
        f"unknown family of symbol versions {family!r}; {expected}"
    )


def test_what_is_no_version(binary):
    program = binary(GLIBC)
    assert failure(TypeError, program.assert_max_glibc, 2.28) == (
        'version: expected a version as text, such as "2.28", not 2.28'
    )
    assert failure(TypeError, program.assert_max_symbol_versions, GCC=None) == (
        'GCC: expected a version as text, such as "2.28", not None'
    )
    for text in ("new", "2.28\n", "2.", "", "GLIBC_2.28"):
        assert failure(ValueError, program.assert_max_glibc, text) == (
            f"version: {text!r} is no version such as 2.28"
        )
    assert failure(TypeError, program.assert_max_symbol_versions) == (
        'expected a version by family, such as GLIBCXX="3.4.25"'
    )


def test_size(binary, fails):
    program = binary(bytes(1536))
    program.assert_max_size(1536)
    program.assert_max_size("1.5 KiB")
    assert fails(program.assert_max_size, "1 KiB") == [
        "hello for linux/amd64 is larger than 1,024 bytes (1 KiB)",
        "  size: 1,536 bytes",
    ]
    for limit in ("20", 20):
        assert fails(program.assert_max_size, limit)[0] == (
            "hello for linux/amd64 is larger than 20 bytes"
        )


@pytest.mark.parametrize("limit", [1.5, None, True, [5]])
def test_a_size_of_another_type(binary, limit):
    assert failure(TypeError, binary(b"").assert_max_size, limit) == (
        f'limit: expected bytes as a whole number, or a text such as "5 MiB", not {limit}'
    )


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (-5, "limit: expected bytes, 0 or more, not -5"),
        ("-5", "limit: '-5' is no quantity such as 5 GiB"),
        ("small", "limit: 'small' is no quantity such as 5 GiB"),
    ],
)
def test_what_is_no_size(binary, limit, message):
    assert failure(ValueError, binary(b"").assert_max_size, limit) == message


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


@pytest.mark.parametrize(
    ("relro", "end"),
    [
        ("ful", "'ful'; did you mean 'full'?"),
        ("partal", "'partal'; did you mean 'partial'?"),
        (True, "True"),
        (None, "None"),
    ],
)
def test_a_relro_that_is_misspelled_would_check_nothing(binary, relro, end):
    assert failure(ValueError, binary(HARDENED).assert_hardened, relro=relro) == (
        f"relro: expected 'full', 'partial' or False, not {end}"
    )


def test_what_to_do_is_said_in_the_words_of_the_format(binary, fails):
    soft = linked.windows_program(flags=0)
    assert fails(binary(soft).assert_hardened)[1:] == [
        "  not position-independent: link with /DYNAMICBASE (MinGW: -Wl,--dynamicbase)",
        "  executable stack: link with /NXCOMPAT (MinGW: -Wl,--nxcompat)",
    ]
    soft = linked.mac_program(flags=0x20085, names=b"\0", uuid=None, rpath="@loader_path/lib")
    assert fails(binary(soft).assert_hardened)[1:] == [
        "  not position-independent: link without -no_pie",
        "  executable stack: link without -allow_stack_execute",
        "  no stack protector: compile with -fstack-protector-strong",
    ]
    assert fails(binary(soft).assert_build_id)[1:] == ["  link without -no_uuid"]
    assert fails(binary(soft).assert_no_rpath)[1:] == ["  LC_RPATH: @loader_path/lib"]
    old = linked.windows_program(pdb=b"NB10")
    assert fails(binary(old).assert_build_id)[1:] == ["  link with /DEBUG (MinGW: -Wl,--build-id)"]


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
    lines = fails(program.assert_contains_no, "/home/me", b"secret")
    assert lines == [
        "hello for linux/amd64 contains what it must not",
        "  at 0xb: 'built in /home/me/src/a.c'",
        "  at 0x1c: 'secret'",
    ]
    assert fails(program.assert_contains_no, "/home/you")[-1] == "  and 1 more places"


def test_texts_by_which_nothing_would_be_checked(binary):
    check = binary(b"x").assert_contains_no
    assert failure(TypeError, check) == "texts: expected at least one text"
    assert (
        failure(TypeError, check, ["x"]) == "texts: expected text or bytes, one by one, not ['x']"
    )
    for empty in ("", b""):
        assert failure(ValueError, check, "y", empty) == "texts: every file contains an empty text"
