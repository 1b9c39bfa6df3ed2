import pytest

pytestmark = pytest.mark.platform("linux/amd64", "linux/arm64")


def test_greets(dockerbin_binary):
    assert dockerbin_binary.run("you").stdout == "Hello you!\n"


def test_says_how_it_is_used(dockerbin_binary):
    result = dockerbin_binary.run()
    assert result.returncode == 2
    assert result.stderr == "usage: greet NAME\n"
