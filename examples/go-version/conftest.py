import os

import pytest

VERSION = os.environ.get("VERSION", "0.0.0+untagged")


@pytest.fixture(scope="session")
def version():
    return VERSION


@pytest.fixture(scope="session")
def dockerbin_defaults():
    """What is built where a test says nothing else."""
    return {"build_args": {"VERSION": VERSION}}
