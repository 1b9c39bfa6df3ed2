from __future__ import annotations

import random
import re
import shutil
import struct
import subprocess
import sys

import elf as make
import linked
import pytest
from linked import Linked, Need

from pytest_dockerbin.errors import ArtifactError
from pytest_dockerbin.inspection import read_info
from pytest_dockerbin.inspection.info import SymbolVersion
from pytest_dockerbin.platforms import Platform

AMD64 = Platform.parse("linux/amd64")
HELLO = (
    Need("libc.so.6", "GLIBC_2.2.5", ("puts", "stdout")),
    Need("libc.so.6", "GLIBC_2.34", ("__libc_start_main",)),
    Need("libstdc++.so.6", "GLIBCXX_3.4.29", ("_ZSt4cout",)),
)


@pytest.fixture
def info(tmp_path):
    def read(program):
        path = tmp_path / "hello"
        path.unlink(missing_ok=True)  # some file systems take longer to write over a file
        path.write_bytes(bytes(program))
        return read_info(path, AMD64)

    return read


PIE = (linked.DT_FLAGS_1, make.DF_1_PIE)

# machine, bits, byte order, and how it is called
MACHINES = [
    (62, 64, "<", "amd64"),
    (3, 32, "<", "386"),
    (22, 64, ">", "s390x"),
    (8, 32, ">", "mips"),
]


@pytest.mark.parametrize("sections", [True, False], ids=["sections", "sectionless"])
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine[3])
def test_a_dynamic_program_tells_its_libraries_and_who_asks_for_which_version(
    info, machine, sections
):
    number, bits, order, name = machine
    found = info(
        Linked(
            machine=number,
            bits=bits,
            order=order,
            needed=("libstdc++.so.6", "libc.so.6"),
            needs=HELLO,
            unversioned=("main",),
            sections=sections,
        )
    )
    assert (found.format, found.machine, found.bits) == ("ELF", name, bits)
    assert found.byte_order == {"<": "little", ">": "big"}[order]
    assert found.linkage == "dynamic"
    assert found.interpreter == "/lib64/ld-linux-x86-64.so.2"
    assert found.needed == ("libstdc++.so.6", "libc.so.6")
    assert found.versions == (
        SymbolVersion(name="GLIBC_2.2.5", library="libc.so.6", symbols=("puts", "stdout")),
        SymbolVersion(name="GLIBC_2.34", library="libc.so.6", symbols=("__libc_start_main",)),
        SymbolVersion(name="GLIBCXX_3.4.29", library="libstdc++.so.6", symbols=("_ZSt4cout",)),
    )
    assert found.symbol_versions == {"GLIBC": "2.34", "GLIBCXX": "3.4.29"}
    assert found.build_id == bytes(range(20)).hex()
    assert found.pie
    assert found.nx


@pytest.mark.parametrize(
    ("program", "linkage"),
    [
        (Linked(kind=make.ET_EXEC, interpreter=None, dynamic=False), "static"),
        (Linked(kind=make.ET_EXEC), "dynamic"),
        (Linked(), "dynamic"),
        # Go's -buildmode=pie: a loader, and no library
        (Linked(needed=()), "dynamic"),
        (Linked(interpreter=None, needed=(), tags=(PIE,)), "static-pie"),
        # linkers before DF_1_PIE
        (Linked(interpreter=None, needed=()), "static-pie"),
        (Linked(interpreter=None), "dynamic"),
        (Linked(interpreter=None, needed=(), texts=((linked.DT_SONAME, "lib.so"),)), "dynamic"),
    ],
)  # fmt: skip
def test_linkage_is_told_by_what_the_loader_needs(info, program, linkage):
    found = info(program)
    assert found.linkage == linkage
    assert found.pie == (program.kind == make.ET_DYN)


@pytest.mark.parametrize(
    ("version", "family", "number"),
    [
        ("GLIBC_2.2.5", "GLIBC", "2.2.5"),
        ("GLIBC_PRIVATE", "GLIBC", None),
        ("GLIBC_ABI_DT_RELR", "GLIBC", "2.36"),
        ("CXXABI_1.3.13", "CXXABI", "1.3.13"),
        ("OPENSSL_1_1_0", "OPENSSL", "1_1_0"),
        ("NCURSES6_TINFO_5.0.19991023", "NCURSES6_TINFO", "5.0.19991023"),
        ("Base", "Base", None),
    ],
)
def test_a_version_s_name_is_family_and_number(version, family, number):
    found = SymbolVersion(name=version, library="lib.so")
    assert (found.family, found.version) == (family, number)


def test_the_newest_version_is_by_number_and_without_weak_ones(info):
    needs = (
        Need("libc.so.6", "GLIBC_2.4", ("a",)),
        Need("libc.so.6", "GLIBC_2.17", ("b",)),
        Need("libm.so.6", "GLIBC_2.29", ("c",)),
        Need("libc.so.6", "GLIBC_2.38", ("d",), flags=linked.WEAK),
        Need("libc.so.6", "GLIBC_PRIVATE", ("e",)),
    )
    assert info(Linked(needs=needs)).symbol_versions == {"GLIBC": "2.29"}


def test_static_programs_and_other_c_libraries_ask_for_no_versions(info):
    found = info(Linked(interpreter="/lib/ld-musl-x86_64.so.1", unversioned=("puts",)))
    assert found.versions == ()
    assert found.symbol_versions == {}


@pytest.mark.parametrize(
    ("program", "relro"),
    [
        (Linked(relro=False), "none"),
        (Linked(), "partial"),
        (Linked(tags=((linked.DT_BIND_NOW, 0),)), "full"),
        (Linked(tags=((linked.DT_FLAGS, 8),)), "full"),
        (Linked(tags=((linked.DT_FLAGS_1, 1),)), "full"),
        (Linked(tags=((linked.DT_FLAGS, 2),)), "partial"),
    ],
)
def test_relro_is_full_with_immediate_binding_only(info, program, relro):
    assert info(program).relro == relro


@pytest.mark.parametrize(("flags", "nx"), [(6, True), (7, False), (None, False)])
def test_a_stack_is_not_executable_where_the_file_says_so(info, flags, nx):
    assert info(Linked(stack=flags)).nx is nx


@pytest.mark.parametrize(
    ("program", "stripped"),
    [
        (Linked(), False),
        (Linked(symtab=None), True),
        (Linked(symtab=None, debug=True), False),
        (Linked(sections=False), True),
    ],
)
def test_stripped_means_no_symbol_table_and_no_debug_information(info, program, stripped):
    assert info(program).stripped is stripped


@pytest.mark.parametrize(
    ("program", "canary"),
    [
        (Linked(), False),
        (Linked(symtab=None), False),
        (Linked(unversioned=("__stack_chk_fail",), symtab=None), True),
        (Linked(symtab=("main", "__stack_chk_fail")), True),
        (Linked(interpreter=None, needed=()), False),
        (Linked(interpreter=None, needed=(), symtab=None), None),
    ],
)
def test_a_stack_protector_of_a_stripped_static_program_can_t_be_told(info, program, canary):
    assert info(program).canary is canary


def test_search_folders_are_listed_one_by_one(info):
    texts = ((linked.DT_RPATH, "/opt/a:/opt/b"), (linked.DT_RUNPATH, "$ORIGIN/../lib"))
    found = info(Linked(texts=texts))
    assert found.rpath == ("/opt/a", "/opt/b")
    assert found.runpath == ("$ORIGIN/../lib",)
    assert info(Linked()).rpath == info(Linked()).runpath == ()


def test_a_build_id_may_be_missing(info):
    assert info(Linked(build_id=None)).build_id is None


def test_a_windows_program(info):
    found = info(linked.windows_program(libraries=("KERNEL32.dll", "ws2_32.dll")))
    assert (found.format, found.machine, found.bits) == ("PE", "amd64", 64)
    assert (found.linkage, found.interpreter) == ("dynamic", None)
    assert found.needed == ("KERNEL32.dll", "ws2_32.dll")
    assert (found.pie, found.nx, found.relro, found.canary) == (True, True, None, True)
    assert found.build_id == "03020100050407060809" + "0a0b0c0d0e0f" + "1"
    assert found.stripped
    assert found.symbol_versions == {}


def test_a_windows_program_without_protections(info):
    found = info(linked.windows_program(flags=0, cookie=0, symbols=3))
    assert (found.pie, found.nx, found.canary) == (False, False, None)
    assert not found.stripped
    # MinGW of old: movable by its flag, but without what moving needs
    assert not info(linked.windows_program(characteristics=0x23)).pie


def test_a_mac_program(info):
    found = info(linked.mac_program(rpath="@loader_path/../lib"))
    assert (found.format, found.machine, found.bits) == ("Mach-O", "arm64", 64)
    assert (found.linkage, found.interpreter) == ("dynamic", "/usr/lib/dyld")
    assert found.needed == ("/usr/lib/libSystem.B.dylib",)
    assert found.rpath == ("@loader_path/../lib",)
    assert (found.pie, found.nx, found.relro, found.canary) == (True, True, None, True)
    assert found.build_id == bytes(range(16)).hex()
    assert found.stripped


def test_a_mac_program_without_protections(info):
    found = info(linked.mac_program(flags=0x20085, names=b"\0", local_symbols=7, uuid=None))
    assert (found.pie, found.nx, found.canary) == (False, False, False)
    assert not found.stripped
    assert found.build_id is None


def test_of_a_universal_file_holds_what_holds_for_each_program_in_it(info):
    other = linked.mac_program(
        machine=0x01000007, flags=0x85, libraries=("/usr/lib/libc++.1.dylib",)
    )
    found = info(make.universal(linked.mac_program(), other))
    assert (found.machine, found.bits) == ("arm64/amd64", 0)
    assert found.needed == ("/usr/lib/libSystem.B.dylib", "/usr/lib/libc++.1.dylib")
    assert not found.pie
    assert found.build_id == "/".join([bytes(range(16)).hex()] * 2)


# -- what is no whole program ---------------------------------------------------------------------

WHOLE = [Linked(needs=HELLO), linked.windows_program(), linked.mac_program()]
NAMES = ["ELF", "PE", "Mach-O"]
CUT_SHORT = r"hello for linux/amd64 can't be inspected: it (.*cut short.*|is empty|is no .*program)"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"#!/bin/sh -e\nexit 1\n", "it is a script: #!/bin/sh -e"),
        (b"#!/bin/\x1b[2Jsh \r\n", "it is a script: #!/bin/[2Jsh"),
        (b"\x7fELF", "it begins as ELF {}"),
        (make.elf(kind=make.ET_REL), "it begins as ELF {}"),
        (b"MZ", "it begins as PE {}"),
        (make.universal(make.macho())[:20], "it begins as Mach-O {}"),
        (bytes(100), "it is no ELF, PE or Mach-O program"),
    ],
)
def test_what_is_no_program_is_said_in_one_line(info, data, why):
    with pytest.raises(ArtifactError) as caught:
        info(data)
    why = why.format("files do, but is no program or library, or is cut short")
    assert caught.value.summary == f"hello for linux/amd64 can't be inspected: {why}"


def test_the_path_is_in_a_line_of_its_own(tmp_path):
    with pytest.raises(ArtifactError) as caught:
        read_info(tmp_path / "gone", AMD64)
    assert str(caught.value).splitlines() == [
        "gone for linux/amd64 can't be inspected: No such file or directory",
        f"  in {tmp_path / 'gone'}",
    ]


@pytest.mark.parametrize("program", WHOLE, ids=NAMES)
def test_a_program_that_is_cut_short_anywhere_is_an_error(info, program):
    """What is missing would else pass: no version that is too new, no library too many."""
    data = bytes(program)
    for length in range(len(data)):
        with pytest.raises(ArtifactError) as caught:
            info(data[:length])
        assert re.fullmatch(CUT_SHORT, caught.value.summary)


@pytest.mark.parametrize("program", WHOLE, ids=NAMES)
def test_a_damaged_program_is_read_or_an_error_of_one_line(info, program):
    data, chance = bytes(program), random.Random(1)
    errors, tries = [], 500
    for _ in range(tries):
        damaged = bytearray(data)
        for _ in range(chance.choice([1, 4, 16])):
            damaged[chance.randrange(len(data))] = chance.choice([0, 255, chance.randrange(256)])
        try:
            info(damaged)
        except ArtifactError as error:
            errors.append(error.summary)
    assert 20 < len(errors) < tries - 20
    assert not any("\n" in error for error in errors)


@pytest.mark.parametrize(
    ("order", "bits", "machine"), [("<", 64, 0x01000007), ("<", 32, 7), (">", 32, 18)]
)
def test_a_mac_program_is_cut_short_where_its_load_commands_are_not_whole(
    info, order, bits, machine
):
    """The second one in a universal file, so that places count from its beginning."""
    whole = bytearray(make.macho(machine, bits=bits, order=order))
    struct.pack_into(f"{order}I", whole, 20, 400)
    cut = make.universal(make.macho(), bytes(whole))
    named = len(cut) - len(whole) + (32 if bits == 64 else 28) + 400
    with pytest.raises(ArtifactError, match=f"cut short: {len(cut)} bytes, .* name {named}\n"):
        info(cut)


@pytest.mark.parametrize(("count", "following"), [(0xFFFF, 0), (0, 1), (2, 2**32 - 16)])
def test_a_chain_of_versions_without_an_end_is_an_error(info, count, following):
    data = bytearray(bytes(Linked(needs=HELLO[:2])))
    at = data.index(struct.pack("<HH", 1, 2), data.index(b"GLIBC_2.34"))
    struct.pack_into("<H", data, at + 2, count)
    struct.pack_into("<I", data, at + 12, following)
    struct.pack_into("<I", data, at + 16 + 12, 0)  # the first version is followed by itself
    with pytest.raises(ArtifactError, match="can't be inspected"):
        info(data)


# -- binutils is asked too ------------------------------------------------------------------------

SOURCE = """
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
    char text[64];
    strncpy(text, argv[argc - 1], sizeof text - 1);
    return printf("%s\\n", text) < 0;
}
"""
BUILDS = {
    "default": [],
    "hardened": ["-fPIE", "-pie", "-fstack-protector-all", "-Wl,-z,relro,-z,now"],
    "soft": ["-no-pie", "-fno-stack-protector", "-Wl,-z,norelro,-z,execstack"],
    "folders": ["-Wl,-rpath,/opt/lib:$ORIGIN/lib,--enable-new-dtags,--build-id=none"],
    "static": ["-static"],
    "static-pie": ["-static-pie", "-fPIE"],
    "stripped": ["-s"],
    "debug": ["-g"],
}
needs_binutils = pytest.mark.skipif(
    not (shutil.which("gcc") and shutil.which("readelf")), reason="needs gcc and readelf"
)


@needs_binutils
@pytest.mark.parametrize("name", BUILDS)
def test_readelf_says_the_same_of_what_gcc_links(tmp_path, name):
    path = tmp_path / "hello"
    (tmp_path / "hello.c").write_text(SOURCE)
    command = ["gcc", "-O1", "hello.c", "-o", "hello", *BUILDS[name]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"gcc here can't link this way: {done.stderr.splitlines()[-1]}")
    expect_as_readelf(path)
    assert (read_info(path, AMD64).linkage == name) is name.startswith("static")


@needs_binutils
def test_readelf_says_the_same_of_this_python(tmp_path):
    if not sys.platform.startswith("linux"):
        pytest.skip("needs an ELF Python")
    expect_as_readelf(shutil.copy(sys.executable, tmp_path / "python"))


def expect_as_readelf(path):
    said = subprocess.run(
        ["readelf", "-hldVSnW", "--dyn-syms", path],
        capture_output=True,
        text=True,
        check=True,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    ).stdout
    found = read_info(path, AMD64)
    dynamic = r"\({}\) .*\[(.*)\]"
    assert list(found.needed) == re.findall(dynamic.format("NEEDED"), said)
    assert ":".join(found.runpath) == "".join(re.findall(dynamic.format("RUNPATH"), said))
    assert [found.interpreter or ""] == (re.findall(r"program interpreter: (.*)\]", said) or [""])
    needs = said.partition("Version needs")[2].partition("Displaying notes")[0]
    assert sorted(v.name for v in found.versions) == sorted(re.findall(r"Name: (\S+)  F", needs))
    symbols = set(re.findall(r" UND (\w+)@(\S+) \(\d+\)", said))
    assert symbols <= {(symbol, v.name) for v in found.versions for symbol in v.symbols}
    assert [found.build_id or ""] == (re.findall(r"Build ID: (\w+)", said) or [""])
    assert found.stripped == (".symtab" not in said and ".debug_" not in said)
    assert found.pie == bool(re.search(r"Type: +DYN", said))
    assert (found.relro == "none") == ("GNU_RELRO" not in said)
    assert (found.relro == "full") == bool(re.search(r"BIND_NOW|\(FLAGS_1\).*NOW", said))
    assert found.nx == bool(re.search(r"GNU_STACK .* RW  0x", said))
