import pytest


@pytest.mark.platform("linux/amd64", "linux/arm64")
def test_greets(dockerbin_binary):
    assert dockerbin_binary.run("you").stdout == "Hello you!\n"
