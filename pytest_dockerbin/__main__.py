"""The commands of ``python -m pytest_dockerbin``."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from pytest_dockerbin import cache_command
from pytest_dockerbin.doctor import command as doctor_command
from pytest_dockerbin.errors import DockerbinError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NO = 2  # the exit code for what was not understood or could not be done, as argparse has it
_INTERRUPTED = 130  # the shells' exit code after Ctrl-C


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with one line; how a command is used is what ``--help`` is for."""
        self.exit(_NO, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: its words; those of this process when None.

    Returns:
        The exit code: 0; 1 when something is wrong with what was looked at.

    Raises:
        SystemExit: with 2 when the command was not understood or could not be carried out, and
            one line on standard error that says why; with 0 after ``--help``.
    """
    parser = _Parser(
        prog="python -m pytest_dockerbin",
        description="Look at what pytest-dockerbin builds and runs with, and at what it keeps.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    doctor_command.add_to(commands)
    cache_command.add_to(commands)
    args = parser.parse_args(argv)
    try:
        answer = args.answer(args)
        sys.stdout.write(f"{answer.text}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough; Python would complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except DockerbinError as error:
        parser.error(error.summary)
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        return _INTERRUPTED
    return int(answer.code)


if __name__ == "__main__":
    sys.exit(main())
