"""The command ``doctor``: its words, its answer."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from pytest_dockerbin.command import add_shared_options, answer, cache_root
from pytest_dockerbin.doctor.examination import examine, read_words
from pytest_dockerbin.doctor.findings import find
from pytest_dockerbin.doctor.report import as_json, as_lines
from pytest_dockerbin.runner_spec import read_runners

if TYPE_CHECKING:
    import argparse

    from pytest_dockerbin.command import Answer

_VARIABLE = "PYTEST_DOCKERBIN_RUNNER"
_WITHOUT_TERMINAL = (100, 24)  # columns and lines, such as of a CI service's log
_ABOUT = "show what can be built and run here, what is wrong, and the command that cures it"


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``doctor`` to a parser; it sets ``answer`` to its function."""
    doctor = commands.add_parser(
        "doctor",
        help=_ABOUT,
        description=f"{_ABOUT.capitalize()}. The exit code is 1 when a platform that is named, or "
        "without any the native one, can't be built or run here.",
    )
    doctor.add_argument(
        "platforms",
        nargs="*",
        metavar="PLATFORM",
        help="such as linux/arm64, native or auto (default: native; all that are known are shown)",
    )
    doctor.add_argument(
        "--builder",
        metavar="NAME",
        help="the buildx builder (default: BUILDX_BUILDER, else buildx's current one)",
    )
    add_shared_options(doctor)
    doctor.set_defaults(answer=_doctor)


def _doctor(args: argparse.Namespace) -> Answer:
    named = os.environ.get(_VARIABLE)
    examination = examine(
        read_words(args.platforms),
        cache_root=cache_root(args),
        builder=args.builder,
        runners=read_runners([named], _VARIABLE) if named else (),
    )
    findings = find(examination)
    width = shutil.get_terminal_size(_WITHOUT_TERMINAL).columns
    return answer(
        args,
        as_json(examination, findings),
        as_lines(examination, findings, width=width),
        0 if examination.ok else 1,
    )
