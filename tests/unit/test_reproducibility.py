from __future__ import annotations

import elf as make
import pytest
from linked import Linked

from pytest_dockerbin.export import seal
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.reproducibility import Export, differences

AMD64 = Platform.parse("linux/amd64")
FULL = r"\xff" * 8
NULLS = r"\x00" * 4


@pytest.fixture
def build(tmp_path):
    """Make an export of files: content, content and mode, or the target of a link."""

    def build_it(**files):
        tree = tmp_path / str(len(list(tmp_path.iterdir())))
        tree.mkdir()
        for name, content in files.items():
            path = tree / name
            if isinstance(content, str):
                path.symlink_to(content)
                continue
            data, mode = content if isinstance(content, tuple) else (content, 0o644)
            path.write_bytes(data)
            path.chmod(mode)
        return Export(tree, seal(tree, AMD64, verify=False))

    return build_it


def test_equal_exports_do_not_differ(build):
    files = {"a": b"x", "b": "a", "c": (make.elf(), 0o755)}
    assert differences(build(**files), build(**files)) == []


@pytest.mark.parametrize(
    ("one", "two", "told"),
    [
        ({"a": b"x", "b": b""}, {"a": b"x"}, "b: only in the first build"),
        ({"a": b"x"}, {"a": b"x", "b": b""}, "b: only in the second build"),
        ({"a": (b"x", 0o755)}, {"a": b"x"}, "a: mode 755 / 644"),
        ({"a": b"x", "b": "a"}, {"a": b"x", "b": b"x"}, "b: a link to a / a file"),
        ({"a": b"one\ntwo 1\n"}, {"a": b"one\ntwo 2\n"}, "a: line 2: 'two 1' / 'two 2'"),
        ({"a": b"x\n"}, {"a": b"x\r\n"}, "a: line ends"),
        (
            {"a": b"built at " + b"0" * 100 + b"1"},
            {"a": b"built at " + b"0" * 100 + b"2"},
            "a: line 1: '000000001' / '000000002'",
        ),
        (
            {"a": b"\xff" * 20 + b"\0"},
            {"a": b"\xff" * 20 + b"\1"},
            f"a: from byte 0x14: b'{FULL}\\x00' / b'{FULL}\\x01'",
        ),
        (
            {"a": (make.pe() + b"\0", 0o755)},
            {"a": (make.pe() + b"\1", 0o755)},
            rf"""a: from byte 0x98: b'{NULLS}\xf0\x00"\x00\x00' / b'{NULLS}\xf0\x00"\x00\x01'""",
        ),
        ({"a": b"\xff\xfe"}, {"a": b"\xff"}, r"a: from byte 0x1: b'\xff\xfe' / b'\xff'"),
    ],
)
def test_what_differs_is_told(build, one, two, told):
    assert told in differences(build(**one), build(**two))


def test_sizes_that_differ_are_told_beside_the_place(build):
    assert differences(build(a=b"x"), build(a=b"xy")) == ["a: 1 / 2 bytes", "a: line 1: 'x' / 'xy'"]


def test_a_difference_far_into_a_large_file_is_found(build):
    one, two = bytearray(b"\xff" * 300_000), bytearray(b"\xff" * 300_000)
    two[299_000] = 0
    (line,) = differences(build(a=bytes(one)), build(a=bytes(two)))
    assert line.startswith(f"a: from byte {299_000:#x}: ")


def test_a_difference_of_programs_is_told_with_the_section_that_it_is_in(build):
    one = bytes(Linked(debug=True))
    (told,) = differences(build(a=one), build(a=one.replace(b"debug", b"degub")))
    assert told.startswith("a: section .debug_info, 0x2 bytes into it: b'")


def test_a_program_whose_sections_can_t_be_read_is_told_by_its_bytes(build):
    one, two = b"\x7fELF" + b"\xff" * 9 + b"1", b"\x7fELF" + b"\xff" * 9 + b"2"
    assert differences(build(a=one), build(a=two)) == [f"a: from byte 0xd: b'{FULL}1' / b'{FULL}2'"]
