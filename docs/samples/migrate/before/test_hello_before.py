import subprocess


def test_hello(hello):
    assert subprocess.check_output([hello], text=True) == "Hello World!\n"
