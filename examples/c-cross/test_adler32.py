import zlib

import pytest
from pytest_dockerbin import compare

pytestmark = pytest.mark.platform("linux/amd64", "linux/arm64", "linux/arm/v7")

DATA = bytes(range(256)) * 300


@pytest.mark.parametrize("data", [b"", b"Wikipedia", DATA], ids=["nothing", "text", "bytes"])
def test_it_agrees_with_zlib(dockerbin_binary, data):
    result = dockerbin_binary.run(input=data, text=False, check=True)
    assert result.stdout == f"{zlib.adler32(data):08x}\n".encode()


def test_it_is_the_same_everywhere(dockerbin_matrix):
    """32 and 64 bits, signed and unsigned char."""
    compare(dockerbin_matrix, input=DATA).assert_same()


def test_it_is_static(dockerbin):
    dockerbin.binary().assert_static()
