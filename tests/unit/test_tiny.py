"""Tiny programs, the probe that runs them, and the runner of exported programs."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.results import Command, Kind
from pytest_dockerbin.runners.host import HostRunner
from pytest_dockerbin.runners.proof import ProofError, emulator_of, prove, write_tiny
from pytest_dockerbin.runners.qemu import find_emulator, name_of
from pytest_dockerbin.runners.tiny import (
    _MACHINES,
    idle_program,
    signal_program,
    tiny_program,
)

HOST = Platform.host()
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux programs")


def executed(data, folder):
    """Return the exit code of a program, or None where this kernel starts no such program."""
    file = folder / "program"
    file.write_bytes(data)
    file.chmod(0o700)
    try:
        return subprocess.run([file], check=False, env={}, timeout=60).returncode
    except OSError as error:
        assert error.strerror == "Exec format error"  # noqa: PT017 (most architectures are foreign)
        return None


# -- tiny programs --------------------------------------------------------------------------------


@on_linux
@pytest.mark.parametrize("architecture", sorted(_MACHINES))
@pytest.mark.parametrize("code", [0, 1, 42, 127])
def test_a_tiny_program_ends_with_its_code(architecture, code, tmp_path):
    ended = executed(tiny_program(Platform.parse(f"linux/{architecture}"), code), tmp_path)
    emulator = find_emulator(architecture)
    if ended is None and emulator is None:
        pytest.skip(f"nothing here executes {architecture}")
    if ended is not None:
        assert ended == code
    if emulator is not None:
        run = subprocess.run([emulator, tmp_path / "program"], check=False, timeout=60)
        assert run.returncode == code


@on_linux
def test_this_machine_executes_its_own_tiny_program(tmp_path):
    assert executed(tiny_program(HOST, 42), tmp_path) == 42


@pytest.mark.parametrize("platform", ["windows/amd64", "darwin/arm64", "wasip1/wasm"])
def test_there_is_none_for_other_systems(platform):
    assert tiny_program(Platform.parse(platform), 0) is None


@pytest.mark.parametrize("architecture", sorted(_MACHINES))
def test_a_tiny_program_is_smaller_than_a_page(architecture):
    assert len(tiny_program(Platform.parse(f"linux/{architecture}"), 0)) < 200


# -- the proof ------------------------------------------------------------------------------------


@on_linux
def test_this_machine_s_own_platform_is_proved(tmp_path):
    command = (str(write_tiny(HOST, tmp_path)),)
    prove(command)
    assert emulator_of(command) == ""


def test_an_emulator_s_variables_do_not_reach_the_proof(tmp_path, monkeypatch):
    """QEMU_VERSION would make qemu print its version and end with 0."""
    monkeypatch.setenv("QEMU_VERSION", "1")
    monkeypatch.setenv("QEMU_STRACE", "1")
    for name in ("amd64", "arm64"):
        platform = Platform.parse(name)
        try:
            prove((str(write_tiny(platform, tmp_path)),))
        except ProofError as error:
            assert platform != HOST
            assert "Exec format error" in str(error)  # noqa: PT017


def script(folder, text):
    """Return a command in the place of an emulator that behaves as the script says."""
    file = folder / "emulator"
    file.write_text(text)
    file.chmod(0o700)
    return (str(file),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#!/bin/sh\nexit 3\n", "a tiny program ended with 3 instead of 42"),
        (
            "#!/bin/sh\necho 'qemu: uncaught' >&2\nexit 1\n",
            "a tiny program ended with 1 instead of 42: qemu: uncaught",
        ),
        ("#!/bin/sh\nkill -SEGV $$\n", "a tiny program ended with -11 instead of 42"),
        ("#!/bin/sh\nexit 0\n", "a tiny program ended with 0 instead of 42"),
        ("not a program", "Exec format error"),
        ("#!/no/such/emulator\n", "No such file or directory"),
    ],
)
@pytest.mark.parametrize("ask", [prove, emulator_of])
def test_a_proof_that_fails_says_how(ask, text, said, tmp_path):
    with pytest.raises(ProofError) as caught:
        ask(script(tmp_path, text))
    assert str(caught.value) == said


@pytest.mark.parametrize("ask", [prove, emulator_of])
def test_a_proof_that_fails_once_is_tried_again(ask, tmp_path):
    ask(script(tmp_path, f"#!/bin/sh\nmkdir {tmp_path}/once 2>/dev/null && exit 1\nexit 42\n"))
    assert (tmp_path / "once").exists()


def test_qemu_tells_its_version_where_it_is_asked(tmp_path):
    printed = "qemu-arm version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)"
    command = script(tmp_path, f'#!/bin/sh\ntest $QEMU_VERSION || exit 42\necho "{printed}"\n')
    assert emulator_of(command) == "QEMU 7.2.22"
    prove(command)


# -- the runner -----------------------------------------------------------------------------------


def run(program, *args, name="native", timeout=None, limit=30.0, factor=1.0, **given):
    env, cwd = given.pop("env", {"PATH": os.defpath}), given.pop("cwd", None)
    command = Command(program=Path(program), platform=HOST, args=args, env=env, cwd=cwd)
    options = {"input": None, "text": True, "max_output": 2**20, **given}
    runner = HostRunner(name=name, emulated=name != "native", timeout=limit, timeout_factor=factor)
    return runner.run(command, timeout=timeout, **options)


def shell(script, **given):
    return run("/bin/sh", "-c", script, **given)


def test_a_program_that_ends_by_itself():
    result = shell("echo out; echo err >&2; exit 3")
    assert (result.returncode, result.stdout, result.stderr) == (3, "out\n", "err\n")
    assert (result.kind, result.signal) == (Kind.EXITED, None)
    assert (result.runner, result.emulated) == ("native", False)
    assert result.args == ("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    assert result.kind == "exited"


def test_a_program_that_a_signal_ends():
    result = shell("kill -SEGV $$")
    assert (result.kind, result.signal) == (Kind.SIGNALED, signal.SIGSEGV)
    assert result.returncode == -signal.SIGSEGV


def test_a_run_through_binfmt_is_emulated():
    assert shell("true", name="binfmt").emulated


def test_text_is_given_and_taken():
    assert run("/bin/cat", input="größe").stdout == "größe"
    assert run("/bin/cat", input=b"\xff").stdout == "�"
    assert run("/bin/cat", input=b"\xff", text=False).stdout == b"\xff"


def test_without_input_the_program_reads_nothing():
    assert run("/bin/cat").stdout == ""


def test_a_program_that_does_not_read_its_input_is_no_error():
    assert run("/bin/true", input="x" * 1_000_000).returncode == 0


def test_much_output_on_both_streams_does_not_block():
    result = shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2", text=False)
    assert (len(result.stdout), len(result.stderr)) == (1_000_000, 1_000_000)


def test_nothing_of_this_process_s_environment_is_handed_down(monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    assert shell("echo ${SECRET-unset} $GIVEN", env={"GIVEN": "y"}).stdout == "unset y\n"


def test_the_working_folder_is_the_one_given(tmp_path):
    assert run("/bin/pwd", cwd=tmp_path).stdout == f"{tmp_path}\n"


@pytest.mark.parametrize(
    "limits",
    [
        {"timeout": 0.2},
        {"limit": 0.2},
        {"timeout": 0.02, "factor": 10.0},
        {"limit": 0.02, "factor": 10.0},
    ],
)
def test_a_program_that_takes_too_long_is_ended(limits):
    result = shell("echo begun; exec sleep 600", **limits)
    assert (result.kind, result.returncode) == (Kind.TIMEOUT, -signal.SIGKILL)
    assert result.stdout == "begun\n"


def gone(pid):
    """Tell whether a process has ended, once the kernel is done with what was asked of it."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ended, _, _ = select.select([process], [], [], 10)
    finally:
        os.close(process)
    return bool(ended)


@on_linux
@pytest.mark.parametrize("last", ["exec sleep 600", "wait"])
def test_what_a_program_started_is_ended_with_it(last):
    result = shell(f"sleep 600 & echo $!; {last}", timeout=0.3)
    assert result.kind is Kind.TIMEOUT
    assert gone(int(result.stdout))


@on_linux
def test_a_helper_that_a_program_leaves_behind_is_ended():
    result = shell("sleep 600 >/dev/null 2>&1 & echo $!")
    assert result.kind is Kind.EXITED
    assert gone(int(result.stdout))


DAEMON = (
    "import os, sys, time\n"
    "if os.fork(): time.sleep({linger})\n"
    "else: os.setsid(); print(os.getpid(), flush=True); time.sleep(600)\n"
)


@on_linux
@pytest.mark.parametrize(("linger", "kind"), [(0, Kind.EXITED), (600, Kind.TIMEOUT)])
def test_a_daemon_that_keeps_the_streams_open_does_not_keep_us(linger, kind):
    """The run ends with the program, or at its limit; the daemon with it."""
    result = run(sys.executable, "-c", DAEMON.format(linger=linger), timeout=3)
    assert result.kind is kind
    assert gone(int(result.stdout))


@on_linux
def test_an_interrupt_ends_the_program_too(tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    # only once it has read something is it surely being followed
    script = "read word; echo $$ > pid; kill -USR1 $PPID; exec sleep 600"
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            shell(script, cwd=tmp_path, input="go\n")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert gone(int((tmp_path / "pid").read_text()))


@on_linux
def test_a_program_may_close_its_streams_and_go_on():
    result = shell("echo out; exec >&- 2>&-; sleep 0.2; exit 7")
    assert (result.returncode, result.stdout, result.kind) == (7, "out\n", Kind.EXITED)
    assert shell("exec >&- 2>&-; exec sleep 600", timeout=0.2).kind is Kind.TIMEOUT


@on_linux
def test_no_descriptor_is_left_open():
    """But for two that are kept, for all runs."""
    shell("true")
    before = set(Path("/proc/self/fd").iterdir())
    shell("cat", input="x" * 100_000)
    shell("exec sleep 600", input="x" * 1_000_000, timeout=0.1)
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_a_result_says_what_failed():
    result = shell("echo out; echo err >&2; exit 3")
    with pytest.raises(Exception, match=r"^sh for .* ended with exit code 3") as caught:
        result.check()
    assert caught.type.__name__ == "RunError"
    assert str(caught.value).splitlines() == [
        f"sh for {HOST} ended with exit code 3 (native)",
        "argv:   ['/bin/sh', '-c', 'echo out; echo err >&2; exit 3']",
        "stdout:",
        "| out",
        "stderr:",
        "| err",
    ]


@pytest.mark.parametrize(
    ("script", "given", "words"),
    [
        ("kill -9 $$", {}, f"sh for {HOST} was ended by SIGKILL (native)"),
        ("kill -9 $$", {"name": "binfmt"}, "was ended by SIGKILL (binfmt, emulated)"),
        ("exec sleep 600", {"timeout": 0.1}, f"sh for {HOST} did not end within 0."),
        ("seq 100; exit 1", {}, "stdout (last 40 of 100 lines):\n| 61\n"),
        ("printf '\\377'; exit 1", {"text": False}, "stdout:\n| �"),
    ],
)
def test_a_failure_is_told_with_how_it_ended(script, given, words):
    result = shell(script, **given)
    with pytest.raises(Exception, match=r"^sh for ") as caught:
        result.check()
    assert words in str(caught.value)
    assert str(result) == str(caught.value)


def test_a_success_needs_no_word():
    shell("echo fine >&2").check()


# -- what could not be started, and what wrote too much -------------------------------------------


def test_a_program_without_a_handler_is_told_so(tmp_path):
    """The kernel says only "Exec format error", as of a file without anything to load."""
    file = tmp_path / "foreign"
    start = tiny_program(HOST, 0)[:20]
    file.write_bytes(start.ljust(128, b"\0"))
    file.chmod(0o755)
    result = run(file)
    assert (result.kind, result.returncode) == ("no-emulator", 126)
    assert "no binfmt_misc handler" in result.stderr
    assert "qemu-user-static" in result.hint


def test_a_native_program_whose_loader_is_missing_is_told_so(tmp_path):
    """The kernel names the program, which is there, as the missing file."""
    program = bytearray(Path("/bin/ls").read_bytes())
    at = program.index(b"/lib64/ld-")
    program[at : at + 6] = b"/nolib"
    file = tmp_path / "ls"
    file.write_bytes(program)
    file.chmod(0o755)
    result = run(str(file))
    assert (result.kind, result.returncode) == ("no-loader", 127)
    assert "/nolib/ld-linux" in result.stderr


def test_a_working_folder_that_is_missing_is_the_test_s_own_mistake(tmp_path):
    with pytest.raises(FileNotFoundError, match="no-such-folder"):
        run("/bin/true", cwd=tmp_path / "no-such-folder")


def test_beginning_and_end_of_much_output_are_kept():
    result = shell("echo first; head -c 3000000 /dev/zero; echo last", max_output=1000)
    assert result.kind == "output-limit"
    assert result.stdout.startswith("first\n")
    assert result.stdout.endswith("last\n")
    head, gap, tail = result.stdout.partition("\n[... 2999011 bytes left out ...]\n")
    assert (len(head), bool(gap), len(tail)) == (500, True, 500)


@pytest.mark.parametrize("most", [1, 2, 9, 10])
@pytest.mark.parametrize("size", [1, 9, 10, 11, 237, 200_000])
def test_the_limit_of_output_holds(size, most):
    result = shell(f"head -c {size} /dev/zero", max_output=most)
    left_out = max(0, size - most)
    gap = f"\n[... {left_out} bytes left out ...]\n" if left_out else ""
    assert len(result.stdout) == min(size, most) + len(gap)
    assert gap in result.stdout
    assert result.kind == ("output-limit" if left_out else "exited")


def test_all_output_up_to_the_limit_is_kept():
    result = shell("printf 0123456789", max_output=20)
    assert (result.kind, result.stdout) == ("exited", "0123456789")


def test_a_file_that_is_still_open_for_writing_is_waited_for(tmp_path):
    """A fork elsewhere in the process can hold it open for a moment."""
    file = tmp_path / "true"
    shutil.copy("/bin/true", file)
    writer = file.open("ab")
    threading.Timer(0.3, writer.close).start()
    assert run(str(file)).returncode == 0


# -- what waits, and what sends a signal ----------------------------------------------------------


@on_linux
@pytest.mark.parametrize("architecture", sorted(_MACHINES))
def test_an_idle_program_waits_until_it_is_ended(architecture, tmp_path):
    platform = Platform.parse(f"linux/{architecture}")
    command = [tmp_path / "idle"]
    if executed(tiny_program(platform, 0), tmp_path) is None:
        command[:0] = [find_emulator(architecture)]
    if None in command:
        pytest.skip(f"nothing here executes {architecture}")
    command[-1].write_bytes(idle_program(platform))
    command[-1].chmod(0o700)
    process = subprocess.Popen(command, env={})
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.terminate()
    assert process.wait() == -signal.SIGTERM


@on_linux
@pytest.mark.parametrize("architecture", sorted(_MACHINES))
def test_a_signal_program_signals_all_processes(architecture, tmp_path):
    """With signal 0, which tests whether there are any and does nothing to them."""
    emulator = shutil.which(f"qemu-{name_of(architecture)}-static")
    if emulator is None:
        pytest.skip(f"nothing here shows the system calls of {architecture}")
    file = tmp_path / "signal"
    file.write_bytes(signal_program(Platform.parse(f"linux/{architecture}"), 0))
    file.chmod(0o700)
    run = subprocess.run([emulator, "-strace", file], check=True, capture_output=True, text=True)
    assert "kill(-1,0)" in run.stderr


@pytest.mark.parametrize("platform", ["windows/amd64", "wasip1/wasm"])
def test_other_systems_have_neither(platform):
    assert idle_program(Platform.parse(platform)) is None
    assert signal_program(Platform.parse(platform), 9) is None
