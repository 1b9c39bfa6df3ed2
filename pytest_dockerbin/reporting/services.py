"""What CI services are told of failed builds, in their own words.

Each has a line that puts an error beside the Dockerfile's line, and lines between which a log is
folded. Sources: GitHub, "Workflow commands"; Azure Pipelines, "Logging commands"; GitLab, "Custom
collapsible sections".
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.report.wording import line, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_dockerbin.report.model import BuildReport

_MOST_LINES = 500  # of a log; where all of it stands is said


@dataclass(frozen=True, slots=True)
class Service:
    """A CI service.

    Attributes:
        error: gives the line for an error's title, its Dockerfile and line number if known, and
            its message; nothing where the service has no such line.
        begin: gives the line that begins a fold, of its title.
        end: gives the line that ends the fold of that title.
    """

    error: Callable[[str, tuple[str, int] | None, str], str]
    begin: Callable[[str], str]
    end: Callable[[str], str]


def service() -> Service | None:
    """Return the CI service that this runs on, by the variable that it sets; None elsewhere."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        return Service(_github_error, "::group::{}".format, "::endgroup::".format)
    if os.environ.get("TF_BUILD"):
        return Service(_azure_error, "##[group]{}".format, "##[endgroup]".format)
    if os.environ.get("GITLAB_CI"):
        return Service(lambda *_: "", _gitlab_begin, _gitlab_end)
    return None


def told(builds: Iterable[BuildReport], to: Service, rootdir: Path) -> Iterator[str]:
    """Yield what a service is told: for each failed build the error, and its folded log.

    Args:
        builds: the session's.
        to: the service.
        rootdir: pytest's, from which the builds' Dockerfiles are seen.
    """
    done = set()
    for build in builds:
        if not build.reason or (build.reason, build.log_path) in done:
            continue
        done.add((build.reason, build.log_path))
        title = line(f"build of {build.title} for {build.platform}")
        place = (_in_checkout(build.place[0], rootdir), build.place[1]) if build.place else None
        error = to.error(title, place, line(build.reason))
        if error:
            yield error
        log = _log(build.log_path)
        if log:
            yield to.begin(f"log of the {title}")
            yield from log
            yield to.end(f"log of the {title}")


def _in_checkout(name: str, rootdir: Path) -> str:
    """Return a file's path as services want it: as seen from the folder of the checkout."""
    checkout = os.environ.get("GITHUB_WORKSPACE") or os.environ.get("BUILD_SOURCESDIRECTORY")
    path = Path(os.path.normpath(rootdir / name))
    if checkout and path.is_relative_to(checkout):
        return str(path.relative_to(checkout))
    return name


def _log(path: str | None) -> list[str]:
    """Return the end of a log, each line marked: none of them is a command of the service's."""
    try:
        text = Path(path).read_text(errors="replace") if path else ""
    except OSError:  # of a worker on another machine
        return []
    lines = text.splitlines()
    left_out = [f"| ... the first {len(lines) - _MOST_LINES} lines are in {path}"]
    end = [f"| {shown(each)}" for each in lines[-_MOST_LINES:]]
    return [*left_out, *end] if len(lines) > _MOST_LINES else end


def _github_error(title: str, place: tuple[str, int] | None, message: str) -> str:
    where = f"file={_property(place[0])},line={place[1]}," if place else ""
    return f"::error {where}title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _azure_error(title: str, place: tuple[str, int] | None, message: str) -> str:
    where = f";sourcepath={_azure_property(place[0])};linenumber={place[1]}" if place else ""
    return f"##vso[task.logissue type=error{where}]{title}: {message}"


def _azure_property(text: str) -> str:
    for sign, code in (("%", "%AZP25"), (";", "%3B"), ("\r", "%0D"), ("\n", "%0A"), ("]", "%5D")):
        text = text.replace(sign, code)
    return text


def _gitlab_begin(title: str) -> str:
    return f"\x1b[0Ksection_start:{time.time():.0f}:{_slug(title)}[collapsed=true]\r\x1b[0K{title}"


def _gitlab_end(title: str) -> str:
    return f"\x1b[0Ksection_end:{time.time():.0f}:{_slug(title)}\r\x1b[0K"


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
