from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import elf as make
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dockerbin.executables import expected_for, read_executable
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners.tiny import tiny_program


def read(data):
    return read_executable(io.BytesIO(data))


def fits(data, platform):
    return read(data).fits(Platform.parse(platform))


LOADER = "/lib64/ld-linux-x86-64.so.2"
PIE = [(make.DT_FLAGS_1, make.DF_1_PIE)]
ALL_PLATFORMS = [
    "linux/amd64", "linux/386", "linux/arm64", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5",
    "linux/riscv64", "linux/s390x", "linux/ppc64le", "linux/ppc64", "linux/mips", "linux/mipsle",
    "linux/mips64", "linux/mips64le", "linux/loong64", "freebsd/amd64", "windows/amd64",
    "windows/386", "windows/arm64", "darwin/amd64", "darwin/arm64",
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "text", "platforms"),
    [
        (make.elf(62), "a 64-bit amd64 ELF file", {"linux/amd64", "freebsd/amd64"}),
        (make.elf(3, bits=32), "a 32-bit 386 ELF file", {"linux/386"}),
        (make.elf(183), "a 64-bit arm64 ELF file", {"linux/arm64"}),
        (
            make.elf(40, bits=32, flags=make.ARM_HARD),
            "a 32-bit arm ELF file with hard-float ABI",
            {"linux/arm/v7", "linux/arm/v6"},
        ),
        (make.elf(243), "a 64-bit riscv64 ELF file", {"linux/riscv64"}),
        (make.elf(22, order=">"), "a 64-bit big-endian s390x ELF file", {"linux/s390x"}),
        (make.elf(21), "a 64-bit ppc64le ELF file", {"linux/ppc64le"}),
        (make.elf(21, order=">"), "a 64-bit big-endian ppc64 ELF file", {"linux/ppc64"}),
        (make.elf(8, bits=32, order=">"), "a 32-bit big-endian mips ELF file", {"linux/mips"}),
        (make.elf(8, bits=32), "a 32-bit mipsle ELF file", {"linux/mipsle"}),
        (make.elf(8), "a 64-bit mips64le ELF file", {"linux/mips64le"}),
        (make.elf(258), "a 64-bit loong64 ELF file", {"linux/loong64"}),
        (make.pe(), "a 64-bit amd64 PE file", {"windows/amd64"}),
        (make.pe(0x14C), "a 32-bit 386 PE file", {"windows/386"}),
        (make.pe(0xAA64), "a 64-bit arm64 PE file", {"windows/arm64"}),
        (make.macho(), "a 64-bit arm64 Mach-O file", {"darwin/arm64"}),
        (make.macho(0x01000007), "a 64-bit amd64 Mach-O file", {"darwin/amd64"}),
        (
            make.universal(make.macho(), make.macho(0x01000007)),
            "a universal arm64/amd64 Mach-O file",
            {"darwin/amd64", "darwin/arm64"},
        ),
        # the number of a machine that Docker knows, in a form that it does not
        (make.elf(62, bits=32), "a 32-bit machine 0x3e ELF file", set()),  # x32
        (make.elf(183, order=">"), "a 64-bit big-endian machine 0xb7 ELF file", set()),
        (make.elf(243, bits=32), "a 32-bit machine 0xf3 ELF file", set()),
        (make.elf(2, bits=32, order=">"), "a 32-bit big-endian machine 0x2 ELF file", set()),
        (make.pe(0x200), "a 64-bit machine 0x200 PE file", set()),
        (make.macho(18, bits=32, order=">"), "a 32-bit big-endian ppc Mach-O file", set()),
    ],
)
def test_an_executable_is_for_its_platforms_and_no_other(data, text, platforms):
    assert str(read(data)) == text
    assert {name for name in ALL_PLATFORMS if fits(data, name)} == platforms


@pytest.mark.parametrize(
    ("flags", "interpreter", "platforms"),
    [
        (make.ARM_HARD, None, {"linux/arm/v7", "linux/arm/v6"}),
        (make.ARM_HARD, "/lib/ld-linux-armhf.so.3", {"linux/arm/v7", "linux/arm/v6"}),
        (make.ARM_SOFT, None, {"linux/arm/v6", "linux/arm/v5"}),
        (make.ARM_SOFT, "/lib/ld-linux.so.3", {"linux/arm/v5"}),
        (0x05000000, None, {"linux/arm/v7", "linux/arm/v6", "linux/arm/v5"}),
    ],
)
def test_an_arm_variant_is_told_by_the_float_abi_where_the_header_shows_it(
    flags, interpreter, platforms
):
    data = make.elf(make.ARM, bits=32, flags=flags, interpreter=interpreter)
    assert {name for name in ALL_PLATFORMS if fits(data, name)} == platforms


@pytest.mark.parametrize("level", ["v2", "v3", "v4"])
def test_an_amd64_file_fits_every_level_since_its_header_shows_none(level):
    assert fits(make.elf(62), f"linux/amd64/{level}")


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(
    ("facts", "program", "interpreter"),
    [
        ({}, True, None),
        ({"interpreter": LOADER}, True, LOADER),
        ({"kind": make.ET_DYN, "interpreter": LOADER, "dynamic": PIE}, True, LOADER),
        # before binutils 2.26 and in some linkers a PIE has no flag
        ({"kind": make.ET_DYN, "interpreter": LOADER, "dynamic": []}, True, LOADER),
        ({"kind": make.ET_DYN, "dynamic": PIE}, True, None),  # static-pie
        ({"kind": make.ET_DYN, "dynamic": [(make.DT_SONAME, 7)]}, False, None),
        ({"kind": make.ET_DYN, "dynamic": []}, False, None),
        ({"kind": make.ET_DYN}, False, None),
        # glibc's libc.so.6 prints its version when it is executed
        (
            {"kind": make.ET_DYN, "interpreter": LOADER, "dynamic": [(make.DT_SONAME, 7)]},
            False,
            LOADER,
        ),
    ],
)
def test_a_program_is_told_from_a_shared_library(bits, facts, program, interpreter):
    found = read(make.elf(62 if bits == 64 else 3, bits=bits, **facts))
    assert found.program is program
    assert found.interpreter == interpreter


@pytest.mark.parametrize(
    ("data", "program"),
    [
        (make.pe(), True),
        (make.pe(dll=True), False),
        (make.macho(kind=2), True),
        (make.macho(kind=6), False),
        (make.macho(kind=8), False),
        (make.universal(make.macho(kind=6), make.macho(0x01000007, kind=6)), False),
    ],
)
def test_a_program_of_another_system_is_told_from_its_libraries(data, program):
    assert read(data).program is program


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"#!/bin/sh\n",
        b"\x7fELF",
        b"MZ",
        b"MZ is how this text begins, and it is long enough for a header of sixty-four bytes",
        b"!<arch>\n",
        b"\xca\xfe\xba\xbe\x00\x00\x00\x34" + bytes(200),  # a Java class file
        b"\xca\xfe\xba\xbe\x00\x00\x00\x02" + bytes(200),
        make.elf(kind=make.ET_REL),  # an object file or kernel module
        make.elf(kind=make.ET_CORE),
        make.macho(kind=1),
        b"\x7fELF\x03\x01\x01" + make.elf()[7:],  # no such class
        b"\x7fELF\x02\x03\x01" + make.elf()[7:],  # no such byte order
    ],
)
def test_what_no_kernel_starts_is_data(data):
    assert read(data) is None


@pytest.mark.parametrize(
    "whole",
    [
        make.elf(interpreter=LOADER, dynamic=PIE, kind=make.ET_DYN),
        make.elf(40, bits=32, interpreter="/lib/ld.so"),
        make.pe(),
        make.macho(),
        make.universal(make.macho(), make.macho(0x01000007)),
    ],
    ids=["elf64", "elf32", "pe", "macho", "universal"],
)
def test_a_file_that_is_cut_short_anywhere_is_read_without_an_error(whole):
    assert read(whole) is not None
    for length in range(len(whole)):
        read(whole[:length])


def test_a_file_whose_headers_are_cut_off_is_data():
    assert read(make.header(62, 2, 64, "<", offset=64, count=3)) is None


def test_offsets_beyond_everything_are_no_error():
    assert read(make.header(62, 2, 64, "<", offset=2**64 - 1, count=3)) is None
    segment = struct.pack("<IIQQQQQQ", make.PT_INTERP, 4, 2**63 + 5, 0, 0, 2**64 - 1, 0, 1)
    assert read(make.header(62, 2, 64, "<", offset=64, count=1) + segment).interpreter is None


def test_a_hostile_number_of_headers_is_not_followed_for_long():
    reads = []

    class Counted(io.BytesIO):
        def read(self, size=-1):
            reads.append(size)
            return super().read(size)

    segments = bytes(56) * 0xFFFF
    read_executable(Counted(make.header(62, 2, 64, "<", offset=64, count=0xFFFF) + segments))
    assert len(reads) < 1100


def test_a_universal_file_of_objects_is_no_program_and_no_library():
    assert read(make.universal(make.macho(), make.macho(kind=1))) is None


def test_a_hostile_length_is_not_read_whole():
    sizes = []

    class Counted(io.BytesIO):
        def read(self, size=-1):
            sizes.append(size)
            return super().read(size)

    for tag in (make.PT_INTERP, make.PT_DYNAMIC):
        segment = struct.pack("<IIQQQQQQ", tag, 4, 0, 0, 0, 2**40, 0, 1)
        read_executable(Counted(make.header(62, 2, 64, "<", offset=64, count=1) + segment))
    assert max(sizes) <= 64 * 1024


@given(
    st.sampled_from(
        [b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xce", b"\xca\xfe\xba\xbe"]
    ),
    st.binary(max_size=400),
)
def test_garbage_behind_a_magic_number_is_never_an_error(magic, rest):
    read(magic + rest)


@given(st.data())
def test_an_executable_with_any_bytes_changed_is_never_an_error(data):
    whole = data.draw(
        st.sampled_from(
            [
                make.elf(interpreter=LOADER, dynamic=PIE, kind=make.ET_DYN),
                make.elf(40, bits=32, order=">", dynamic=PIE, kind=make.ET_DYN),
                make.pe(),
                make.universal(make.macho(), make.macho(0x01000007)),
            ]
        )
    )
    changed = bytearray(whole)
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=12)):
        changed[at] = data.draw(st.integers(0, 255))
    found = read(bytes(changed))
    if found:
        str(found)


def test_a_file_on_disk_with_offsets_that_no_file_system_has_is_no_error(tmp_path):
    file = tmp_path / "hostile"
    for offset in (2**40, 2**44, 2**62, 2**63 - 1, 2**63, 2**64 - 1):
        file.write_bytes(make.header(62, 2, 64, "<", offset=offset, count=3))
        with file.open("rb") as opened:
            assert read_executable(opened) is None


def test_a_file_of_debug_symbols_is_no_program():
    """``objcopy --only-keep-debug`` keeps the program headers and empties them."""
    segment = struct.pack("<IIQQQQQQ", make.PT_INTERP, 4, 120, 0, 0, 0, 28, 1)
    found = read(make.header(62, make.ET_DYN, 64, "<", offset=64, count=1) + segment)
    assert (found.program, found.interpreter) == (False, None)


@pytest.mark.parametrize("architecture", ["386", "amd64", "arm", "arm64", "riscv64", "s390x"])
def test_the_tiny_programs_are_programs_of_their_platform(architecture):
    platform = Platform.parse(f"linux/{architecture}")
    found = read(tiny_program(platform, 0))
    assert found.program
    assert found.fits(platform)
    assert found.interpreter is None


@pytest.mark.parametrize("command", [sys.executable, "/bin/ls", "/bin/sh"])
def test_the_programs_of_this_machine_are_native(command):
    if not Path(command).exists():
        pytest.skip(f"this machine has no {command}")
    with Path(command).open("rb") as file:
        found = read_executable(file)
    host = Platform.host()
    native = Platform(sys.platform, host.architecture, host.variant)
    assert found.program
    assert found.fits(native)


def test_readelf_says_the_same_of_every_program_and_library_here():
    """An oracle: binutils, on the files of this machine."""
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("this machine has no readelf")
    files = [
        path
        for folder in ("/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
        for path in sorted(Path(folder).glob("*"))[:150]
        if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)
    ]
    for path in files:
        with path.open("rb") as file:
            found = read_executable(file)
            file.seek(0)
            is_elf = file.read(4) == b"\x7fELF"
        if not is_elf or path.suffix in (".o", ".ko"):
            assert found is None, path
            continue
        assert found, path
        run = subprocess.run([readelf, "-hldW", path], capture_output=True, text=True, check=True)
        said = run.stdout
        pie = "EXEC (" in said or ("(FLAGS_1)" in said and " PIE" in said)
        assert found.program is (pie or ("INTERP" in said and "(SONAME)" not in said)), path
        assert (found.interpreter is not None) is ("INTERP " in said), path


@pytest.mark.parametrize(
    ("platform", "text"),
    [
        ("linux/arm64", "an arm64 ELF file"),
        ("linux/arm/v7", "an arm ELF file with hard-float ABI"),
        ("linux/arm/v5", "an arm ELF file with soft-float ABI"),
        ("windows/amd64", "an amd64 PE file"),
        ("darwin/arm64", "an arm64 Mach-O file"),
    ],
)
def test_what_was_expected_is_told_in_words(platform, text):
    assert expected_for(Platform.parse(platform)) == text
