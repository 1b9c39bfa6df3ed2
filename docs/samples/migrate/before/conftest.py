import subprocess
from pathlib import Path

import pytest

CONTEXT = Path(__file__).parents[1]


@pytest.fixture(scope="session", params=["linux/amd64", "linux/arm64"])
def hello(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    build = ["docker", "buildx", "build", f"--platform={request.param}", f"--output={out}", CONTEXT]
    subprocess.run(build, check=True)
    return out / "hello"
