"""Runs programs on this host: by its own processor, or by an emulator.

The kernel's ``binfmt_misc`` starts an emulator for a foreign program (Linux documentation,
"Kernel Support for miscellaneous Binary Formats"), or we do, by name: so every way is a plain
execution, and what differs is the words before the program.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pytest_dockerbin.errors import RunError
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.journal import note
from pytest_dockerbin.results import RunResult, title
from pytest_dockerbin.runners.launcher import write_launcher
from pytest_dockerbin.runners.lineage import family
from pytest_dockerbin.runners.process import Process, Usage, follow
from pytest_dockerbin.runners.qemu import NO_PREFIX, PREFIX, models_listed_by
from pytest_dockerbin.runners.refusal import Emulation, has_loader, refusal, why_not_started
from pytest_dockerbin.runners.running import HostProgram
from pytest_dockerbin.runners.verdict import Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dockerbin.results import Command, RunningProgram, Sysroot
    from pytest_dockerbin.runners.process import Ended
    from pytest_dockerbin.runners.quarters import Quarters


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
        quarters: where its programs live; in this process's working folder, and without a home,
            when None.
        guard: told `lineage.family` before a program starts, so that somebody ends its programs
            if this process is killed.
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
    quarters: Quarters | None = None
    guard: Callable[[int], object] = bool

    def with_sysroot(self, sysroot: Sysroot) -> HostRunner:  # noqa: D102 (as the protocol says)
        folder = str(sysroot.folder)
        if self.name == "qemu":
            return replace(self, prefix=(*self.prefix, "-L", folder))  # the last one counts
        if self.emulated:
            return replace(self, variables=_with(self.variables, PREFIX, folder))
        # this host's kernel would start this host's loader
        loader = sysroot.folder / sysroot.loader
        libraries = os.pathsep.join(dict.fromkeys((f"{folder}/lib", str(loader.parent))))
        words = (str(loader), "--library-path", libraries)
        return replace(self, prefix=(*self.prefix, *words))

    def with_tree(self, tree: Path) -> HostRunner:  # noqa: ARG002, D102 (it is on this host)
        return self

    def launcher(self, program: Path) -> Path:  # noqa: D102 (as the protocol says)
        variables = self._own_variables(program)
        if not self.prefix and not variables:
            return program
        return write_launcher(
            program,
            self.launchers,
            prefix=self.prefix,
            variables=dict(variables),
            argv0=self.argv0,
        )

    def run(  # noqa: D102 (as the protocol says)
        self,
        command: Command,
        *,
        input: str | bytes | None,  # noqa: A002
        timeout: float | None,
        text: bool,
        max_output: int,
    ) -> RunResult:
        __tracebackhide__ = True
        limit = (self.timeout if timeout is None else timeout) * self.timeout_factor
        data = input.encode() if isinstance(input, str) else input
        started = time.monotonic()
        streams, end, usage = self._run(command, data, limit, max_output)
        seconds = time.monotonic() - started
        result = self._result(command, streams, end, usage, seconds, text=text)
        note(result)
        return result

    def _result(
        self,
        command: Command,
        streams: tuple[bytes, bytes],
        end: Verdict,
        usage: Usage,
        seconds: float,
        *,
        text: bool = True,
    ) -> RunResult:
        stdout, stderr = (s.decode(errors="replace") if text else s for s in streams)
        return RunResult(
            program=command.program,
            platform=command.platform,
            args=self._words(command),
            returncode=end.returncode,
            stdout=stdout,  # type: ignore[arg-type] # bytes only for text=False, as documented
            stderr=stderr,  # type: ignore[arg-type]
            duration=seconds,
            runner=self.name,
            emulated=self.emulated,
            kind=end.kind,
            max_rss=usage.max_rss,
            cpu_time=usage.cpu_time,
            emulator=self.version,
            emulator_said=end.emulator_said,
            hint=end.hint,
            variables=self._variables(command),
        )

    def _run(
        self, command: Command, data: bytes | None, limit: float, max_output: int
    ) -> tuple[tuple[bytes, bytes], Verdict, Usage]:
        __tracebackhide__ = True
        stdin = subprocess.DEVNULL if data is None else subprocess.PIPE
        pipe = subprocess.PIPE
        process = self._start(command, stdin, pipe, pipe, buffered=False)
        if isinstance(process, Verdict):
            return (b"", process.stderr), process, Usage(0.0, None)
        ended = follow(process, data, limit, max_output)
        assert process.returncode is not None  # noqa: S101 (it was followed to its end)
        end = self._verdict(command, ended, process.returncode)
        streams, usage = (ended.stdout, end.stderr), process.end()
        if ended.cut_by is not None:
            seconds = time.monotonic() - process.started
            note(self._result(command, streams, end, usage, seconds))
            raise ended.cut_by
        return streams, end, usage

    def _verdict(self, command: Command, ended: Ended, code: int) -> Verdict:
        return verdict(
            command.program,
            ended,
            code=code,
            emulated=self.emulated,
            cpu=self.cpu,
            version=self.version,
            models=lambda: models_listed_by(
                command.platform.architecture, self.prefix[0] if self.name == "qemu" else None
            ),
        )

    def _told(
        self, command: Command, process: Process, ended: Ended, code: int, seconds: float
    ) -> RunResult:
        """Return what is told of a program that was not waited for."""
        end = self._verdict(command, ended, code)
        usage = process.usage or Usage(0.0, None)
        return self._result(command, (ended.stdout, end.stderr), end, usage, seconds)

    def popen(  # noqa: D102 (as the protocol says)
        self,
        command: Command,
        *,
        stdin: int | IO[bytes] | None,
        stdout: int | IO[bytes] | None,
        stderr: int | IO[bytes] | None,
        text: bool,
        max_output: int,
    ) -> RunningProgram:
        __tracebackhide__ = True
        process = self._start(command, stdin, stdout, stderr)
        if isinstance(process, Verdict):
            said = process.stderr.decode(errors="replace").removeprefix("dockerbin: ").strip()
            raise RunError(said, hint=process.hint or None)
        return HostProgram(
            process,
            title=title(command.program, command.platform),
            args=self._words(command),
            variables=self._variables(command),
            text=text,
            max_output=max_output,
            factor=self.timeout_factor,
            told=partial(self._told, command, process),
        )

    def _start(
        self,
        command: Command,
        stdin: int | IO[bytes] | None,
        stdout: int | IO[bytes] | None,
        stderr: int | IO[bytes] | None,
        *,
        buffered: bool = True,
    ) -> Process | Verdict:
        """Start the program; or tell why not."""
        __tracebackhide__ = True
        env = {
            **(self.quarters.variables() if self.quarters else {}),
            **dict(self._own_variables(command.program)),
            **command.env,
        }
        refused = refusal(command, self.prefix, env, self._emulation())
        if refused:
            return refused
        self.guard(family())
        lodging = self.quarters.take() if self.quarters and command.cwd is None else None
        try:
            return Process(
                self._words(command),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=env,
                cwd=lodging or command.cwd,
                buffered=buffered,
                at_end=partial(self.quarters.give_back, lodging)
                if self.quarters and lodging
                else None,
            )
        except OSError as error:
            if self.quarters and lodging:
                self.quarters.give_back(lodging)
            return why_not_started(command, self.prefix, error)

    def _words(self, command: Command) -> tuple[str, ...]:
        # a relative path would not be one in the working folder
        program = str(command.program.absolute())
        return (*command.wrapper, *self.prefix, program, *command.args)

    def _variables(self, command: Command) -> dict[str, str]:
        """Return the runner's variables, as the program gets them."""
        own = self._own_variables(command.program)
        return {name: command.env.get(name, value) for name, value in own}

    def _own_variables(self, program: Path) -> tuple[tuple[str, str], ...]:
        """Return the runner's variables for a program.

        A dynamic one's loader is looked for on this host alone, whatever folder the kernel's QEMU
        was built to look into: so it is known before the run whether it is there. Static programs,
        and so most, need no variable for it.
        """
        by_kernel = self._emulation() is Emulation.BY_KERNEL
        if by_kernel and PREFIX not in dict(self.variables) and has_loader(program):
            return _with(self.variables, PREFIX, NO_PREFIX)
        return self.variables

    def _emulation(self) -> Emulation:
        if self.name == "qemu":
            return Emulation.BY_NAME
        return Emulation.BY_KERNEL if self.name == "binfmt" and self.version else Emulation.NONE


def _with(
    variables: tuple[tuple[str, str], ...], name: str, value: str
) -> tuple[tuple[str, str], ...]:
    return tuple({**dict(variables), name: value}.items())
