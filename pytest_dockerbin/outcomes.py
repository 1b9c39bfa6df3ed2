"""Turns this package's errors into pytest's outcomes: the one place that skips and fails."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import pytest

from pytest_dockerbin.errors import BuildError, DockerbinError, UnavailableError
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.session import cause_of
from pytest_dockerbin.settings import Missing, on_ci

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dockerbin.errors import SettingsError
    from pytest_dockerbin.settings import Selection


@dataclass(frozen=True, slots=True)
class Stop:
    """What stopped a test, attached to the outcome that is raised; or made of what it raised.

    pytest keeps the outcome of a failed session fixture and raises it again for every test that
    asks for it, so the outcome itself has one line, and the first report gets the whole text.

    Attributes:
        cause: a name, equal for all tests that the same thing stops.
        whole: the whole text for a person; empty for a skip.
        skipped: the reason of a skip, or None.
        line: what stands for its repetitions, where what was raised is more than a line.
    """

    cause: str
    whole: str
    skipped: str | None = None
    line: str = ""

    @property
    def reason(self) -> str:
        """The one line that is the same for all these tests."""
        text = self.skipped if self.skipped is not None else self.whole
        return text.partition("\n")[0].removeprefix("dockerbin: ")

    @classmethod
    def of(cls, call: pytest.CallInfo[None]) -> Stop | None:
        """Return what stopped a phase of a test, if it was something of ours."""
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, BuildError):  # as `dockerbin_build` raises it
            return cls(cause_of(error), f"dockerbin: {error.report()}", line=_line(error))
        return getattr(error, _STOP, None)


_STOP = "dockerbin_stop"


@contextmanager
def as_outcomes(selection: Selection, platform: Platform) -> Iterator[None]:
    """Let errors of this package end the test as users expect.

    A missing thing skips or fails by ``--dockerbin-missing``; all else fails.
    """
    try:
        yield
    except UnavailableError as error:
        skip_if_missing(error, selection, platform)
        _fail(error)
    except DockerbinError as error:
        _fail(error)


def skip_if_missing(error: UnavailableError, selection: Selection, platform: Platform) -> None:
    """Skip the test, where a missing thing skips the tests of ``platform``."""
    if skips(selection, platform):
        _skip(error)


def skips(selection: Selection, platform: Platform) -> bool:
    """Tell whether a missing thing skips the tests of ``platform``."""
    if selection.missing is not Missing.AUTO:
        return selection.missing is Missing.SKIP
    return not on_ci() and not (
        selection.named_on_command_line and str(platform) in _named(selection.words)
    )


def _named(words: tuple[str, ...]) -> set[str]:
    return {str(Platform.parse(word)) for word in words if word not in ("native", "auto")}


def usage_error(error: SettingsError) -> NoReturn:
    """End the run with one line and exit code 4; for ``pytest_configure``."""
    raise pytest.UsageError(_with_hint(error)) from None


def collection_error(error: DockerbinError, definition: pytest.Item) -> NoReturn:
    """Make the module that is being collected an error, in one line that names the test.

    With pytest-xdist each worker collects, and equal errors of this type are printed once.
    """
    path, line, _ = definition.location
    place = f"{definition.name}, {path}:{(line or 0) + 1}"
    raise pytest.Collector.CollectError(f"{_with_hint(error)} ({place})") from None


def _with_hint(error: DockerbinError) -> str:
    hint = f"; {error.hint}" if error.hint else ""
    return f"dockerbin: {error.summary}{hint}"


def _skip(error: DockerbinError) -> NoReturn:
    followed = "--dockerbin-missing=skip" in (error.hint or "")
    reason = f"dockerbin: {error.summary}" if followed else _with_hint(error)
    outcome = pytest.skip.Exception(reason)
    setattr(outcome, _STOP, Stop(cause_of(error), "", skipped=reason))
    raise outcome from None


def _fail(error: DockerbinError) -> NoReturn:
    outcome = pytest.fail.Exception(_line(error), pytrace=False)
    setattr(outcome, _STOP, Stop(cause_of(error), f"dockerbin: {error.report()}"))
    raise outcome from None


def _line(error: DockerbinError) -> str:
    log = f"; log: {error.log_path}" if error.log_path else ""
    return f"dockerbin: {error.summary}{log}"
