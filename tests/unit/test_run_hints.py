"""What a failed run advises, word for word, and what is told of files that can't be read."""

from __future__ import annotations

from pathlib import Path

import elf
import pytest
from programs import dynamic, written

from pytest_dockerbin.errors import RunError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.results import Kind, RunResult
from pytest_dockerbin.runners.process import Ended
from pytest_dockerbin.runners.verdict import verdict

REFUSED = "QEMU refused an option of its runner, or a QEMU_* variable that the test sets"
FAILED = "this is the emulator's failure, not the program's; another version of it may do"
FOREIGN = "the runner's emulator is for another architecture than the program"
OTHERS = (
    "it started another program of its platform, which only the kernel's binfmt_misc handlers or "
    "--dockerbin-runner=container can do"
)
LIBRARIES = (
    "the libraries here are not those that it was built with: link it statically, or give it its "
    "own: the setting sysroot_target, or --dockerbin-runner=container:IMAGE"
)
LONGER = "a longer limit: run(timeout=...), or the ini key dockerbin_run_timeout"
GO = (
    "Go programs may hang under emulation: "
    'run(env={"GODEBUG": "asyncpreemptoff=1", "GOMAXPROCS": "1"})'
)
INODES = (
    "a 32-bit program can't hold this host's 64-bit inode numbers: "
    "build it with -D_FILE_OFFSET_BITS=64"
)


def told(stderr=b"", code=1, *, in_time=True, whole=True, program=Path("/nowhere"), **how):
    ended = Ended(b"", stderr, in_time=in_time, whole=whole)
    how = {"emulated": True, "models": lambda: "emulate -cpu help", **how}
    return verdict(program, ended, code=code, **how)


@pytest.mark.parametrize(
    ("stderr", "code", "kind", "returncode", "hint"),
    [
        (b"qemu: unknown option 'x'\n", 1, "emulator-fault", 1, REFUSED),
        (b"qemu: missing argument for option 'x'\n", 1, "emulator-fault", 1, REFUSED),
        (b"qemu: could not open gdbserver on 1\n", 1, "emulator-fault", 1, REFUSED),
        (
            b"qemu-arm: /x: requires more than reserved virtual address space (1 > 0)\n",
            1,
            "emulator-fault",
            1,
            REFUSED,
        ),
        (b"qemu: fatal: x\n", -6, "emulator-fault", -6, FAILED),
        (b"qemu: Invalid ELF image for this architecture\n", 255, "wrong-platform", 126, FOREIGN),
        (b"qemu: Invalid ELF image for this architecture\n", 1, "exited", 1, ""),
        (b"sh: /bin/x: Exec format error\n", 126, "exited", 126, OTHERS),
        (b"Value too large for defined data type\n", 1, "exited", 1, ""),  # of no file known here
        (b"x: error while loading shared libraries: y\n", 127, "exited", 127, LIBRARIES),
        (b"x: /lib/y: version `Z' not found (required by x)\n", 1, "exited", 1, LIBRARIES),
        (b"Error loading shared library y\n", 127, "exited", 127, LIBRARIES),
        (b"Error relocating x: y\n", 127, "exited", 127, LIBRARIES),
        (b"x: my own mistake\n", 1, "exited", 1, ""),
    ],
)
def test_a_hint_follows_from_what_was_said(stderr, code, kind, returncode, hint):
    found = told(stderr, code)
    assert (found.kind, found.returncode, found.hint) == (kind, returncode, hint)
    assert found.stderr == stderr


@pytest.mark.parametrize(
    ("number", "how", "hint"),
    [
        (11, {}, ""),
        (11, {"cpu": "x86-64-v1"}, ""),
        (
            4,
            {"cpu": "x86-64-v1"},
            (
                "illegal instruction on baseline CPU x86-64-v1: the program needs a newer one; "
                "was it built with -march=native, GOAMD64, target-cpu or the like?"
            ),
        ),
        (
            4,
            {},
            (
                "illegal instruction: the emulated processor lacks one that the program uses; "
                "a newer model may have it: --dockerbin-runner='qemu:-cpu max'"
            ),
        ),
        (
            4,
            {"emulated": False},
            "illegal instruction: the program was built for a newer processor than this one",
        ),
    ],
)
def test_a_signal_s_hint_is_of_the_processor(number, how, hint):
    found = told(code=-number, **how)
    assert (found.kind, found.returncode, found.hint) == ("signaled", -number, hint)


def test_a_timeout_s_hint_is_of_the_program(tmp_path):
    go = written(tmp_path, elf.elf(elf.ARM64) + b"\xff Go buildinf:\x08\x02")
    assert told(code=-9, in_time=False, program=go).hint == GO
    assert told(code=-9, in_time=False, program=go, emulated=False).hint == LONGER
    empty = written(tmp_path, b"", "empty")
    for program in (empty, tmp_path / "missing"):
        found = told(code=-9, in_time=False, program=program)
        assert (found.kind, found.returncode, found.hint) == ("timeout", -9, LONGER)


def test_a_timeout_is_one_whatever_the_program_said():
    found = told(b"qemu: fatal: x\n", -9, in_time=False)
    assert (found.kind, found.emulator_said) == ("timeout", "")


def test_inode_numbers_are_the_matter_of_32_bit_programs_only(tmp_path):
    said = b"Value too large for defined data type\n"
    arm = written(tmp_path, elf.elf(elf.ARM, bits=32))
    assert told(said, 2, program=arm).hint == INODES
    assert told(said, 2, program=written(tmp_path, elf.elf(elf.ARM64), "other")).hint == ""
    assert told(b"Value too large to be stored\n", 2, program=arm).hint == INODES


def test_too_much_output_is_told_unless_something_worse_is():
    assert told(code=3, whole=False).kind == "output-limit"
    assert told(code=0, whole=False).kind == "output-limit"
    assert told(b"qemu: fatal: x\n", -6, whole=False).kind == "emulator-fault"


@pytest.mark.parametrize("code", [1, 255])
def test_the_program_s_own_loader_is_told(tmp_path, code):
    program = written(tmp_path, dynamic("/lib/ld-x.so"))
    said = b"qemu-aarch64: Could not open '/lib/ld-x.so': No such file or directory\n"
    found = told(said, code, program=program)
    assert (found.kind, found.returncode) == ("no-loader", 127)
    assert said.startswith(found.emulator_said.encode())
    assert found.hint == (
        "link it statically, or give it /lib/ld-x.so: the setting sysroot_target, "
        "or --dockerbin-runner=container:IMAGE"
    )
    other = said.replace(b"ld-x", b"ld-y")
    assert told(other, code, program=program).kind == "exited"
    assert told(said, code).kind == "exited"


def test_warnings_are_the_emulator_s_and_stand_before_its_last_words():
    warning = b"qemu-x86_64: warning: TCG doesn't support requested feature: x\n"
    last = b"qemu: uncaught target signal 11 (Segmentation fault) - core dumped\n"
    found = told(warning + b"mine\n" + last, -11)
    assert found.stderr == b"mine\n"
    assert found.emulator_said == (warning + last).decode().strip()
    assert told(warning + b"mine\n", 0).emulator_said == warning.decode().strip()
    assert told(warning, 0, emulated=False).stderr == warning


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        (Kind.EXITED, 3, "ended with exit code 3"),
        (Kind.SIGNALED, -11, "was ended by SIGSEGV"),
        (Kind.TIMEOUT, -9, "did not end within 1.5 s"),
        (Kind.OUTPUT_LIMIT, 0, "ended with exit code 0, and more output than is kept"),
        (Kind.EMULATOR_FAULT, 1, "was not run to its end: its emulator failed"),
        (Kind.NO_LOADER, 127, "could not be run: no-loader"),
    ],
)
def test_every_end_but_a_good_one_is_told_in_words(kind, code, said):
    result = RunResult(
        program=Path("/x/hello"),
        platform=Platform.parse("linux/arm64"),
        args=("/x/hello",),
        returncode=code,
        stdout="",
        stderr="",
        duration=1.5,
        runner="binfmt",
        emulated=True,
        kind=kind,
        emulator="QEMU 1.2",
    )
    with pytest.raises(RunError) as raised:
        result.check()
    expected = f"hello for linux/arm64 {said} (binfmt, emulated by QEMU 1.2)"
    assert raised.value.summary == expected


def test_of_a_good_end_there_is_nothing_to_say():
    found = told(b"mine\n", 0)
    assert found == (Kind.EXITED, 0, b"mine\n", "", "")
    assert told(b"", 3) == (Kind.EXITED, 3, b"", "", "")
    ended = Ended(b"", b"", in_time=True, whole=True)
    native = verdict(Path("/nowhere"), ended, code=-4, emulated=False)
    assert "baseline" not in native.hint
