"""What the commands of ``python -m pytest_dockerbin`` share."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_dockerbin.store import default_root

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

_VARIABLE = "PYTEST_DOCKERBIN_CACHE_DIR"


class Answer(NamedTuple):
    """What a command says.

    Attributes:
        text: for standard output, without the last line end.
        code: the exit code; 1 when something is wrong with what was looked at.
    """

    text: str
    code: int = 0


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cache-dir`` and ``--json``."""
    parser.add_argument(
        "--cache-dir",
        metavar="DIR",
        help=f"the cache folder (default: {_VARIABLE}, else the user's cache folder)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def cache_root(args: argparse.Namespace) -> Path:
    """Return the cache folder that the words or the environment name, else the user's."""
    named = args.cache_dir or os.environ.get(_VARIABLE)
    return Path(named).expanduser().absolute() if named else default_root()


def answer(
    args: argparse.Namespace, data: Mapping[str, Any], lines: Iterable[str], code: int = 0
) -> Answer:
    """Return the data as JSON where that was asked for, else the lines."""
    return Answer(json.dumps(data, indent=2) if args.json else "\n".join(lines), code)
