import pytest


def test_what_is_exported(dockerbin):
    assert set(dockerbin.binaries) == {"bin/encode", "bin/decode"}


def test_round_trip(dockerbin):
    encode, decode = dockerbin.binary("bin/encode"), dockerbin.binary("bin/decode")
    encoded = encode.run(input=b"some text", text=False, check=True).stdout
    assert decode.run(input=encoded, text=False, check=True).stdout == b"some text"


@pytest.mark.dockerbin(binary="bin/decode")
def test_decode(dockerbin_binary):
    assert dockerbin_binary.run(input="b", check=True).stdout == "a"


def test_encode(dockerbin_binary):
    assert dockerbin_binary.run(input="a", check=True).stdout == "b"
