import pytest
from pytest_dockerbin import BuildError, Secret


def test_a_build_that_needs_a_secret(dockerbin):
    assert (dockerbin / "state").read_text() == "unlocked\n"


@pytest.fixture(scope="session")
def wrong():
    return Secret("open, sesame")


def test_a_value_that_a_fixture_has_fetched(dockerbin_build, wrong):
    with pytest.raises(BuildError) as failed:
        dockerbin_build(".", secrets={"licence": wrong}, no_cache=True)
    assert "sesame" not in str(failed.value)
