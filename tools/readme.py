"""Makes the README readable outside the checkout: part of the build, as hatchling's metadata hook.

Its links lead to files of the repository, which the package index does not have. Where the build
knows the repository (DOCKERBIN_REPOSITORY, as release.yml says it), they lead to the release's tag
there. Nobody else's build guesses where that is: then the words stay, without a link.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?!\w+:|#)(?P<target>[^)\s]+)\)")


class ReadmeHook(MetadataHookInterface):
    """Sets the field ``readme``."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Read the README and change its links."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        repository = os.environ.get("DOCKERBIN_REPOSITORY", "").rstrip("/")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": rewritten(text, repository, f"v{metadata['version']}"),
        }


def rewritten(text: str, repository: str, tag: str) -> str:
    """Return a Markdown text without relative links.

    Args:
        text: what it is, with links to files of the repository.
        repository: its address in the web, or nothing where that is not known.
        tag: where the files are as they were released.
    """

    def link(found: re.Match[str]) -> str:
        if not repository:
            return found["text"]
        kind = "raw" if found["picture"] else "blob"
        target = f"{repository}/{kind}/{tag}/{found['target']}"
        return f"{found['picture']}[{found['text']}]({target})"

    parts = _FENCE.split(text)  # every other one is code
    parts[::2] = [_LINK.sub(link, part) for part in parts[::2]]
    return "".join(parts)
