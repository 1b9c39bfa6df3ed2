import pytest

pytestmark = pytest.mark.platform("linux/amd64", "linux/arm64", "linux/arm/v7")


def test_the_version_is_stamped(dockerbin_binary, version):
    assert dockerbin_binary.run().stdout.startswith(f"stamp {version} linux/")


def test_it_is_ready_for_a_release(dockerbin):
    program = dockerbin.binary()
    program.assert_static()
    program.assert_stripped()
    program.assert_max_size("4 MiB")
    program.assert_contains_no("/src/")  # no path of the build machine: -trimpath


@pytest.mark.platform("native")
@pytest.mark.dockerbin(build_args={"VERSION": "9.9.9"})
def test_another_version(dockerbin_binary):
    assert "stamp 9.9.9 " in dockerbin_binary.run().stdout
