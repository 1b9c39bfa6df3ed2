"""What is registered in binfmt_misc, read from a folder such as the kernel's."""

from __future__ import annotations

import subprocess
import sys

import pytest
from elf import ARM, ARM64, header

from pytest_dockerbin.runners import binfmt
from pytest_dockerbin.runners.binfmt import BINFMT_MISC, read_registered
from pytest_dockerbin.runners.proof import ProofError

S390X, PPC64, MIPS, SPARC = 22, 21, 8, 2


@pytest.fixture
def folder(tmp_path):
    """A folder as binfmt_misc has it when nothing is registered."""
    folder = tmp_path / "binfmt_misc"
    folder.mkdir()
    (folder / "register").touch(mode=0o200)
    (folder / "status").write_text("enabled\n")
    return folder


def register(folder, name, start, *, state="enabled", flags="POF", interpreter="/bin/sh", offset=0):
    """Write a handler's file as the kernel's entry_status does."""
    (folder / name).write_text(
        f"{state}\ninterpreter {interpreter}\nflags: {flags}\noffset {offset}\n"
        f"magic {start.hex()}\nmask {'ff' * len(start)}\n"
    )


def first_20(machine, bits=64, order="<"):
    return header(machine, 2, bits, order)[:20]


@pytest.mark.parametrize(
    ("start", "architecture"),
    [
        (first_20(ARM64), "arm64"),
        (first_20(ARM64, order=">"), None),
        (first_20(ARM, 32), "arm"),
        (first_20(S390X, order=">"), "s390x"),
        (first_20(PPC64), "ppc64le"),
        (first_20(PPC64, order=">"), "ppc64"),
        (first_20(MIPS, 32, ">"), "mips"),
        (first_20(MIPS), "mips64le"),
        (first_20(SPARC, 32, ">"), None),
        (first_20(ARM64)[:18], None),
        (b"MZ", None),
        (b"", None),
    ],
)
def test_a_handler_s_architecture_is_told_by_its_magic_not_by_its_name(folder, start, architecture):
    register(folder, "qemu-riscv64", start, state="disabled")
    (handler,) = read_registered(folder.parent, folder).handlers
    assert (handler.name, handler.architecture) == ("qemu-riscv64", architecture)


def test_bytes_in_the_middle_of_a_file_name_no_architecture(folder):
    register(folder, "middle", first_20(ARM64), offset=4, state="disabled")
    assert read_registered(folder.parent, folder).handlers[0].architecture is None


def test_everything_that_the_kernel_says_is_read(folder, tmp_path):
    register(folder, "b", first_20(ARM64), state="disabled", interpreter=str(tmp_path / "gone"))
    register(folder, "a", b"\xca\xfe\xba\xbe", flags="", interpreter=sys.executable)
    a, b = read_registered(folder.parent, folder).handlers
    assert (a.name, a.enabled, a.flags, a.interpreter) == ("a", True, "", sys.executable)
    assert a.interpreter_exists
    assert a.version is None
    assert (b.name, b.enabled, b.flags) == ("b", False, "POF")
    assert not b.interpreter_exists


def test_a_handler_by_file_name_is_read_too(folder):
    (folder / "jar").write_text("enabled\ninterpreter /bin/java wrapper\nflags: \nextension .jar\n")
    (jar,) = read_registered(folder.parent, folder).handlers
    assert (jar.architecture, jar.interpreter) == (None, "/bin/java wrapper")


@pytest.mark.parametrize("text", ["", "enabled\nmagic no-hex\noffset 0\n"])
def test_what_is_no_handler_is_passed_over(folder, text):
    (folder / "odd").write_text(text)
    register(folder, "whole", b"\xca\xfe\xba\xbe")
    (whole,) = read_registered(folder.parent, folder).handlers
    assert whole.name == "whole"


@pytest.mark.parametrize("state", ["enabled", "disabled"])
def test_whether_it_is_switched_on_at_all_is_told(folder, state):
    (folder / "status").write_text(f"{state}\n")
    assert read_registered(folder.parent, folder).enabled is (state == "enabled")


def test_where_it_is_not_mounted_there_is_nothing(tmp_path):
    found = read_registered(tmp_path, tmp_path / "not-there")
    assert (found.enabled, found.handlers) == (None, ())


def test_of_an_emulator_that_can_t_be_asked_the_version_is_unknown(folder, monkeypatch):
    def fails(*_):
        raise ProofError("Exec format error")

    register(folder, "a", first_20(ARM64))
    monkeypatch.setattr(binfmt, "output_of", fails)
    (handler,) = read_registered(folder.parent, folder).handlers
    assert (handler.architecture, handler.enabled, handler.version) == ("arm64", True, None)


@pytest.mark.skipif(not (BINFMT_MISC / "status").exists(), reason="binfmt_misc is not mounted")
def test_the_version_is_that_of_the_emulator_that_the_kernel_starts(tmp_path):
    handlers = [
        handler
        for handler in read_registered(tmp_path).handlers
        if handler.enabled and handler.architecture and handler.interpreter_exists
    ]
    if not handlers:
        pytest.skip("no emulator is registered")
    for handler in handlers:
        said = subprocess.run(
            [handler.interpreter],
            env={"QEMU_VERSION": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert handler.version
        assert handler.version.replace("QEMU", "version") in said
