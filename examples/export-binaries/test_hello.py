import subprocess

import pytest


@pytest.mark.platform("linux/amd64", "linux/arm64")
def test_hello(dockerbin_binary):
    assert subprocess.check_output([dockerbin_binary], text=True) == "Hello World!\n"
    assert dockerbin_binary.run().stdout == "Hello World!\n"
