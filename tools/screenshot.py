"""Takes pictures of a page, light and dark: ``tools/screenshot.py PAGE.html OUTPUT``.

They are called ``OUTPUT-light.png`` and ``OUTPUT-dark.png``. It needs Chromium and playwright,
which is in the dependency group ``browser``.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

SIZE = {"width": 1000, "height": 900}


def main() -> None:
    """Take the pictures that the command line asks for."""
    page, output = sys.argv[1:]
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            shown = browser.new_page(viewport=SIZE, color_scheme=scheme)
            shown.goto(Path(page).resolve().as_uri())
            shown.screenshot(path=f"{output}-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main()
