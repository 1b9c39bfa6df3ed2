import pytest
from pytest_dockerbin import compare


@pytest.mark.parametrize(("text", "sum"), [("", "00000000"), ("ab", "00000c42")])
def test_sum(dockerbin_binary, text, sum):
    assert dockerbin_binary.run(input=text, check=True).stdout == f"{sum}\n"


def test_same_everywhere(dockerbin_matrix):
    compare(dockerbin_matrix, input="some text").assert_same()
