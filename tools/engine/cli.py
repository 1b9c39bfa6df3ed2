"""The command line."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine import daemon, lifecycle
from engine.busybox import ARCHITECTURES, busybox
from engine.docker import ask
from engine.errors import EngineError
from engine.flavours import MAIN, NAMES, flavour
from engine.images import RECIPES, images
from engine.layout import HOME_VARIABLE, Layout
from engine.registry import registry
from engine.shell import complain
from engine.status import status

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
Docker Engines for this project's tests. Safe to repeat: what is there is used.

flavours:
  main     the engine that docker leads to; one of our own if there is none
  floor    the oldest that is supported: Docker 26.1 with buildx 0.13
  classic  today's engine with the classic image store
  second   today's engine once more, with nothing in it: another machine's
"""


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    top = argparse.ArgumentParser(
        prog="python3 tools/engine",
        description=_DESCRIPTION,
        epilog=f"State is kept in {Layout.from_environment().home} (${HOME_VARIABLE}).",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    start = commands.add_parser("start", help="have an engine running")
    start.add_argument("flavour", nargs="?", default=MAIN, choices=NAMES)

    stop = commands.add_parser("stop", help="end what start has started, and nothing else")
    stop.add_argument("flavour", nargs="?", default="all", choices=(*NAMES, "all"))

    execute = commands.add_parser("exec", help="run a command with docker being that engine's")
    execute.add_argument("flavour", choices=NAMES)
    execute.add_argument("arguments", nargs=argparse.REMAINDER, metavar="-- COMMAND ARG...")

    show = commands.add_parser("status", help="show what is running")
    show.add_argument("--json", action="store_true", help="for programs")

    base = commands.add_parser("images", help="have base images where no registry answers")
    base.add_argument("names", nargs="*", metavar="NAME", help=f"default: {', '.join(RECIPES)}")

    box = commands.add_parser("busybox", help="put static busybox files into a folder")
    box.add_argument("folder", type=Path)
    box.add_argument("architectures", nargs="*", metavar="ARCH", help=", ".join(ARCHITECTURES))

    commands.add_parser("registry", help="have the program of an image registry; print its place")
    return top


def main(arguments: Sequence[str]) -> int:
    """Run one command, and return the exit code."""
    options = parser().parse_args(arguments)
    layout = Layout.from_environment()
    # Other users run the docker and buildx that are put into place here.
    umask = os.umask(0o022)
    try:
        _carry_out(options, layout, umask)
    except EngineError as error:
        complain(str(error))
        return 1
    except PermissionError as error:
        complain(f"{error.filename}: {error.strerror}; run this as root")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        os.umask(umask)
    return 0


def _carry_out(options: argparse.Namespace, layout: Layout, umask: int) -> None:
    match options.command:
        case "start":
            lifecycle.start(options.flavour, layout)
        case "stop":
            names = list(NAMES) if options.flavour == "all" else [options.flavour]
            lifecycle.stop(names, layout)
        case "exec":
            execute(options.flavour, options.arguments, layout, umask)
        case "status":
            status(layout, as_json=options.json)
        case "images":
            answers = images(options.names, layout)
            # The last line is for programs.
            print(f"registry: {'yes' if answers else 'no'}")
        case "busybox":
            busybox(options.folder, options.architectures, layout)
        case "registry":
            # The last line is for programs.
            print(registry(layout))


def execute(name: str, arguments: list[str], layout: Layout, umask: int) -> None:
    """Become the command, in the environment of a flavour.

    A flavour beside main is started if need be; main is left to whoever set docker up.
    """
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        raise EngineError("exec needs a command", f"exec {name} -- COMMAND ARG...")
    wanted = flavour(name, layout)
    environment = wanted.environment(os.environ)
    if wanted.has_own_client:
        if not daemon.is_up(wanted):
            # Standard output is the command's.
            with contextlib.redirect_stdout(sys.stderr):
                lifecycle.start(name, layout)
    elif not (answer := ask(environment)).is_enough:
        reason = answer.complaint or "no Docker Engine with buildx answers"
        raise EngineError(reason, "run `python3 tools/engine start` first")
    os.umask(umask)
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - a list, no shell
    except OSError as error:
        raise EngineError(f"cannot run {command[0]}: {error.strerror}") from error
