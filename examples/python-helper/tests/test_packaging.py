import pytest
import wordcount
from pytest_dockerbin import Platform


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "armv7l"])
def test_the_helper_is_looked_for_where_pytest_writes_it(machine):
    platform = Platform.parse(machine)
    assert wordcount.helper(machine).parts[-3:] == ("helpers", platform.slug, "wordcount")


def test_another_machine_is_told():
    with pytest.raises(LookupError, match="no helper for vax"):
        wordcount.helper("vax")
