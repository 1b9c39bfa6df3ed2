"""Counts words, with a helper in C for each platform."""

import os
import platform
import subprocess
from pathlib import Path

# The folders are named as `docker build --platform=... --output` names them.
_FOLDERS = {
    "x86_64": "linux_amd64",
    "aarch64": "linux_arm64",
    "armv7l": "linux_arm_v7",
}


def helper(machine: str = "") -> Path:
    """Return the helper for this machine, or for one that `platform.machine()` calls so."""
    if chosen := os.environ.get("WORDCOUNT_HELPER"):
        return Path(chosen)
    machine = machine or platform.machine()
    if machine not in _FOLDERS:
        raise LookupError(f"wordcount has no helper for {machine}")
    return Path(__file__).parent / "helpers" / _FOLDERS[machine] / "wordcount"


def count(text: str) -> int:
    """Return how many words the text has."""
    done = subprocess.run([helper()], input=text, text=True, stdout=subprocess.PIPE, check=True)
    return int(done.stdout)
