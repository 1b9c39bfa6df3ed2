"""The files of a release, built as the index gets them: `tox run -e package`."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from building import build, copy_of_checkout

if TYPE_CHECKING:
    from building import Distributions

# Only that environment has what builds them.
collect_ignore_glob = [] if find_spec("build") and find_spec("hatchling") else ["test_*.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--keep-distributions", metavar="DIR", type=Path, help="put what was tested into DIR"
    )


@pytest.fixture(scope="session")
def distributions(tmp_path_factory, request) -> Distributions:
    folder = tmp_path_factory.mktemp("distributions")
    built = build(copy_of_checkout(folder / "checkout"), folder / "dist")
    if kept := request.config.getoption("--keep-distributions"):
        kept.mkdir(parents=True, exist_ok=True)
        for file in (built.sdist, built.wheel):
            shutil.copy(file, kept)
    return built
