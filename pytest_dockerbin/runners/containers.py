"""Containers of a Docker Engine, be it on another machine, in which programs are executed.

A container's process 1 waits, and programs are executed beside it: that takes a third of the time
of a container for each run (measured: 70 ms, 200 ms). Files are sent, not mounted: an engine may be
far away, or in a virtual machine. So a program sees its exported tree, at the same path as on this
host, and else the container's own files.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from pytest_dockerbin.archive import archive_of, archive_of_programs
from pytest_dockerbin.engine import EMPTY, Engine
from pytest_dockerbin.errors import EngineError
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.runners.tiny import idle_program, signal_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_dockerbin.platforms import Platform

LABEL = "pytest-dockerbin.session"
"""The label that names the session of a container."""

_BESIDE = "pytest-dockerbin.beside"  # the label that names the container whose parts another has
_OURS = "/.pytest-dockerbin"  # in a container: files of ours
_IDLE = f"{_OURS}/idle"
_BEGINNING = "runc init"  # a program that is not executed yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where programs run, and what they find there.

    Attributes:
        docker: words of the docker command that lead to the engine.
        context: the docker context, or nothing for the docker command's own.
        image: the container's image.
        platform: whose programs.
        tree: an exported folder, which is copied to the same path.
        sysroot: a folder whose content is copied to ``/``.
    """

    docker: tuple[str, ...]
    context: str
    image: str
    platform: Platform
    tree: Path | None = None
    sysroot: Path | None = None


def client_environment() -> dict[str, str]:
    """Return the environment for the docker command; none of it gets to a program."""
    return {
        name: value
        for name, value in os.environ.items()
        # unset here, ``--env HOSTNAME`` takes off what Docker sets
        if name != "HOSTNAME" and not name.startswith("QEMU_")
    }


class Container:
    """One container, for one program at a time.

    Args:
        engine: the container's.
        place: what it is made for.
        name: the container's.
        labels: likewise.
    """

    def __init__(self, engine: Engine, place: Place, name: str, labels: Mapping[str, str]) -> None:
        self.engine = engine
        self.place = place
        self.name = name
        self._labels = labels
        self._has: dict[str, bool] = {}
        self._runs = False

    def create(self) -> None:
        """Make it.

        Raises:
            EngineError: the engine refuses, or has a processor that nothing here is known of.
        """
        idle = idle_program(self.engine.platform)
        if idle is None:
            raise EngineError.refused(f"containers of {self.engine.platform} are not known here")
        place = self.place
        copied = {str(place.tree): place.tree} if place.tree else {}
        if place.sysroot:
            copied |= {f"/{path.name}": path for path in place.sysroot.iterdir()}
        self.engine.create(
            self.name,
            image=place.image,
            platform=place.platform,
            command=[_IDLE],
            volumes=list(copied),  # for what `beside` makes
            labels=self._labels,
        )
        self.engine.put(self.name, archive_of_programs({_inside(_IDLE): idle}))
        if copied:
            with archive_of({_inside(path): source for path, source in copied.items()}) as archive:
                self.engine.put(self.name, archive)

    def start(self) -> None:
        """Have it run."""
        if not self._runs:
            self.engine.start(self.name)
            self._runs = True

    def put_program(self, name: str, data: bytes) -> str:
        """Write a program of our own, and return its path."""
        path = f"{_OURS}/{name}"
        if path not in self._has:
            self.engine.put(self.name, archive_of_programs({_inside(path): data}))
            self._has[path] = True
        return path

    def put_folder(self, folder: Path | None) -> str:
        """Copy a folder to the same path, or make an empty one; return its path."""
        if folder is None:
            path = f"{_OURS}/run-{os.urandom(4).hex()}"
            self.engine.put(self.name, archive_of_programs({}, {_inside(path): 0o777}))
            return path
        path = str(folder.absolute())
        with archive_of({_inside(path): folder}) as archive:
            self.engine.put(self.name, archive)
        return path

    def has(self, path: str) -> bool:
        """Tell whether a file was there when this was asked first."""
        if path not in self._has:
            self._has[path] = self.engine.has(self.name, path)
        return self._has[path]

    def execute(self, *options: str) -> tuple[str, ...]:
        """Return the command that executes what follows it, in the container."""
        return (*self.place.docker, "exec", "--env=HOSTNAME", *options, self.name)

    def beside(self, program: Path, *options: str) -> tuple[tuple[str, ...], str]:
        """Return the command for a program in a container of its own, with files of this one.

        It has this one's processes too, so that it ends with it, and its program is no process 1,
        to which the kernel would hand down no signal.

        Returns:
            the words to which further options can be added, and the image, which comes next.
        """
        place = self.place
        labels = {**self._labels, _BESIDE: self.name}
        words = (
            *(*place.docker, "run", "--rm", "--interactive", "--pull=never", "--log-driver=none"),
            *("--no-healthcheck", "--ulimit=core=0", f"--volumes-from={self.name}"),
            *(f"--pid=container:{self.name}", f"--network=container:{self.name}"),
            *(f"--label={name}={value}" for name, value in labels.items()),
            *(() if place.image == EMPTY else (f"--platform={place.platform}",)),
            *(f"--entrypoint={program.absolute()}", *options),
        )
        return words, place.image

    def signal(self, number: int) -> None:
        """Send a signal to all that runs, but for process 1."""
        data = signal_program(self.engine.platform, number)
        assert data is not None  # noqa: S101 (it was created, so there is one)
        self.engine.execute(self.name, [self.put_program(f"signal-{number}", data)])

    def is_at_work(self) -> bool:
        """Tell whether a program runs."""
        return bool({*self.engine.commands(self.name)} - {_IDLE, _BEGINNING})

    def clean(self, *, ended: bool) -> None:
        """Leave nothing running but process 1.

        Args:
            ended: whether the program is known to have ended by itself.
        """
        if not ended or len(self.engine.commands(self.name)) > 1:
            self._runs = False
            self.engine.kill(self.name)

    def remove(self) -> None:
        """Remove it, and what is `beside` it."""
        with suppress(EngineError):  # an engine that is gone has no containers
            self.engine.remove_labelled(f"{_BESIDE}={self.name}")
            self.engine.remove(self.name)

    def removals(self) -> tuple[tuple[str, ...], ...]:
        """Return the commands that do the same without this process."""
        docker, beside = self.place.docker, f"label={_BESIDE}={self.name}"
        return (
            (*docker, "rm", "--force", "--volumes", self.name),
            (*docker, "container", "prune", "--force", "--filter", beside),  # never started
        )


class Containers:
    """The containers of this process: each is taken for a program, and given back after it.

    So two programs that run at a time have a container each, and one after another share one.

    Args:
        session: the session's name, which is their label.
        guard: gets a command, and has it run if this process is killed inside the ``with`` block.
    """

    def __init__(self, session: str, guard: Callable[..., AbstractContextManager[None]]) -> None:
        self._session = session
        self._guard = guard
        self._engines: dict[str, Engine] = {}
        self._free: list[Container] = []
        self._lasting: dict[Place, Container] = {}
        self._images: set[str] = set()
        self._stack = ExitStack()
        self._lock = threading.RLock()

    def take(self, place: Place) -> Container:
        """Return a container that runs, and that nobody else uses until it is given back.

        Raises:
            EngineError: there is no engine, or it refuses.
            SettingsError: there is no such docker context.
        """
        with self._lock:
            container = next((one for one in self._free if one.place == place), None)
            if container is None:
                return self._stack.enter_context(self.one(place))
            self._free.remove(container)
        container.start()
        return container

    def give_back(self, container: Container, *, ended: bool) -> None:
        """Take a container back, and end what a program left in it.

        Args:
            container: the one.
            ended: whether the program is known to have ended by itself.
        """
        with suppress(EngineError):  # it serves nobody else then
            container.clean(ended=ended)
            self._free.append(container)

    def lasting(self, place: Place) -> Container:
        """Return a container that runs until the end, for programs that others start."""
        with self._lock:
            if place not in self._lasting:
                self._lasting[place] = self.take(place)
            return self._lasting[place]

    @contextmanager
    def one(self, place: Place) -> Iterator[Container]:
        """Make a container that runs, and remove it after the ``with`` block.

        Raises:
            EngineError: there is no engine, or it refuses.
            SettingsError: there is no such docker context.
        """
        engine = self._engine(place.context)
        name = f"pytest-dockerbin-{self._session}-{os.urandom(4).hex()}"
        labels = {LABEL: self._session}
        container = Container(engine, place, name, labels)
        with ExitStack() as stack:
            for command in container.removals():
                stack.enter_context(self._guard(*command))
            stack.callback(container.remove)
            container.create()
            container.start()
            yield container

    def load(self, archive: Path, digest: str) -> str:
        """Load an image's archive into docker's own engine, and return its name until the end.

        Args:
            archive: the image's.
            digest: of the archive, in hexadecimal: the same is loaded once.

        Raises:
            ArtifactError: there is not one image in it.
            EngineError: there is no engine, or it refuses.
        """
        name = f"pytest-dockerbin-{self._session}:{digest[:12]}-{os.getpid()}"
        with self._lock:
            if name not in self._images:
                engine = self._engine("")
                self._stack.enter_context(self._guard("docker", "image", "rm", name))
                engine.load(archive, name)
                self._stack.callback(_quietly, engine.remove_image, name)
                self._images.add(name)
        return name

    def close(self) -> None:
        """Remove all of them."""
        self._stack.close()
        self._free.clear()
        self._lasting.clear()
        self._images.clear()
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()

    def _engine(self, context: str) -> Engine:
        if context not in self._engines:
            self._engines[context] = Engine(context)
        return self._engines[context]


def _quietly(remove: Callable[[str], None], name: str) -> None:
    with suppress(EngineError):  # an engine that is gone has nothing left
        remove(name)


def _inside(path: str) -> str:
    return path.lstrip("/")
