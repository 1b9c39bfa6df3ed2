"""How a run is classified: every row of what was measured, with QEMU itself where it is here."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import elf
import pytest
from programs import (
    ARM64,
    ARM64_EXECUTES,
    ARM64_EXIT,
    ARM64_FAULT,
    ARM64_ILLEGAL,
    ARM64_NAME,
    QEMU,
    QEMU_ARM,
    arm64,
    dynamic,
    written,
)

from pytest_dockerbin.artifact import Binary
from pytest_dockerbin.errors import RunError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.results import Command, Sysroot
from pytest_dockerbin.runners import proof, refusal
from pytest_dockerbin.runners.host import HostRunner
from pytest_dockerbin.runners.process import Ended
from pytest_dockerbin.runners.proof import ProofError, prove, write_tiny
from pytest_dockerbin.runners.refusal import why_not_started
from pytest_dockerbin.runners.tiny import idle_program, tiny_program
from pytest_dockerbin.runners.verdict import verdict

HOST = Platform.host()
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux programs")
needs_qemu = pytest.mark.skipif(QEMU is None, reason="needs qemu-aarch64(-static)")
needs_qemu_arm = pytest.mark.skipif(QEMU_ARM is None, reason="needs qemu-arm(-static)")


def binary(
    path, *prefix, emulated=True, factor=1.0, variables=(), platform=ARM64, version="QEMU 1.2"
):
    runner = HostRunner(
        name="qemu" if prefix else "binfmt" if emulated else "native",
        emulated=emulated,
        timeout=30.0,
        timeout_factor=factor,
        prefix=prefix,
        variables=variables,
        version=version if emulated else "",
    )
    return Binary(path=path, platform=platform, size=0, sha256="", runner=lambda *_: runner)


@pytest.fixture(params=["explicit", "binfmt"])
def emulator(request, tmp_path_factory):
    """The words before an arm64 program: QEMU's name, or none where the kernel starts it."""
    if request.param == "explicit":
        if QEMU is None:
            pytest.skip("needs qemu-aarch64(-static)")
        return (QEMU,)
    try:
        prove((str(write_tiny(ARM64, tmp_path_factory.mktemp("proof"))),))
    except ProofError:
        pytest.skip("needs a binfmt_misc handler for arm64")
    return ()


# -- explicit qemu --------------------------------------------------------------------------------


@needs_qemu
def test_an_explicit_emulator_runs_the_program(tmp_path):
    path = written(tmp_path, tiny_program(ARM64, 42))
    result = binary(path, QEMU).run("x")
    assert (result.returncode, result.kind) == (42, "exited")
    assert result.args == (QEMU, str(path), "x")
    assert (result.runner, result.emulated, result.emulator) == ("qemu", True, "QEMU 1.2")


@pytest.mark.parametrize(
    ("words", "number"), [(ARM64_FAULT, signal.SIGSEGV), (ARM64_ILLEGAL, signal.SIGILL)]
)
def test_a_signal_of_the_program_is_its_own_and_qemu_s_line_is_taken_off(
    tmp_path, emulator, words, number
):
    """Natively there is no such line, so it would spoil every comparison."""
    result = binary(written(tmp_path, arm64(*words)), *emulator).run()
    assert (result.kind, result.signal, result.returncode) == ("signaled", number, -number)
    assert result.stderr == ""
    assert result.emulator_said.startswith(f"qemu: uncaught target signal {number:d} (")
    assert f"QEMU:   {result.emulator_said}\n" in f"{result}\n"
    assert f"was ended by {number.name} ({result.runner}, emulated by QEMU 1.2)" in str(result)
    assert ("illegal instruction" in result.hint) is (number == signal.SIGILL)


def test_no_core_file_is_left(tmp_path, emulator):
    path = written(tmp_path, arm64(*ARM64_FAULT))
    binary(path, *emulator).run(cwd=tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_said_where_qemu_says_nothing(tmp_path, emulator):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        binary(tmp_path / "nowhere", *emulator).run()


@needs_qemu_arm
def test_an_emulator_for_another_architecture_is_refused_before_it_runs(tmp_path):
    result = binary(written(tmp_path, tiny_program(ARM64, 0)), QEMU_ARM).run()
    assert (result.kind, result.returncode) == ("wrong-platform", 126)
    assert result.stderr.endswith(f"is a 64-bit arm64 ELF file; {QEMU_ARM} emulates arm\n")


@needs_qemu_arm
def test_an_emulator_whose_name_says_nothing_is_told_by_its_words(tmp_path):
    emulator = tmp_path / "emulate"
    emulator.symlink_to(QEMU_ARM)
    result = binary(written(tmp_path, tiny_program(ARM64, 0)), str(emulator)).run()
    assert (result.kind, result.returncode) == ("wrong-platform", 126)
    assert "Invalid ELF image for this architecture" in result.emulator_said


@needs_qemu
@pytest.mark.parametrize(
    ("prefix", "variables"),
    [(("-cpu", "nonsense"), ()), ((), (("QEMU_CPU", "nonsense"),))],
)
def test_a_cpu_model_that_the_emulator_lacks_is_its_fault(tmp_path, prefix, variables):
    path = written(tmp_path, tiny_program(ARM64, 0))
    result = binary(path, QEMU, *prefix, variables=variables).run()
    assert (result.kind, result.returncode) == ("emulator-fault", 1)
    assert result.emulator_said.endswith("unable to find CPU model 'nonsense'")
    assert "-cpu help" in result.hint


@needs_qemu
def test_an_option_that_the_emulator_lacks_is_its_fault(tmp_path):
    path = written(tmp_path, tiny_program(ARM64, 0))
    result = binary(path, QEMU, "-nonsense").run()
    assert (result.kind, result.emulator_said) == (
        "emulator-fault", "qemu: unknown option 'nonsense'",
    )  # fmt: skip


def test_a_missing_emulator_is_said(tmp_path):
    path = written(tmp_path, tiny_program(ARM64, 0))
    result = binary(path, "/nowhere/qemu-aarch64").run()
    assert (result.kind, result.returncode) == ("no-emulator", 126)
    assert result.stderr == "dockerbin: there is no emulator /nowhere/qemu-aarch64\n"


# -- the loader -----------------------------------------------------------------------------------

LOADER = "/lib/no-such-loader.so.1"


@needs_qemu
def test_a_missing_loader_is_said_before_the_run_when_the_sysroot_is_known(tmp_path):
    path = written(tmp_path, elf.elf(elf.ARM64, interpreter=LOADER))
    for runner in (
        binary(path, QEMU, "-L", str(tmp_path)),
        binary(path, QEMU, variables=(("QEMU_LD_PREFIX", str(tmp_path)),)),
    ):
        result = runner.run()
        assert (result.kind, result.returncode) == ("no-loader", 127)
        assert result.stderr == (
            f"dockerbin: program needs {LOADER}, which is neither in {tmp_path} nor here\n"
        )
        assert "sysroot_target" in result.hint


@needs_qemu
def test_a_loader_in_the_sysroot_is_found(tmp_path):
    path = written(tmp_path, elf.elf(elf.ARM64, interpreter=LOADER))
    (tmp_path / "lib").mkdir()
    (tmp_path / LOADER[1:]).write_bytes(tiny_program(ARM64, 0))
    assert binary(path, QEMU, "-L", str(tmp_path)).run().kind != "no-loader"


def test_a_missing_loader_is_told_by_qemu_s_words_when_nothing_is_known(tmp_path, emulator):
    """Of an emulator that did not tell its version, or is told nothing of folders."""
    result = binary(written(tmp_path, dynamic(LOADER)), *emulator, version="").run()
    assert (result.kind, result.returncode) == ("no-loader", 127)
    assert f"Could not open '{LOADER}'" in result.emulator_said


@pytest.mark.parametrize("emulator", ["binfmt"], indirect=True)
def test_a_missing_loader_is_said_before_the_kernel_starts_its_emulator(tmp_path, emulator):
    """Whatever folder of its own that has: it is told to look nowhere else."""
    program = binary(written(tmp_path, dynamic(LOADER)), *emulator)
    result = program.run()
    assert (result.kind, result.returncode, result.emulator_said) == ("no-loader", 127, "")
    assert result.stderr == f"dockerbin: program needs {LOADER}, which is not here\n"
    assert result.variables == {"QEMU_LD_PREFIX": "/"}
    assert "sysroot_target" in result.hint
    with pytest.raises(RunError, match=f"^program needs {LOADER}, which is not here\n"):
        program.popen()
    static = binary(written(tmp_path, tiny_program(ARM64, 0), "static")).run()
    assert (static.returncode, static.variables) == (0, {})


def test_rosetta_s_missing_loader_and_failures_are_told(tmp_path):
    """On a Linux machine of a Mac, whose emulator has words of its own (docker/for-mac#7644)."""
    path = written(tmp_path, elf.elf(elf.AMD64, interpreter="/lib64/ld-linux-x86-64.so.2"))
    said = b"rosetta error: failed to open elf at /lib64/ld-linux-x86-64.so.2\n "
    found = told(said, -5, program=path)
    assert (found.kind, found.returncode) == ("no-loader", 127)
    assert "give it /lib64/ld-linux-x86-64.so.2" in found.hint
    found = told(b"rosetta error: unexpectedly need to EmulateForward\n", -5, program=path)
    assert found.kind == "emulator-fault"
    assert "the emulator's failure" in found.hint
    assert told(said, -5, program=path, emulated=False).kind == "signaled"


def test_a_missing_interpreter_of_a_script_is_named(tmp_path):
    path = written(tmp_path, b"#!/no/such/shell -e\n")
    result = binary(path, emulated=False).run()
    assert (result.kind, result.returncode) == ("no-loader", 127)
    assert result.stderr == "dockerbin: program needs /no/such/shell, which is not here\n"
    assert result.hint.startswith("a script needs its interpreter: put /no/such/shell there, or ")
    assert "link" not in result.hint


def test_what_is_no_program_is_of_the_wrong_platform(tmp_path):
    result = binary(written(tmp_path, b"only text\n"), emulated=False).run()
    assert (result.kind, result.returncode) == ("wrong-platform", 126)
    assert "neither a program nor a script" in result.stderr


def test_a_script_without_the_x_bit_is_the_test_s_own_mistake(tmp_path):
    path = written(tmp_path, b"#!/bin/sh\n")
    path.chmod(0o644)
    with pytest.raises(PermissionError):
        binary(path, emulated=False).run()


def test_a_wrapper_that_is_missing_is_the_test_s_own_mistake(tmp_path):
    path = written(tmp_path, b"#!/bin/sh\n")
    run = binary(path, emulated=False).run
    with pytest.raises(FileNotFoundError) as caught:
        run(wrapper=("no-such-wrapper",))
    assert str(caught.value) == "[Errno 2] wrapper: there is no such program: 'no-such-wrapper'"
    with pytest.raises(PermissionError) as caught:
        run(wrapper=(tmp_path,))
    assert str(caught.value) == f"[Errno 13] wrapper: Permission denied: '{tmp_path}'"


def test_what_the_system_refuses_otherwise_is_raised(tmp_path):
    error = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    with pytest.raises(OSError, match="memory"):
        why_not_started(Command(program=tmp_path / "x", platform=ARM64, env={}), (), error)


def test_an_emulator_without_the_x_bit_is_named(tmp_path):
    emulator = written(tmp_path, b"#!/bin/sh\n", "qemu")
    emulator.chmod(0o644)
    with pytest.raises(PermissionError) as caught:
        binary(written(tmp_path, tiny_program(ARM64, 42)), str(emulator)).run()
    assert caught.value.filename == str(emulator)


def test_a_program_that_can_t_be_read_may_be_executed(tmp_path, monkeypatch):
    """Root can read everything, so that no real file would do."""

    def closed(_):
        raise PermissionError

    path = written(tmp_path, tiny_program(HOST, 42))
    monkeypatch.setattr(refusal, "_header", closed)
    assert binary(path, emulated=False, platform=HOST).run().returncode == 42


def test_the_sysroot_of_a_program_is_named_last_to_an_emulator(tmp_path):
    runner = HostRunner(name="qemu", timeout=1, timeout_factor=1, prefix=("qemu", "-L", "/"))
    found = runner.with_sysroot(Sysroot(tmp_path, "lib/ld.so"))
    assert found.prefix == ("qemu", "-L", "/", "-L", str(tmp_path))


def test_a_tiny_program_that_does_not_end_proves_nothing(monkeypatch):
    monkeypatch.setattr(proof, "_PATIENCE", 0.01)
    with pytest.raises(ProofError, match="a tiny program did not end within 0 s"):
        prove(("sleep", "600"))


# -- another architecture than the platform's -----------------------------------------------------


@pytest.mark.parametrize("emulated", [True, False])
def test_a_program_of_another_architecture_is_not_run(tmp_path, emulated):
    """The kernel would find something that runs it, and not what the result then says."""
    path = written(tmp_path, tiny_program(HOST, 0))
    foreign = ARM64 if HOST != ARM64 else Platform.parse("linux/amd64")
    result = binary(path, emulated=emulated, platform=foreign).run()
    assert (result.kind, result.returncode, result.stdout) == ("wrong-platform", 126, "")
    assert result.stderr == (
        f"dockerbin: program is a 64-bit {HOST.architecture} ELF file, "
        f"and its platform is {foreign}\n"
    )
    with pytest.raises(RunError, match=f"^program is .*, and its platform is {foreign}$"):
        binary(path, emulated=emulated, platform=foreign).popen()


def test_a_32_bit_program_is_one_of_amd64(tmp_path):
    path = written(tmp_path, tiny_program(Platform.parse("linux/386"), 0))
    amd64 = Platform.parse("linux/amd64")
    assert binary(path, emulated=False, platform=amd64).run().kind != "wrong-platform"
    assert binary(path, emulated=False).run().kind == "wrong-platform"


def test_a_machine_that_is_unknown_is_told_so(tmp_path):
    path = written(tmp_path, elf.elf(0xBEEF))
    result = binary(path, emulated=False).run()
    assert (result.kind, result.returncode) == ("wrong-platform", 126)
    assert result.hint == "machine 0xbeef is unknown: no platform has it"


def test_a_program_of_another_system_is_of_the_wrong_platform(tmp_path):
    """No emulator of Linux programs would help."""
    result = binary(written(tmp_path, elf.pe(0xAA64)), emulated=False).run()
    assert (result.kind, result.returncode, result.hint) == ("wrong-platform", 126, "")
    assert "is a 64-bit arm64 PE file, and its platform is linux/arm64" in result.stderr


@pytest.mark.parametrize(
    ("data", "what", "hint"),
    [
        (
            b"#!/bin/sh\nexit 0\n",
            "a script",
            "run /bin/sh, if it is exported, with the script as its argument",
        ),
        (b"text\n", "no program", ""),
        (b"", "no program", ""),
        (elf.pe(), "a 64-bit amd64 PE file", ""),
    ],
)
def test_an_emulator_by_its_name_runs_elf_programs_only(tmp_path, data, what, hint):
    """QEMU would end with 1, and say nothing of most of them."""
    for emulator in ("/nowhere/qemu-aarch64-static", "/nowhere/emulate"):
        result = binary(written(tmp_path, data), emulator).run()
        assert (result.kind, result.returncode) == ("wrong-platform", 126)
        assert result.stderr == (
            f"dockerbin: program is {what}; QEMU, started by its name, runs ELF programs only\n"
        )
        assert result.hint == hint


# -- what the emulator says -----------------------------------------------------------------------

FAULTS = [  # from QEMU's sources, 5.0 to 10.0
    b"qemu: unhandled CPU exception 0x10002 - aborting",
    b"qemu: 0x08048000: unhandled CPU exception 0x5 - aborting",
    b"qemu: fatal: Illegal instruction: 0000 @ 00010054",
    b"qemu-arm-static: Unable to reserve 0xffff0000 bytes of virtual address space at (nil) (Ca)",
    b"qemu-i386: /x: Unable to find a guest_base to satisfy all guest address mapping requirements",
    b"x86_64-binfmt-P: QEMU internal SIGSEGV {code=MAPERR, addr=0x20}",
    b"../../tcg/tcg.c:1234: tcg fatal error",
    b"ERROR:../../accel/tcg/cpu-exec.c:950:cpu_exec: assertion failed: (cpu == current_cpu)",
    b"qemu-x86_64: ../../linux-user/mmap.c:12: mmap_fork_end: Assertion `x' failed.",
    b"qemu-aarch64-static: unable to find CPU model 'x'",
    b"arm-binfmt-P: /x: requires more than reserved virtual address space (0x2d60 > 0x1)",
    b"qemu: could not open gdbserver on /nonexistent/x",
]


def told(
    stderr, code=-6, *, stdout=b"", emulated=True, in_time=True, program=Path("/nowhere"), **case
):
    ended = Ended(stdout, stderr, in_time=in_time, whole=True)
    models = {"models": lambda: "emulate -cpu help"}
    return verdict(program, ended, code=code, emulated=emulated, **models, **case)


@pytest.mark.parametrize("line", FAULTS)
def test_the_emulator_s_own_failure_is_told_by_its_words(line):
    """Its abort is often followed by the line about a signal, as if the program had got it."""
    last = b"qemu: uncaught target signal 6 (Aborted) - core dumped\n"
    found = told(b"of the program\n" + line + b"\n" + last)
    assert (found.kind, found.emulator_said) == ("emulator-fault", line.decode())
    assert found.stderr.startswith(b"of the program\n")
    assert found.hint


USAGE = (
    b"usage: qemu-aarch64 [options] program [arguments...]\n"
    b"Linux CPU emulator (compiled for aarch64 emulation)\n"
)
LOG = b"Log items (comma separated):\nout_asm         show generated host assembly code\n"


@pytest.mark.parametrize("printed", [USAGE, LOG])
def test_options_that_the_emulator_refuses_on_standard_output_are_its_fault(printed):
    found = told(b"", 1, stdout=printed)
    assert (found.kind, found.emulator_said) == (
        "emulator-fault", printed.decode().splitlines()[0],
    )  # fmt: skip
    assert found.hint.startswith("QEMU refused an option of its runner, or a QEMU_* variable")
    assert told(b"", 2, stdout=printed).kind == "exited"
    assert told(b"", 1, stdout=b"mine\n" + printed).kind == "exited"
    assert told(b"", 1, stdout=printed, emulated=False).kind == "exited"


def test_a_missing_model_is_told_with_the_command_that_lists_them():
    hint = told(b"qemu-arm: unable to find CPU model 'x'\n", 1).hint
    assert hint == "`emulate -cpu help` lists the models that this emulator has"


@pytest.mark.parametrize(
    "variable",
    [
        {"QEMU_RESERVED_VA": "1"},
        {"QEMU_STACK_SIZE": "x"},
        {"QEMU_LOG": "nosuch"},
        {"QEMU_GDB": "/nonexistent/x"},
    ],
)
def test_variables_that_qemu_refuses_are_no_end_of_the_program(tmp_path, emulator, variable):
    result = binary(written(tmp_path, tiny_program(ARM64, 0)), *emulator).run(env=variable)
    assert (result.kind, result.returncode) == ("emulator-fault", 1)
    assert result.emulator_said
    assert "QEMU_*" in result.hint


WARNINGS = (
    b"qemu-x86_64: warning: TCG doesn't support requested feature: CPUID.01H:ECX.pcid [bit 17]\n"
    b"qemu-x86_64: warning: TCG doesn't support requested feature: CPUID.07H:EBX.hle [bit 4]\n"
)


@pytest.mark.parametrize(("code", "kind"), [(0, "exited"), (1, "exited"), (-11, "signaled")])
def test_what_the_emulator_warns_of_is_not_the_program_s(code, kind):
    found = told(WARNINGS + b"mine\n", code)
    assert (found.kind, found.stderr) == (kind, b"mine\n")
    assert found.emulator_said == WARNINGS.decode().strip()
    assert told(b"mine\n" + WARNINGS, code).stderr == b"mine\n" + WARNINGS
    assert told(WARNINGS, code, emulated=False).stderr == WARNINGS


def test_what_the_emulator_said_is_shown_once(tmp_path, emulator):
    path = written(tmp_path, tiny_program(ARM64, 0))
    result = binary(path, *emulator, variables=(("QEMU_CPU", "nonsense"),)).run()
    lines = str(result).splitlines()
    assert [line for line in lines if "unable to find CPU model" in line] == [
        f"QEMU:   {result.emulator_said}"
    ]
    assert "env:    QEMU_CPU=nonsense" in lines
    assert result.variables == {"QEMU_CPU": "nonsense"}


@pytest.mark.parametrize("line", FAULTS)
def test_its_words_mean_nothing_of_a_native_program_and_of_one_that_succeeds(line):
    assert told(line, 1, emulated=False).kind == "exited"
    assert told(line, 0).kind == "exited"


@pytest.mark.parametrize(
    "line",
    [
        b"ERROR:main.c:12:main: assertion failed: (x)",
        b"program: main.c:12: main: Assertion `x' failed.",
        b"could not open '/etc/config': No such file or directory",
    ],
)
def test_what_a_program_says_of_its_own_failure_is_not_the_emulator_s(line):
    assert told(line + b"\n").kind == "signaled"
    assert told(line + b"\n", 1).kind == "exited"


@pytest.mark.parametrize("code", [1, 255])
def test_an_exit_code_alone_says_nothing(code):
    assert told(b"", code) == ("exited", code, b"", "", "")


def test_a_loader_that_the_program_itself_failed_to_open_is_not_its_loader(tmp_path):
    """A program that opens plugins says the same words; the file tells the difference."""
    path = written(tmp_path, elf.elf(elf.ARM64, interpreter="/lib/ld.so"))
    said = b"app: Could not open '/lib/plugin.so': No such file or directory\n"
    assert told(said, 255, program=path).kind == "exited"
    assert told(said.replace(b"plugin", b"ld"), 255, program=path).kind == "no-loader"


def test_only_the_last_line_is_taken_off_and_only_after_a_signal():
    line = b"qemu: uncaught target signal 11 (Segmentation fault) - core dumped\n"
    assert told(b"one\n" + line, -11).stderr == b"one\n"
    assert told(line + b"more\n", -11).stderr == line + b"more\n"
    assert told(line, 139).stderr == line  # a child of the program
    assert told(line, -11, emulated=False).stderr == line


def test_riscv64_has_no_such_line_and_is_told_all_the_same():
    """QEMU prints it only for processors of which it can write core files."""
    assert told(b"", -11)[:4] == ("signaled", -11, b"", "")


NO_TEXT = [  # a path may have any bytes
    (b"/\xff: requires more than reserved virtual address space (0x2 > 0x1)", -6, "emulator-fault"),
    (b"/\xff: Invalid ELF image for this architecture", 255, "wrong-platform"),
    (f"/\xff: Could not open '{LOADER}': No such file".encode("latin-1"), 255, "no-loader"),
    (b"/\xff: warning: TCG doesn't support requested feature: x\n", 1, "exited"),
    (b"qemu: uncaught target signal 11 (\xff) - core dumped\n", -11, "signaled"),
]


@pytest.mark.parametrize(("words", "code", "kind"), NO_TEXT, ids=[kind for *_, kind in NO_TEXT])
def test_words_that_are_no_text_are_told_all_the_same(tmp_path, words, code, kind):
    found = told(words, code, program=written(tmp_path, dynamic(LOADER)))
    assert found.kind == kind
    assert "\N{REPLACEMENT CHARACTER}" in found.emulator_said


def test_a_missing_loader_whose_path_is_no_text_is_told(tmp_path):
    path = written(tmp_path, dynamic("/lib/ld-X.so").replace(b"ld-X", b"ld-\xff"))
    found = told(b"/x: Could not open '/lib/ld-\xff.so': No such file", 255, program=path)
    assert (found.kind, found.returncode) == ("no-loader", 127)
    assert "/lib/ld-\N{REPLACEMENT CHARACTER}.so" in found.hint


# -- hints ----------------------------------------------------------------------------------------


def test_a_32_bit_program_that_meets_large_inodes_is_told(tmp_path):
    said = b"ls: .: Value too large for defined data type\n"
    arm = written(tmp_path, elf.elf(elf.ARM, bits=32))
    assert "_FILE_OFFSET_BITS=64" in told(said, 2, program=arm).hint
    assert told(said, 2, program=written(tmp_path, elf.elf(elf.ARM64))).hint == ""


def test_a_go_program_that_hangs_under_emulation_is_told(tmp_path):
    go = written(tmp_path, elf.elf(elf.ARM64) + b"\xff Go buildinf:\x08\x02")
    assert "GODEBUG" in told(b"", -9, in_time=False, program=go).hint
    assert "GODEBUG" not in told(b"", -9, in_time=False, emulated=False, program=go).hint
    other = written(tmp_path, elf.elf(elf.ARM64))
    assert "dockerbin_run_timeout" in told(b"", -9, in_time=False, program=other).hint


def test_a_program_that_can_t_start_others_is_told():
    assert "binfmt_misc" in told(b"sh: /bin/x: Exec format error\n", 126).hint


def test_a_new_instruction_is_told():
    assert "-cpu max" in told(b"", -4).hint
    assert "newer processor" in told(b"", -4, emulated=False).hint


@pytest.mark.parametrize(
    "line",
    [
        b"Fatal glibc error: CPU does not support x86-64-v2",
        b"Fatal glibc error: CPU lacks VXE support (z14 or later required)",
        b"This program can only be run on AMD64 processors with v3 microarchitecture support.",
        (
            b"runtime: this CPU has no VFPv3 floating point hardware, so it cannot run\n"
            b"this GOARM=7 binary. Recompile using GOARM=6."
        ),
    ],
)
def test_a_program_that_finds_its_processor_too_old_is_told_as_one_that_does_not(line):
    assert "on baseline CPU x86-64-v1: " in told(line + b"\n", 1, cpu="x86-64-v1").hint
    assert "-cpu max" in told(line + b"\n", 127).hint
    assert told(line + b"\n", 1, emulated=False).hint == ""


@pytest.mark.parametrize(
    "line",
    [
        b"strace: test_ptrace_get_syscall_info: PTRACE_TRACEME: Function not implemented",
        b"panic: io_uring_setup: function not implemented",
        b"Error: ENOSYS: function not implemented, uv_pipe_open",
    ],
)
def test_a_call_that_qemu_lacks_is_told(line):
    hint = told(line + b"\n", 1).hint
    assert hint.startswith("QEMU knows no ptrace, seccomp, ")
    assert "emulated=False" in hint
    assert told(line + b"\n", 1, emulated=False).hint == ""


@pytest.mark.parametrize(
    ("version", "bad"),
    [
        ("QEMU 5.0.1", False),
        ("QEMU 5.2.0", True),
        ("QEMU 6.1.0", False),
        ("QEMU 7.2.22", True),
        ("QEMU 9.2.1", True),
        ("QEMU 9.2.2", False),
        ("QEMU 10.0.2", False),
        ("", False),
    ],
)
def test_versions_of_qemu_that_crash_sound_programs_are_named(version, bad):
    """Of a crash, which may be the program's own; not of an abort, which is a decision."""
    for number in (signal.SIGSEGV, signal.SIGBUS):
        hint = told(b"", -number, version=version).hint
        assert hint.startswith(f"its own fault, or that of {version}, ") is bad
    assert told(b"", -signal.SIGABRT, version=version).hint == ""
    fault = told(b"qemu: fatal: x\n", version=version).hint
    assert fault.startswith(f"{version} is known for it") is (bad and bool(version))


def test_memory_pages_that_are_too_large_are_told_natively_too():
    said = b"<jemalloc>: Unsupported system page size\n"
    assert "--with-lg-page=16" in told(said, emulated=False).hint


# -- what was measured beside ---------------------------------------------------------------------


def test_a_program_without_the_x_bit_is_the_test_s_own_mistake(tmp_path, emulator):
    """Also where QEMU would end with 1 and say nothing."""
    path = written(tmp_path, tiny_program(ARM64, 42))
    path.chmod(0o644)
    with pytest.raises(PermissionError, match=str(path)):
        binary(path, *emulator).run()


@pytest.fixture
def noexec(tmp_path):
    folder = tmp_path / "noexec"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,noexec", "none", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs to mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_noexec_mount_matters_to_the_kernel_and_not_to_qemu(noexec, emulator):
    result = binary(written(noexec, tiny_program(ARM64, 42)), *emulator).run()
    if emulator:
        assert (result.kind, result.returncode) == ("exited", 42)
    else:
        assert result.returncode == 126
        assert result.stderr == (f"dockerbin: program lies on {noexec}, which is mounted noexec\n")


def test_qemu_that_would_only_print_its_version_is_not_started(tmp_path, emulator):
    """It would end with 0, and the program would not have run at all."""
    program = binary(written(tmp_path, tiny_program(ARM64, 42)), *emulator)
    result = program.run(env={"QEMU_VERSION": ""})
    assert (result.kind, result.returncode, result.stdout) == ("emulator-fault", 126, "")
    assert "QEMU_VERSION is set" in result.stderr
    assert result.hint == "take QEMU_VERSION out of env"
    assert program.run().returncode == 42


def test_a_trace_that_a_test_asks_for_is_in_standard_error(tmp_path, emulator, monkeypatch):
    program = binary(written(tmp_path, tiny_program(ARM64, 42)), *emulator)
    result = program.run(env={"QEMU_STRACE": "1"})
    assert (result.kind, result.returncode) == ("exited", 42)
    assert "exit" in result.stderr
    monkeypatch.setenv("QEMU_STRACE", "1")
    assert program.run().stderr == ""


@pytest.mark.parametrize("words", [("-0", "name"), ()])
def test_the_name_by_which_a_program_is_called(tmp_path, emulator, words):
    """QEMU is told it by ``-0``, and takes the path else; with the flag P the kernel tells it."""
    path = written(tmp_path, arm64(*ARM64_NAME, 0xD2800000, *ARM64_EXIT))
    if emulator:
        expected = "name" if words else str(path)[:4]
        assert binary(path, *emulator, *words).run().stdout == expected
        return
    flags = [file.read_text() for file in Path("/proc/sys/fs/binfmt_misc").glob("*aarch64*")]
    if not any("P" in text.partition("flags: ")[2].partition("\n")[0] for text in flags):
        pytest.skip("the handler has no flag P")
    called = subprocess.run(["name"], executable=path, capture_output=True, text=True, check=True)
    assert called.stdout == "name"


def test_a_program_may_execute_another_only_where_the_kernel_knows_how(tmp_path, emulator):
    """Else with ENOEXEC; its own words for that give the hint."""
    path = written(tmp_path, arm64(*ARM64_EXECUTES, *ARM64_EXIT))
    other = written(tmp_path, tiny_program(ARM64, 42), "other")
    if not emulator:
        assert binary(path).run(other).returncode == 42
        return
    code = (
        "import sys; from pathlib import Path; from test_kinds import binary\n"
        "path, other, *emulator = sys.argv[1:]\n"
        "print(binary(Path(path), *emulator).run(other).returncode)\n"
    )
    empty = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc"
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*inside, empty], check=False, capture_output=True).returncode:
        pytest.skip("no user namespace with a binfmt_misc of its own")
    words = [sys.executable, "-c", code, str(path), str(other), *emulator]
    run = subprocess.run(
        [*inside, f'{empty} && exec "$@"', "sh", *words],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert run.stdout == f"{errno.ENOEXEC}\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes roots and mounts")
@pytest.mark.parametrize("emulator", ["binfmt"], indirect=True)
def test_a_handler_that_nobody_sees_works(tmp_path, emulator):
    """With the flag F also where its interpreter is not: in a chroot, and under another mount."""
    path = written(tmp_path, tiny_program(ARM64, 42))
    inside = tmp_path / "root" / str(path).lstrip("/")
    inside.parent.mkdir(parents=True)
    shutil.copy(path, inside)
    hide = 'mount -t tmpfs none /proc/sys/fs/binfmt_misc && exec "$@"'
    for wrapper in (
        ("chroot", tmp_path / "root"),
        ("unshare", "--mount", "sh", "-c", hide, "sh"),
    ):
        result = binary(path, *emulator).run(wrapper=wrapper)
        assert (result.kind, result.returncode, result.stderr) == ("exited", 42, "")


def test_what_the_system_calls_an_emulated_program(tmp_path, emulator):
    """By these names people look for it: QEMU's own, or the program's."""
    path = written(tmp_path, idle_program(ARM64))
    with binary(path, *emulator).popen() as program:
        folder = Path(f"/proc/{program.pid}")
        expected = (Path(emulator[0]).name if emulator else "program")[:15]
        deadline = time.monotonic() + 30
        while (folder / "comm").read_text().strip() != expected:
            assert time.monotonic() < deadline, (folder / "comm").read_text()
            time.sleep(0.01)
        first, *rest = (folder / "cmdline").read_text().split("\0")
        assert str(path) in rest
        assert "qemu" in first or "binfmt" in first


# -- what is measured, and shown ------------------------------------------------------------------


def python(code, **given):
    path = Path(sys.executable)
    return binary(path, emulated=False, platform=HOST).run("-ISc", code, **given)


def test_peak_memory_is_measured_above_our_own_size_and_below():
    big = python("x = bytearray(400 * 2**20)")
    assert 400 * 2**20 < big.max_rss < 600 * 2**20
    small = python("import time; x = bytearray(5 * 2**20); time.sleep(0.4); print()")
    assert 5 * 2**20 < small.max_rss < 100 * 2**20


def test_processor_time_is_measured():
    result = python("import time\nwhile time.process_time() < 0.2: pass")
    assert 0.2 <= result.cpu_time < 5
    assert python("import time; time.sleep(0.2)").cpu_time < 0.2


def test_a_wrapper_stands_before_the_whole_command(tmp_path):
    env = shutil.which("env")
    path = written(tmp_path, b"#!/bin/sh\necho $A\n")
    result = binary(path, emulated=False).run("x", wrapper=(env, "A=1"))
    assert (result.stdout, result.args) == ("1\n", (env, "A=1", str(path), "x"))


def test_the_test_s_variables_win_over_the_runner_s(tmp_path):
    path = written(tmp_path, b"#!/bin/sh\necho $A $B\n")
    runner = binary(path, emulated=False, variables=(("A", "runner"), ("B", "runner")))
    assert runner.run(env={"A": "test"}).stdout == "test runner\n"


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ("exit 3", "<RunResult: program for linux/arm64 ended with exit code 3 (native)>"),
        (
            "echo a; echo why >&2; kill -SEGV $$",
            (
                "<RunResult: program for linux/arm64 was ended by SIGSEGV (native); "
                "stderr ends with 'why'; stdout ends with 'a'>"
            ),
        ),
        (
            "seq 1000 | tr -d '\\n' >&2; exit 1",
            (
                "<RunResult: program for linux/arm64 ended with exit code 1 (native); "
                "stderr ends with '819829839849859869879889899909919929939949959969979989991000'>"
            ),
        ),
    ],
)
def test_a_result_is_short_in_a_failed_assertion(tmp_path, script, shown):
    path = written(tmp_path, f"#!/bin/sh\n{script}\n".encode())
    assert repr(binary(path, emulated=False).run()) == shown


def test_a_failed_check_says_what_a_person_needs(tmp_path):
    path = written(tmp_path, b"#!/bin/sh\necho out; kill -ILL $$\n")
    with pytest.raises(RunError) as caught:
        binary(path).run(check=True)
    assert str(caught.value).splitlines() == [
        "program for linux/arm64 was ended by SIGILL (binfmt, emulated by QEMU 1.2)",
        f"argv:   ['{path}']",
        "stdout:",
        "| out",
        (
            "hint:     illegal instruction: the emulated processor lacks one that the program "
            "uses; a newer model may have it: --dockerbin-runner='qemu:-cpu max'"
        ),
    ]
