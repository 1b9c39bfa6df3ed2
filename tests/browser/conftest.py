"""A headless Chromium, and the sample report in it.

It is Debian's Chromium, driven by Playwright: whose wheel has all that it needs, so that there is
no driver of the browser's own version to install. Playwright downloads nothing when it is told
which program to start.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit"))

import sample_report

from pytest_dockerbin.report.html import html

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def missing(message):
    """Skip; on CI, fail."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(message)


@pytest.fixture(scope="session")
def chromium():
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415
    except ImportError:
        missing("needs the dependency group browser: playwright is not installed")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        missing("needs Chromium (make browser, or apt-get install chromium)")
    with sync_playwright() as playwright:
        root = getattr(os, "geteuid", lambda: 1)() == 0
        browser = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox"] if root else [],  # with which it refuses to run as root
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """The reports' files."""
    folder = tmp_path_factory.mktemp("reports")
    reports = {
        "sample": sample_report.report(),
        "hostile": sample_report.hostile(),
        "large": sample_report.report(1700),
    }
    for name, report in reports.items():
        (folder / f"{name}.html").write_text(html(report), encoding="utf-8")
    return folder


@pytest.fixture
def visit(chromium, pages):
    """Opens a report; at the end nothing may have been fetched, or have failed in the page."""
    contexts, said, asked = [], [], []

    def visit(name="sample", width=1400, **settings):
        context = chromium.new_context(viewport={"width": width, "height": 900}, **settings)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((pages / f"{name}.html").as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("file:") or not url.endswith(".html")] == []


@pytest.fixture
def page(visit):
    return visit()
