"""The HTML report in the hands of a reader: with a mouse, with keys only, on a phone, at night."""

from __future__ import annotations

import re

import pytest
from sample_report import HOSTILE

from pytest_dockerbin.report.wording import shown

TESTS = 61

# the contrast of each visible text with what is behind it, by WCAG 2's formula
CONTRASTS = """() => {
  const parts = (text) => {
    const numbers = text.match(/[\\d.]+/g).map(Number);
    return numbers.length < 4 ? [...numbers, 1] : numbers;
  };
  const light = (rgb) => rgb.slice(0, 3).reduce((sum, value, place) => {
    const part = value / 255;
    const linear = part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    return sum + linear * [0.2126, 0.7152, 0.0722][place];
  }, 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return parts(getComputedStyle(document.body).backgroundColor);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("script, style, noscript, option")) continue;
    const ink = light(parts(getComputedStyle(element).color));
    const paper = light(behind(element));
    const [high, low] = ink > paper ? [ink, paper] : [paper, ink];
    found.push([(high + 0.05) / (low + 0.05), walker.currentNode.data.trim().slice(0, 40)]);
  }
  return found;
}"""


def visible_rows(page):
    return page.locator("tr.test:visible")


def cell(page, test, platform):
    """The button of a test's platform, found as a reader finds it: by file, row and column."""
    heads = page.locator("#matrix thead th").all_text_contents()
    place = next(at for at, head in enumerate(heads) if head.startswith(platform))
    file, _, name = test.partition("::")
    group = page.locator("tbody").filter(has=page.get_by_text(f"tests/{file}.py", exact=True))
    row = group.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))
    return row.get_by_role("cell").nth(place - 1).get_by_role("button")


# -- filters --------------------------------------------------------------------------------------


def test_only_problems_are_shown_when_asked_for(page):
    assert visible_rows(page).count() == TESTS
    button = page.get_by_role("button", name="Only problems")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert visible_rows(page).count() == 46
    assert page.get_by_role("status").text_content() == f"46 of {TESTS} tests"
    assert all("bad" in row.get_attribute("class") for row in visible_rows(page).all())
    assert page.get_by_text("tests/test_same.py").count() == 1
    assert not page.get_by_text("tests/test_same.py").is_visible()
    button.click()
    assert visible_rows(page).count() == TESTS


def test_tests_are_found_by_a_part_of_their_names(page):
    find = page.get_by_role("searchbox", name="Find")
    find.fill("ROUNDTRIP")
    assert {row.split("\t")[0] for row in visible_rows(page).all_inner_texts()} >= {
        "test_roundtrip"
    }
    assert visible_rows(page).count() == 8
    find.fill("test_server.py::test_sig")
    assert visible_rows(page).count() == 1
    find.fill("no such test")
    assert visible_rows(page).count() == 0
    assert page.get_by_text("No test is like that.").is_visible()
    find.fill("")
    assert visible_rows(page).count() == TESTS


def test_one_platform_can_be_looked_at_alone(page):
    page.get_by_role("combobox", name="Platform").select_option("linux/arm64")
    assert visible_rows(page).count() == TESTS - 1  # not the one of all platforms together
    heads = page.locator("#matrix thead th:visible small").all_text_contents()
    assert heads == ["QEMU 7.2.22"]
    page.get_by_role("button", name="Only problems").click()
    assert visible_rows(page).count() == 3
    page.get_by_role("combobox", name="Platform").select_option("all")
    assert page.locator("#matrix thead th:visible").count() == 5


# -- a cell's details -----------------------------------------------------------------------------


def test_a_cell_opens_what_its_test_ran(page):
    cell(page, "test_server::test_signals", "linux/arm64").click()
    text = page.get_by_role("dialog").inner_text()
    for part in (
        "tests/test_server.py::test_signals",
        "RunError: server ended with SIGSEGV",
        "--threads=8",
        "emulator fault (SIGSEGV)",
        "13.7 MiB",
        "QEMU 7.2.22",
        "listening on 8080",
        "run it on real hardware",
    ):
        assert part in text
    page.get_by_role("button", name="Close").click()
    assert page.get_by_role("dialog").count() == 0


def test_a_cell_of_several_tests_opens_all_of_them(page):
    cell(page, "test_cli::test_roundtrip", "linux/arm64").click()
    headings = page.get_by_role("dialog").get_by_role("heading", level=3).all_inner_texts()
    assert [re.search(r"\[.*\]", each)[0] for each in headings] == [
        f"[linux/arm64-{case}]" for case in (1, 2, 3)
    ]
    assert "assert 'tëst' ==" in page.get_by_role("dialog").inner_text()


def test_a_problem_leads_to_the_test_that_tells_all_of_it(page):
    page.get_by_role("button", name="test_help[linux/arm/v7]").click()
    assert "undefined reference to" in page.get_by_role("dialog").inner_text()


def test_keys_are_enough(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the tests"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "tests"
    names = []
    for _ in range(6):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) != "none", names
    assert names[:3] == ["find", "platform", "trouble"]
    page.locator("[data-cell]:focus").press("Enter")
    assert page.get_by_role("dialog").count() == 1
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    assert page.evaluate("'cell' in document.activeElement.dataset")


def test_arrows_lead_from_verdict_to_verdict(page):
    def focused():
        return page.evaluate(
            "[document.activeElement.closest('tr').cells[0].textContent, "
            "document.activeElement.closest('td').cellIndex]"
        )

    cell(page, "test_cli::test_help", "linux/amd64").focus()
    seen = []
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        seen.append(focused())
    assert seen == [
        ["test_help", 2],
        ["test_help_2", 2],
        ["test_help_2", 1],
        ["test_help_2", 1],  # there is nothing before it
        ["test_help", 1],
    ]
    page.get_by_role("button", name="Only problems").click()
    page.get_by_role("combobox", name="Platform").select_option("linux/arm64")
    page.locator("td:visible button").first.focus()
    assert focused() == ["test_large_file", 3]
    page.keyboard.press("ArrowDown")  # over rows that are not shown, into the next file
    assert focused() == ["test_roundtrip", 3]
    page.keyboard.press("ArrowDown")
    assert focused() == ["test_signals", 3]
    page.keyboard.press("Enter")
    assert "run it on real hardware" in page.get_by_role("dialog").inner_text()


# -- builds ---------------------------------------------------------------------------------------


def test_each_step_is_a_bar_that_says_what_it_is(page):
    steps = page.get_by_role("list", name="Steps of server for linux/arm64")
    bars = steps.get_by_role("img")
    assert bars.count() == steps.get_by_role("listitem").count() == 9
    names = [bar.get_attribute("aria-label") for bar in bars.all()]
    assert "[build 4/5] RUN make -C src: 37.7 s, from 1.3 s, emulated" in names
    assert "[build 1/5] FROM docker.io/library/debian:stable-slim: cached, at 1.0 s" in names
    assert steps.get_by_text("cached", exact=True).count() == 2
    boxes = [bar.bounding_box() for bar in bars.all()]
    assert max(box["width"] for box in boxes) > 20 * min(box["width"] for box in boxes)
    assert all(box["width"] >= 3 for box in boxes)


def test_the_step_that_failed_is_marked(page):
    steps = page.get_by_role("list", name="Steps of server for linux/arm/v7")
    failed = steps.get_by_role("listitem").filter(has_text="failed")
    assert failed.count() == 1
    assert "RUN make -C src" in failed.inner_text()
    assert "exit code: 2" in failed.inner_text()


def test_files_that_a_platform_lacks_are_marked(page):
    row = page.get_by_role("row").filter(has_text="kernels-avx2.bin")
    assert row.get_by_text("missing").count() == 1
    assert row.get_by_text("only 1 of 2").count() == 1
    row = page.get_by_role("row").filter(
        has=page.get_by_role("rowheader", name="bin/server", exact=True)
    )
    assert row.get_by_role("cell").all_inner_texts() == [
        "8.4 MiB",
        "7.8 MiB",
        "1.08 \N{MULTIPLICATION SIGN}",
    ]


# -- how it looks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sample", "hostile"])
@pytest.mark.parametrize("width", [320, 400, 1400])
def test_the_page_is_never_wider_than_the_window(visit, name, width):
    page = visit(name, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("td [data-cell]").first.click()
    assert page.evaluate("document.getElementById('details-body').scrollWidth") <= width


def test_names_of_tests_stay_in_sight_on_a_phone(visit):
    page = visit(width=400)
    name = page.get_by_role("rowheader", name="test_help", exact=True).first
    before = name.bounding_box()["x"]
    scrolled = page.locator(".scroll").first.evaluate(
        "each => (each.scrollLeft = 200, each.scrollLeft)"
    )
    assert scrolled > 100
    assert name.bounding_box()["x"] == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(visit, scheme):
    page = visit(color_scheme=scheme)
    for each in page.locator("details").all():
        each.evaluate("each => (each.open = true)")
    contrasts = page.evaluate(CONTRASTS)
    cell(page, "test_server::test_signals", "linux/arm64").click()
    contrasts += page.evaluate(CONTRASTS)
    assert len(contrasts) > 300
    assert [(text, ratio) for ratio, text in contrasts if ratio < 4.5] == []


def test_dark_has_another_background(visit):
    colours = {
        visit(color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    assert len(colours) == 2


def test_it_can_be_read_without_a_script(visit):
    page = visit(java_script_enabled=False)
    assert page.get_by_text("FAIL 1/3").is_visible()
    assert not page.get_by_role("button", name="Only problems").is_visible()
    assert page.get_by_role("list", name="Steps of server for linux/arm64").is_visible()


def test_filters_and_details_are_not_printed(page):
    page.emulate_media(media="print")
    assert not page.get_by_role("searchbox").is_visible()
    assert visible_rows(page).count() == TESTS


# -- what strangers wrote, and much of it ---------------------------------------------------------


def test_hostile_names_are_text(visit):
    page = visit("hostile")
    seen = shown(HOSTILE)
    assert page.locator("img").count() == 0
    assert seen in page.get_by_role("rowheader").nth(1).text_content()
    page.locator("td [data-cell]").first.click()
    text = page.get_by_role("dialog").inner_text()
    assert text.count(seen) >= 5
    assert "\u202e" not in page.content()
    assert page.locator("img").count() == 0


def test_thousands_of_tests_open(visit):
    page = visit("large")
    assert visible_rows(page).count() == 1701
    page.get_by_role("button", name="Only problems").click()
    assert visible_rows(page).count() == 46
    page.get_by_role("button", name="Only problems").click()
    cell(page, "test_many_33::test_1699", "linux/amd64").click()
    assert "server 1.4.2" in page.get_by_role("dialog").inner_text()
