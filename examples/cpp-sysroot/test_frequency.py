import pytest

pytestmark = [
    pytest.mark.platform("linux/amd64", "linux/arm64"),
    pytest.mark.dockerbin(sysroot_target="runtime"),
]


def test_it_counts_words(dockerbin_binary):
    result = dockerbin_binary.run(input="the cat and the dog\n", check=True)
    assert result.stdout == "2 the\n1 and\n1 cat\n1 dog\n"


def test_what_it_needs_is_known(dockerbin):
    """A new library, or a symbol of a newer one, is a decision and no accident."""
    program = dockerbin.binary()
    assert program.info.linkage == "dynamic"
    program.assert_needs_only(["libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "libc.so.6", "ld-*"])
    program.assert_max_glibc("2.41")


def test_it_is_hardened(dockerbin):
    dockerbin.binary().assert_hardened()
