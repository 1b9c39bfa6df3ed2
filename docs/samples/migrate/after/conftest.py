import pytest


@pytest.fixture(scope="session")
def hello(dockerbin_binary):
    return dockerbin_binary
