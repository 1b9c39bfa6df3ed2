import pytest_dockerbin

encode = pytest_dockerbin.fixture(".", binary="bin/encode")
decode = pytest_dockerbin.fixture(".", binary="bin/decode")


def test_round_trip(encode, decode):
    encoded = encode.binary().run(input="some text", check=True).stdout
    assert decode.binary().run(input=encoded, check=True).stdout == "some text"
