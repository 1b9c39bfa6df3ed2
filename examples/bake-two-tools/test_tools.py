import pytest
import pytest_dockerbin

hex_tool = pytest_dockerbin.fixture(bake="docker-bake.hcl", target="hex")
unhex_tool = pytest_dockerbin.fixture(bake="docker-bake.hcl", target="unhex")


def test_nothing_gives_nothing(dockerbin_binary):
    """Of the bake file's default group: once for each tool and platform."""
    assert dockerbin_binary.run(input="", check=True).stdout.strip() == ""


@pytest.mark.parametrize("data", [b"Hello", bytes(range(256))], ids=["text", "bytes"])
def test_there_and_back(hex_tool, unhex_tool, data):
    """Two tools of one platform, together."""
    digits = hex_tool.binary().run(input=data, text=False, check=True).stdout
    assert digits == data.hex().encode() + b"\n"
    assert unhex_tool.binary().run(input=digits, text=False, check=True).stdout == data


@pytest.mark.dockerbin(target="unhex")
def test_nonsense_is_refused(dockerbin_binary):
    result = dockerbin_binary.run(input="4z")
    assert (result.returncode, result.stderr) == (1, "unhex: not a hexadecimal digit\n")
