"""Runs programs in containers, through ``docker exec``.

The docker command carries the streams, as it does for people, to every engine that a docker context
leads to; docker-py would have to be told how to for each kind of connection. It costs 12 ms a run
more (measured: 70 ms, 58 ms). Source: the reference of ``docker container exec``.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from dataclasses import fields, replace
from typing import IO, TYPE_CHECKING, Self

from pytest_dockerbin.engine import EMPTY
from pytest_dockerbin.errors import RunError
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.results import Kind
from pytest_dockerbin.runners.containers import client_environment
from pytest_dockerbin.runners.host import HostRunner
from pytest_dockerbin.runners.launcher import write_container_launcher
from pytest_dockerbin.runners.lineage import family
from pytest_dockerbin.runners.listening import accepts
from pytest_dockerbin.runners.process import Process, Usage
from pytest_dockerbin.runners.refusal import (
    Emulation,
    interpreter_of,
    mistake,
    no_loader,
    not_executable,
    refusal,
)
from pytest_dockerbin.runners.verdict import CANNOT_EXECUTE, NO_LOADER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_dockerbin.results import Command, Sysroot
    from pytest_dockerbin.runners.containers import Container, Containers, Place
    from pytest_dockerbin.runners.verdict import Verdict

_SIGNALED = 128  # and the signal's number: the Engine's exit code for what a signal ended
_HARMLESS = {  # what ends no program by itself (signal(7)): with such a number, an exit code is one
    getattr(signal, f"SIG{name}", None)
    for name in ("CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "WINCH")
}
_NOT_STARTED = (CANNOT_EXECUTE, NO_LOADER)
_TURN = 0.02  # seconds between looks whether a program was started


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRunner(HostRunner):
    """Executes programs in containers that are kept for the session.

    Attributes:
        containers: where they are taken from.
        place: what they are made of.
    """

    containers: Containers
    place: Place

    @classmethod
    def of(cls, runner: HostRunner, containers: Containers, place: Place) -> Self:
        """Return a runner that differs from one of this host in where it runs programs."""
        same = {field.name: getattr(runner, field.name) for field in fields(runner)}
        return cls(**same, containers=containers, place=place)

    def with_sysroot(self, sysroot: Sysroot) -> ContainerRunner:  # noqa: D102 (as the protocol says)
        if self.place.image != EMPTY:  # which has its own
            return self
        return replace(self, place=replace(self.place, sysroot=sysroot.folder))

    def with_tree(self, tree: Path) -> ContainerRunner:  # noqa: D102
        return replace(self, place=replace(self.place, tree=tree))

    def launcher(self, program: Path) -> Path:  # noqa: D102
        container = self.containers.lasting(self.place)
        options = (f"--env={name}={value}" for name, value in self.variables)
        words, image = container.beside(program, *options)
        steering = {
            name: value
            for name, value in client_environment().items()
            if name.startswith("DOCKER_") or name == "HOME"
        }
        return write_container_launcher(
            program,
            self.launchers / container.name,
            words=words,
            image=image,
            variables=steering,
        )

    def _run(
        self, command: Command, data: bytes | None, limit: float, max_output: int
    ) -> tuple[tuple[bytes, bytes], Verdict, Usage]:
        __tracebackhide__ = True
        streams, end, usage = super()._run(command, data, limit, max_output)
        if end.kind is Kind.EXITED and (why := _why(command, end.returncode, *streams)):
            return (b"", why.stderr), why, usage
        return streams, end, usage

    def _start(
        self,
        command: Command,
        stdin: int | IO[bytes] | None,
        stdout: int | IO[bytes] | None,
        stderr: int | IO[bytes] | None,
        *,
        buffered: bool = True,
    ) -> Process | Verdict:
        __tracebackhide__ = True
        emulation = Emulation.IN_CONTAINER if self.version else Emulation.NONE
        if refused := refusal(command, (), command.env, emulation):
            return refused
        self.guard(family())
        container = self.containers.take(self.place)
        try:
            loader = None if command.wrapper else interpreter_of(command.program)
            if loader and not container.has(loader):
                self.containers.give_back(container, ended=True)
                return no_loader(command.program, "in the container")
            options, env = _environment({**dict(self.variables), **command.env})
            options.append(f"--workdir={container.put_folder(command.cwd)}")
            if stdin != subprocess.DEVNULL:
                options.append("--interactive")
            return _ContainerProcess(
                (*container.execute(*options), *self._words(command)),
                container=container,
                containers=self.containers,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=env,
                buffered=buffered,
            )
        except BaseException:
            self.containers.give_back(container, ended=False)
            raise

    def _words(self, command: Command) -> tuple[str, ...]:
        return (*command.wrapper, str(command.program.absolute()), *command.args)


def _environment(variables: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return options that hand variables to a program, and the docker command's environment.

    By name where that changes nothing for docker itself: everybody can read a command line. This
    host's PATH says nothing in a container, whose image has its own.
    """
    options, env = [], client_environment()
    for name, value in variables.items():
        if name == "PATH" and value == os.environ.get(name, os.defpath):
            continue
        by_name = not name.startswith("DOCKER_") and env.setdefault(name, value) == value
        options.append(f"--env={name}" if by_name else f"--env={name}={value}")
    return options, env


class _ContainerProcess(Process):
    """The docker command, which stands for the program in the container."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        container: Container,
        containers: Containers,
        stdin: int | IO[bytes] | None,
        stdout: int | IO[bytes] | None,
        stderr: int | IO[bytes] | None,
        env: Mapping[str, str],
        buffered: bool,
    ) -> None:
        self._container = container
        self._containers = containers
        super().__init__(
            command, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=None,
            buffered=buffered,
        )  # fmt: skip

    @property
    def returncode(self) -> int | None:
        # the Engine says no more of a program's end: who exits with 128 and a signal's number, as
        # shells do for what they ran, can't be told from whom the signal ended
        code = super().returncode
        if code is not None and _SIGNALED < code < _SIGNALED + signal.NSIG:
            return code if code - _SIGNALED in _HARMLESS else _SIGNALED - code
        return code

    def signal(self, number: int) -> None:
        with self._lock:
            while self.usage is None and self.returncode is None:
                if self._container.is_at_work():
                    self._container.signal(number)
                    return
                time.sleep(_TURN)  # the docker command has not got that far

    def signal_group(self, number: int) -> None:
        self.signal(number)

    def ports(self, wanted: int | None) -> set[int]:
        if not self._container.engine.local or wanted is None:
            why = "name the port" if self._container.engine.local else "its engine is not here"
            raise RunError(f"ports of a program in a container can't be seen: {why}")
        return {wanted} if accepts(wanted) else set()

    def look(self) -> None:
        """Leave it: the docker command's memory is not the program's."""

    def end(self) -> Usage:
        first = self.usage is None
        ended = self.returncode is not None
        super().end()
        if first:
            self._containers.give_back(self._container, ended=ended)
        return Usage(0.0, None)


def _why(command: Command, code: int, stdout: bytes, stderr: bytes) -> Verdict | None:
    """Tell why a program was not started, from runc's words in the place of its output.

    Raises:
        OSError: the reason lies in how the test called it.
    """
    __tracebackhide__ = True
    first = command.wrapper[0] if command.wrapper else str(command.program.absolute())
    if not stdout and stderr.startswith(os.fsencode(f"exec {first}: ")):
        said = stderr.strip()
    elif code in _NOT_STARTED and stdout.startswith(b"OCI runtime exec failed: "):
        said = stdout.strip().removesuffix(b": unknown")  # which containerd added once
    else:
        return None
    if said.endswith(b"exec format error"):
        return not_executable(command)
    if said.endswith(b"permission denied"):
        denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES), first)
        raise mistake("wrapper", first, denied) if command.wrapper else denied
    if not said.endswith((b"no such file or directory", b"not found in $PATH")):
        return None
    if command.wrapper:
        raise mistake("wrapper", first, FileNotFoundError(errno.ENOENT, ""))
    return no_loader(command.program, "in the container")
