import subprocess

import pytest

pytestmark = pytest.mark.platform("linux/amd64", "linux/arm64")


def test_hello(hello):
    assert subprocess.check_output([hello], text=True) == "Hello World!\n"
