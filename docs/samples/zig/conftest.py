from pathlib import Path

import pytest
import ziglang


@pytest.fixture(scope="session")
def dockerbin_defaults():
    return {"build_contexts": {"zig": Path(ziglang.__file__).parent}}
