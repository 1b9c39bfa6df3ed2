import pytest


def test_runs_on_any_linux(dockerbin):
    dockerbin.binary().assert_static()


def test_is_small(dockerbin):
    program = dockerbin.binary()
    program.assert_stripped()
    program.assert_max_size("5 MiB")


def test_is_hardened(dockerbin):
    dockerbin.binary().assert_hardened(pie=False, relro="partial", canary=False)


def test_tells_nothing_of_the_builder(dockerbin):
    dockerbin.binary().assert_contains_no("/home/", "/src/main.rs")


@pytest.mark.platform("native")  # it builds once more: without emulation that takes no time
def test_is_reproducible(dockerbin):
    dockerbin.assert_reproducible()
