"""Reads what ``run`` and ``popen`` are called with, so that a mistake is said in one line.

Nothing is started before, and no frame of this package is in the traceback of a test.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from errno import ENOENT, ENOTDIR
from pathlib import Path
from reprlib import repr as short_repr
from typing import TYPE_CHECKING

from pytest_dockerbin.results import Command

if TYPE_CHECKING:
    from pytest_dockerbin.platforms import Platform

_MOST_PORT = 65535
_LEAST_STREAM = min(subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT)


def read_command(
    program: Path,
    platform: Platform,
    args: Iterable[object],
    *,
    env: object,
    pass_env: object,
    cwd: object,
    wrapper: object,
) -> Command:
    """Return what is to be run.

    Raises:
        TypeError: an argument has a wrong type.
        ValueError: an argument has a value that can't be meant.
        FileNotFoundError: there is no such working folder.
        NotADirectoryError: the working folder is none.
    """
    __tracebackhide__ = True
    words = _several("wrapper", wrapper, "words such as ('strace', '-f')")
    if words and "/" in words[0] and cwd is None:  # the working folder will be another one
        words = (os.path.abspath(words[0]), *words[1:])  # noqa: PTH100 (which keeps links)
    return Command(
        program=program,
        platform=platform,
        args=read_words(args),
        env=_environment(env, pass_env),
        cwd=_folder(cwd),
        wrapper=words,
    )


def read_words(args: Iterable[object]) -> tuple[str, ...]:
    """Return a program's arguments as text.

    Raises:
        TypeError: one is neither text nor a path.
        ValueError: no program can get it.
    """
    __tracebackhide__ = True
    words = []
    for at, arg in enumerate(args, start=1):
        words.append(_word(f"argument {at}", arg))
    return tuple(words)


def check_options(*, max_output: object, cpu: object) -> None:
    """Check what ``run`` and ``popen`` have in common beside the command.

    Raises:
        TypeError, ValueError: as for `read_command`.
    """
    __tracebackhide__ = True
    form = "a number of bytes, 1 or more"
    if not _is_number(max_output, int):
        raise _wrong_type("max_output", form, max_output)
    if max_output < 1:  # type: ignore[operator] # an int, as was just seen
        raise _wrong_value("max_output", form, max_output)
    form = "a CPU model of QEMU's, such as 'cortex-a53'"
    if cpu is not None and not isinstance(cpu, str):
        raise _wrong_type("cpu", form, cpu)
    if cpu is not None and (not cpu.strip() or "\0" in cpu):
        raise _wrong_value("cpu", form, cpu)


def check_input(value: object) -> None:
    """Check what a program is to read.

    Raises:
        TypeError: it is neither text nor bytes.
    """
    __tracebackhide__ = True
    if value is not None and not isinstance(value, str | bytes | bytearray | memoryview):
        raise _wrong_type("input", "text or bytes", value)


def check_timeout(value: object, *, zero: bool = False) -> None:
    """Check a limit in seconds; whether it may be 0 is up to ``zero``.

    Raises:
        TypeError, ValueError: as for `read_command`.
    """
    __tracebackhide__ = True
    form = "seconds, 0 or more" if zero else "seconds, more than 0"
    if not _is_number(value, int | float):
        raise _wrong_type("timeout", form, value)
    seconds: float = value  # type: ignore[assignment] # a number, as was just seen
    if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not zero):
        raise _wrong_value("timeout", form, value)


def check_pattern(value: object) -> None:
    """Check what a line is to match.

    Raises:
        TypeError: it is no regular expression of text.
        ValueError: it is none at all.
    """
    __tracebackhide__ = True
    text = value.pattern if isinstance(value, re.Pattern) else value
    if not isinstance(text, str):
        raise _wrong_type("pattern", "a regular expression of text", value)
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"pattern: {error}: {text!r}") from None


def check_port(value: object) -> None:
    """Check the number of a TCP port.

    Raises:
        TypeError, ValueError: as for `read_command`.
    """
    __tracebackhide__ = True
    form = f"1 to {_MOST_PORT}"
    if not _is_number(value, int):
        raise _wrong_type("port", form, value)
    if not 1 <= value <= _MOST_PORT:  # type: ignore[operator] # an int, as was just seen
        raise _wrong_value("port", form, value)


def check_streams(**streams: object) -> None:
    """Check where streams are to come from and go to.

    Raises:
        TypeError: one is nothing that `subprocess.Popen` takes.
        ValueError: it is nothing for that stream.
    """
    __tracebackhide__ = True
    for name, value in streams.items():
        form = "subprocess.PIPE, DEVNULL, an open file or its descriptor, or None"
        if _is_number(value, int):
            known = value >= _LEAST_STREAM  # type: ignore[operator] # an int, as was just seen
            if not known or (value == subprocess.STDOUT and name != "stderr"):
                raise _wrong_value(name, form, value)
        elif value is not None and not hasattr(value, "fileno"):
            raise _wrong_type(name, form, value)


# -- parts of a command ---------------------------------------------------------------------------


def _environment(env: object, pass_env: object) -> dict[str, str]:
    """Return a closed environment: QEMU_* and LD_* of the caller would change what is tested."""
    __tracebackhide__ = True
    form = "variables such as {'HOME': '/tmp'}"
    if env is not None and not isinstance(env, Mapping):
        raise _wrong_type("env", form, env)
    given = {}
    for name, value in (env or {}).items():
        word = _word("env", name)
        if not word or "=" in word:
            raise _wrong_value("env", "names without '='", name)
        given[word] = _word(f"env[{word!r}]", value)
    names = _several("pass_env", pass_env, "names such as ['HOME']")
    passed = {name: os.environ[name] for name in names if name in os.environ}
    basic = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "TZ": "UTC",
    }
    return {**basic, **passed, **given}


def _folder(cwd: object) -> Path | None:
    __tracebackhide__ = True
    if cwd is None:
        return None
    folder = Path(_word("cwd", cwd))
    if not folder.is_dir():
        if folder.exists():
            raise NotADirectoryError(ENOTDIR, "cwd: it is no folder", str(folder))
        raise FileNotFoundError(ENOENT, "cwd: there is no such folder", str(folder))
    return folder


def _several(name: str, values: object, form: str) -> tuple[str, ...]:
    __tracebackhide__ = True
    if values == ():  # what most runs have: the checks take 1 µs
        return ()
    if isinstance(values, str | bytes | os.PathLike) or not isinstance(values, Iterable):
        raise _wrong_type(name, form, values)
    words = []
    for value in values:
        words.append(_word(name, value))  # noqa: PERF401 (whose frame a traceback would show too)
    return tuple(words)


def _word(name: str, value: object) -> str:
    __tracebackhide__ = True
    # text first: whether it is an os.PathLike takes five times as long to tell
    text = (
        value if isinstance(value, str) or not isinstance(value, os.PathLike) else os.fspath(value)
    )
    if not isinstance(text, str):
        raise _wrong_type(name, "text or a path", value)
    if "\0" in text:
        raise _wrong_value(name, "text without NUL", value)
    if text.isascii():
        return text
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise _wrong_value(name, "text that can be encoded", value) from None
    return text


def _is_number(value: object, kind: type | object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)  # type: ignore[arg-type]


def _wrong_type(name: str, form: str, value: object) -> TypeError:
    return TypeError(f"{name}: expected {form}, not {short_repr(value)}")


def _wrong_value(name: str, form: str, value: object) -> ValueError:
    return ValueError(f"{name}: expected {form}, not {short_repr(value)}")
