import urllib.error
import urllib.request

import pytest

pytestmark = pytest.mark.platform("linux/amd64", "linux/arm64")


@pytest.fixture
def server(dockerbin_binary):
    """The server, listening; it ends with the test."""
    return dockerbin_binary.popen("-listen=127.0.0.1:0")


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.wait_for_port()}"


def test_it_greets(url, server):
    with urllib.request.urlopen(f"{url}/hello?name=you") as answer:
        assert answer.read() == b"Hello you!\n"
    assert server.wait_for_line('hello "(.*)"')[1] == "you"


def test_an_unknown_page_is_not_found(url):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}/nonsense")


def test_it_ends_when_it_is_told_to(url, server):
    server.terminate()
    server.wait_for_line("bye")
    assert server.wait() == 0
