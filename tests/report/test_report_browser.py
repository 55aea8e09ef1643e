"""The page in headless Chromium: a clean console, no request, nothing wider than the window, and a browser that finds things."""

import re
from importlib.resources import files

import pytest

from windvane.cli.report import render
from windvane.report.page import write_report

BACKGROUND = "getComputedStyle(document.body).backgroundColor"
WIDER = """() => ({
  page: document.documentElement.scrollWidth - innerWidth,
  nodes: [...document.querySelectorAll("main *, header *, footer *")].filter((node) => {
    const box = node.getBoundingClientRect();
    return box.width && box.right > innerWidth + 0.5 && !node.closest(".bar nav, .scroll");
  }).map((node) => node.outerHTML.slice(0, 80)),
  boxes: [...document.querySelectorAll(".scroll, #list, #entry")].filter((n) => n.scrollWidth > n.clientWidth + 1).length,
})"""
IN_SIGHT = """(id) => {
  const item = document.getElementById(id).getBoundingClientRect(), list = document.getElementById("list").getBoundingClientRect();
  return item.top >= list.top - 1 && item.bottom <= list.bottom + 1;
}"""

browser_test = pytest.mark.browser


DRAWING = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 90"><style>svg{position:fixed;top:0;left:0;z-index:9}
rect{fill:rgb(1,2,3)}@media(prefers-color-scheme:dark){rect{fill:rgb(4,5,6)}}</style><script>document.title = "owned"</script>
<image href="http://drawing.invalid/x.png"/><rect onclick="1" width="700" height="90"/></svg>"""
FILL = """getComputedStyle(document.querySelector(".drawing").shadowRoot.querySelector("rect")).fill"""


@pytest.fixture(scope="module")
def address(make, tmp_path_factory):
    run = make(tmp_path_factory.mktemp("page") / "run")
    folder = run / "evaluations" / "own"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text('{"name": "own", "rate": 0.25, "rows": [{"task": "one", "score": 1.5}]}')
    (folder / "plot.svg").write_text(DRAWING)
    return write_report(run, render).as_uri()


@pytest.fixture
def open_page(visit, address):
    """Opens the page; when the test is over, nothing but the page itself was requested."""
    yield lambda width=1280, scheme="light": visit(address, width, scheme)
    assert set(visit.asked) == {address}


@browser_test
@pytest.mark.parametrize("width", [1280, 768, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_and_is_quiet(open_page, width, scheme):
    page = open_page(width, scheme)
    page.locator("#search").fill("wwwwww")  # the answer that is one word of 300 letters
    found = page.evaluate(WIDER)
    assert (found["page"], found["nodes"]) == (0, [])
    assert width == 768 or found["boxes"] == 0  # between phone and desk the wide tables scroll in their own box
    assert page.locator("h1").inner_text() == "Better than the start"
    assert page.locator("figure svg[role=img]").count() == 14
    dark = page.evaluate(BACKGROUND) == "rgb(17, 20, 24)"
    assert dark == (scheme == "dark")
    page.locator("#theme").click()
    assert (page.evaluate(BACKGROUND) == "rgb(17, 20, 24)") != dark


@browser_test
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_drawings_follow_the_theme_and_stay_in_their_box(open_page, scheme):
    """A drawing's own dark rule follows the button too; a script, a request or a position of its own does nothing."""
    page = open_page(390, scheme)
    light, dark = "rgb(1, 2, 3)", "rgb(4, 5, 6)"
    assert page.evaluate(FILL) == (dark if scheme == "dark" else light)
    page.locator("#theme").click()
    assert page.evaluate(FILL) == (light if scheme == "dark" else dark)
    assert (
        page.title().startswith("Better than the start")
        and page.locator(".evaluation .counts b").inner_text() == "0.25"
    )
    box, top = page.locator(".plot").bounding_box(), page.locator("h1").bounding_box()
    assert box["width"] < 390 and box["y"] > top["y"] + top["height"]
    topmost = "([x, y]) => document.elementFromPoint(x, y).closest('.plot') === null"
    assert page.evaluate(topmost, [20, 20]) and page.evaluate(topmost, [top["x"] + 5, top["y"] + 5])


@browser_test
def test_search_and_filters(open_page, nasty):
    page = open_page()
    items = page.locator("#list [role=option]")
    assert items.count() == 40 and "All 40 shown" in page.locator("#count").inner_text()
    page.keyboard.press("/")
    page.keyboard.type("onerror ALERT")
    assert items.count() == 0 and "Nothing matches" in page.locator("#entry").inner_text()
    page.locator("#search").fill("ONERROR بالعالم")
    assert items.count() == 1 and "1 match; all 40 shown" in page.locator("#count").inner_text()
    text = page.locator("#entry .reply .text").filter(has_text="onerror")
    assert text.inner_text() == nasty and text.get_attribute("dir") == "auto"
    assert page.title().startswith("Better than the start") and page.locator("img").count() == 0
    page.locator("#search").fill("")
    page.locator("#status").select_option("failed")
    assert items.count() == 1 and "not judged" in page.locator("#entry").inner_text()
    page.locator("#status").select_option("")
    page.locator("#why").select_option("most order disagreement")
    assert items.count() == 12
    page.locator("#set").select_option(label="Training, iteration 1")
    assert items.count() == 40 and "iter-1/prompts.jsonl" in page.locator("#count").inner_text()


@browser_test
def test_an_entry_shows_its_numbers(open_page):
    page = open_page()
    entry = page.locator("#entry")
    assert entry.locator(".reply").count() == 5 and entry.locator(".heat td:not(.corner)").count() == 25
    assert entry.locator(".reply").first.locator(".badge").inner_text() == "✓ chosen"
    assert entry.locator(".reply.rejected").count() == 1
    rates = [float(v) for v in re.findall(r"p_loo ([\d.]+)%", entry.inner_text())]
    assert rates == sorted(rates, reverse=True) and len(rates) == 5
    cells = [[cell.inner_text() for cell in row.locator("td").all()] for row in entry.locator(".heat tr").all()[1:]]
    assert all(abs(int(cells[i][j]) + int(cells[j][i]) - 100) <= 1 for i in range(5) for j in range(i))
    page.locator("#set").select_option("0")
    assert entry.locator(".reply b").all_inner_texts() == ["The start", "Iteration 1", "Iteration 2", "Iteration 3"]
    assert "beats the start" in entry.inner_text() and "All 60 shown" in page.locator("#count").inner_text()


@browser_test
def test_keys_alone_are_enough(open_page):
    page = open_page()
    chosen, items = page.locator("#list [aria-selected=true]"), page.locator("#list")
    items.focus()
    keys = [
        ("ArrowDown", 1),
        ("ArrowDown", 2),
        ("ArrowUp", 1),
        ("End", 39),
        ("k", 38),
        ("PageUp", 30),
        ("Home", 0),
        ("j", 1),
    ]
    for key, at in keys:
        page.keyboard.press(key)
        assert chosen.get_attribute("id") == f"item-{at}" == items.get_attribute("aria-activedescendant")
        assert page.evaluate(IN_SIGHT, f"item-{at}")


@browser_test
def test_paper(open_page):
    page = open_page(scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(BACKGROUND) == "rgb(255, 255, 255)"
    assert not page.locator("#list").is_visible() and page.locator("h1").is_visible()


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_can_be_read():
    """WCAG 2.2: text at least 4.5 to 1, marks at least 3 to 1, in each theme and on paper."""
    css = (files("windvane") / "report" / "page.css").read_text(encoding="utf-8")
    themes = [dict(re.findall(r"--(\w+): (#\w{6});", block)) for block in re.findall(r"\{([^{}]*--page:[^{}]*)\}", css)]
    assert len(themes) == 4  # light, dark by the system, dark by the button, and what paper changes of light
    for theme in themes:
        colour = themes[0] | theme
        for name in ("ink", "soft", "true", "proxy", "chosen", "rejected", "good", "bad", "unsure", "train"):
            for ground in ("page", "card"):
                light, dark = sorted((luminance(colour[name]), luminance(colour[ground])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= (3 if name == "train" else 4.5), (name, ground, theme)
