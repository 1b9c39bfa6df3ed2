"""Runs programs on this host: by its own processor, or by an emulator that the kernel starts.

The kernel's ``binfmt_misc`` starts an emulator for a foreign program (Linux documentation,
"Kernel Support for miscellaneous Binary Formats"), so both ways are a plain execution; what differs
is what the result must be told by.
"""

from __future__ import annotations

import errno
import re
import resource
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dockerbin.executables import read_executable
from pytest_dockerbin.results import Kind, RunResult
from pytest_dockerbin.runners.launcher import write_launcher
from pytest_dockerbin.runners.mounts import is_noexec, mount_of
from pytest_dockerbin.runners.process import follow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dockerbin.results import Sysroot
    from pytest_dockerbin.runners.process import Ended

_BUSY_PATIENCE = 2.0  # seconds
_QEMU_FAILED = 255  # QEMU's exit code when it can't load a program; programs may use it too


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRunner:
    """Executes the file itself, or a command that runs it.

    Attributes:
        name: ``native``, ``binfmt``, ``qemu`` or the name of the user's command.
        emulated: whether an emulator is started for the program.
        timeout: seconds that a run may take when it says nothing else.
        timeout_factor: what any limit is multiplied by.
        prefix: words before the program.
        variables: environment for the program's process, unless a run says otherwise.
        argv0: the option of ``prefix`` for the name by which the program is called.
        version: of the emulator, such as ``QEMU 7.2.22``.
        cpu: the CPU model that was asked for, or that the platform means; else empty.
        launchers: the folder of files that run a program as this does.
    """

    name: str
    emulated: bool = False
    timeout: float
    timeout_factor: float
    prefix: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    argv0: str = ""
    version: str = ""
    cpu: str = ""
    launchers: Path = Path("launchers")

    def with_sysroot(self, sysroot: Sysroot) -> HostRunner:  # noqa: D102 (as the protocol says)
        folder = str(sysroot.folder)
        if self.name == "qemu":
            return replace(self, prefix=(*self.prefix, "-L", folder))  # the last one counts
        if self.emulated:
            variables = {**dict(self.variables), "QEMU_LD_PREFIX": folder}
            return replace(self, variables=tuple(variables.items()))
        # this host's kernel would start this host's loader
        loader = sysroot.folder / sysroot.loader
        libraries = os.pathsep.join(dict.fromkeys((f"{folder}/lib", str(loader.parent))))
        words = (str(loader), "--library-path", libraries)
        return replace(self, prefix=(*self.prefix, *words))

    def launcher(self, program: Path) -> Path:  # noqa: D102 (as the protocol says)
        if not self.prefix and not self.variables:
            return program
        return write_launcher(
            program,
            self.launchers,
            prefix=self.prefix,
            variables=dict(self.variables),
            argv0=self.argv0,
        )

    def run(  # noqa: D102 (as the protocol says)
        self,
        command: tuple[str, ...],
        *,
        input: str | bytes | None,  # noqa: A002
        env: Mapping[str, str],
        cwd: Path | None,
        timeout: float | None,
        text: bool,
        max_output: int,
    ) -> RunResult:
        limit = (self.timeout if timeout is None else timeout) * self.timeout_factor
        data = input.encode() if isinstance(input, str) else input
        program = Path(command[0])
        command = (*self.prefix, *command)
        started = time.monotonic()
        try:
            process = _start(command, data, {**dict(self.variables), **env}, cwd)
        except OSError as error:
            code, kind, said = _why_not_started(program, error)
            streams = (b"", f"dockerbin: {said}\n".encode())
        else:
            ended = follow(process, data, limit, max_output)
            streams = ended[:2]
            code = process.returncode
            kind = _kind(code, ended, emulated=self.emulated)
            if code == -signal.SIGILL and self.cpu:
                streams = (streams[0], streams[1] + _trap(self.cpu))
        stdout, stderr = (s.decode(errors="replace") if text else s for s in streams)
        return RunResult(
            args=command,
            returncode=code,
            stdout=stdout,  # type: ignore[arg-type] # bytes only for text=False, as documented
            stderr=stderr,  # type: ignore[arg-type]
            duration=time.monotonic() - started,
            runner=self.name,
            emulated=self.emulated,
            kind=kind,
        )


def _start(
    command: tuple[str, ...], data: bytes | None, env: Mapping[str, str], cwd: Path | None
) -> subprocess.Popen[bytes]:
    """Start the program; wait a little for whoever still has it open for writing.

    A process that was forked while the file was being written holds it open until it executes
    something itself, and the kernel refuses to start it meanwhile (golang/go#22315).
    """
    deadline = time.monotonic() + _BUSY_PATIENCE
    while True:
        try:
            with _no_core_files():
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=env,
                    cwd=cwd,
                    start_new_session=True,
                )
        except OSError as error:
            if error.errno != errno.ETXTBSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextmanager
def _no_core_files() -> Iterator[None]:
    """Let what is started inside the ``with`` block write no core files.

    By our own soft limit, which it inherits, and not between fork and exec: with a function there
    `subprocess` can't use vfork, and QEMU leaves two core files in the working folder.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def _why_not_started(program: Path, error: OSError) -> tuple[int, Kind, str]:
    """Return an exit code as shells give it, the kind, and what to tell the user.

    Raises:
        OSError: the reason lies in how the test called it: a working folder that is not there.
    """
    if error.filename is not None and Path(error.filename) != program:
        raise error
    if error.errno == errno.ENOEXEC:
        said = f"{program} can't be executed: no binfmt_misc handler for its architecture"
        return 126, Kind.NO_EMULATOR, f"{said} (apt-get install qemu-user-static)"
    if error.errno == errno.ENOENT and program.exists():
        with program.open("rb") as file:
            found = read_executable(file)
        loader = (found and found.interpreter) or "its interpreter"
        return 127, Kind.NO_LOADER, f"{program} needs {loader}, which is not here; link statically"
    if error.errno == errno.EACCES and is_noexec(program):
        said = f"{program} lies on {mount_of(program)}, which is mounted noexec"
        return 126, Kind.EXITED, f"{said}; name another folder: --dockerbin-cache-dir=DIR"
    raise error


def _trap(cpu: str) -> bytes:
    """Say what a bare signal does not: that the CPU model lacks what the program needs."""
    return (
        f"dockerbin: illegal instruction on baseline CPU {cpu}: the program needs a newer one; "
        "was it built with -march=native, GOAMD64, target-cpu or the like?\n"
    ).encode()


def _kind(code: int, ended: Ended, *, emulated: bool) -> Kind:
    """Tell how a program ended by its wait status and, under emulation, QEMU's own words."""
    if not ended.in_time:
        return Kind.TIMEOUT
    if code < 0:
        return Kind.SIGNALED
    if emulated and code == _QEMU_FAILED:
        if re.search(rb"qemu[^:\n]*: Could not open '/", ended.stderr):
            return Kind.NO_LOADER
        if b"Invalid ELF image for this architecture" in ended.stderr:
            return Kind.WRONG_PLATFORM
    return Kind.EXITED if ended.whole else Kind.OUTPUT_LIMIT
