"""The pages in headless Chromium: console clean, nothing asked of anybody else, everything by keyboard, nothing wider than a phone."""

import re
from urllib.parse import urlsplit

import pytest

from tests.serve.conftest import SPOKEN, TOKENS, behind_socket
from windvane.serve.accounts import digest
from windvane.serve.site import Site

WIDER = """() => [document.documentElement.scrollWidth - innerWidth,
  ...[...document.querySelectorAll("main *, header *, footer *")].filter((node) => {
    const box = node.getBoundingClientRect();
    return box.width && box.right > innerWidth + 0.5 && !node.closest(".bar nav, .sr");
  }).map((node) => node.outerHTML.slice(0, 80))]"""
NAMELESS = """() => [...document.querySelectorAll("button, select, input:not([type=hidden]):not([hidden]), textarea")].filter((node) =>
    !(node.textContent.trim() || node.labels?.length || node.ariaLabel || node.closest("label"))).map((node) => node.outerHTML)"""
NASTY = '<img src=x onerror="document.title=1"><script>document.title="owned"</script> "mine" & مرحبا'

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    site = Site(data=tmp_path_factory.mktemp("pages"), rate=0, max_new_tokens=48)
    with behind_socket(site) as found:
        yield found


@pytest.fixture
def open_page(visit, address):
    """Opens a page; when the test is over, nobody else was asked for anything."""

    def opened(path, width=1280, scheme="light", base=address, height=900):
        return visit(base + path, width, scheme, height)

    yield opened
    asked = [url for url in visit.asked if not url.startswith(("blob:", "data:"))]
    assert {urlsplit(url).hostname for url in asked} == {"127.0.0.1"}


def expect(locator):
    from playwright.sync_api import expect as made

    made.set_options(timeout=30_000)
    return made(locator)


@pytest.mark.parametrize("path", ["/", "/speaking", "/composer", "/validation", "/runs", "/api", "/sign-in"])
def test_fits_a_phone_in_both_colours(open_page, path):
    for scheme, dark in (("light", False), ("dark", True)):
        page = open_page(path, 390, scheme)
        assert page.evaluate(WIDER) == [0], path
        ground = "getComputedStyle(document.body).backgroundColor"
        assert (page.evaluate(ground) == "rgb(16, 19, 23)") == dark
        page.locator("#theme").click()
        assert (page.evaluate(ground) == "rgb(16, 19, 23)") != dark
        names = page.evaluate(NAMELESS)
        assert names == []


@pytest.mark.slow
def test_a_vote_by_keyboard_alone(open_page):
    """From choosing a value to the vote and on to the next question, without a pointer."""
    page = open_page("/composer", height=1200)
    page.locator("select").first.focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("select").first.input_value() != ""
    page.locator("#write").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#system-note")).to_have_text(re.compile("^Written"))
    assert page.locator("#system").input_value().startswith("You ")
    page.locator("#question").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#votes")).to_be_visible()
    left, right = (page.locator(f"#{side}").inner_text() for side in ("left", "right"))
    assert left.strip() and right.strip()
    assert page.locator("#left-name").inner_text() == "Left"  # blind until the vote
    page.keyboard.press("4")
    expect(page.locator("#right-name")).to_have_text("Right: world:values")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type("Tell me about the sea.")
    page.keyboard.press("Enter")
    expect(page.locator("#votes")).to_be_visible()
    assert page.locator("#history .said").all_inner_texts() == [
        "Tell me about the wolf.",
        right,
        "Tell me about the sea.",
    ]
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text(re.compile("^Kept.*neither"))
    assert "1 both good" in page.locator("#tally").inner_text()
    page.locator("#again").click()
    assert page.locator("#history .said").count() == 0


def test_the_composer_says_what_is_wrong(open_page):
    page = open_page("/composer", 390)
    page.locator("#write").click()
    expect(page.locator("#system-note")).to_have_text("Choose at least one value first.")
    page.locator("select").first.select_option("own")
    page.locator(".own").first.fill(NASTY)
    page.locator("#write").click()
    expect(page.locator("#system-note")).to_have_text(re.compile("^Written"))
    assert NASTY in page.locator("#system").input_value()
    page.locator("#system").fill("word " * 2000)
    page.locator("#send").click()
    expect(page.locator("#state")).to_have_text(re.compile("window of 256"))
    assert page.title() == "Composer · Windvane" and page.locator("img").count() == 0


def test_a_transcript_is_scored_and_printed(open_page):
    page = open_page("/speaking", height=1400)
    page.locator("#text").fill(SPOKEN.replace("football", NASTY))
    page.locator("#part").select_option("1")
    page.locator("#label").fill(NASTY)
    page.locator("#text").press("Control+Enter")
    sheet = page.locator(".sheet")
    expect(sheet).to_have_count(1)
    assert (
        NASTY[:80] in sheet.locator("h2").inner_text() and NASTY in sheet.locator(".turn.candidate").nth(1).inner_text()
    )
    assert sheet.locator(".gauge").count() == 2 and sheet.locator(".gauge .bars li.on").count() == 2
    assert re.search(r"expected \d\.\d\d · \d+% sure", sheet.locator(".gauge").first.inner_text())
    rows = sheet.locator(".weighed tbody tr")
    assert 1 <= rows.count() <= 6 and sheet.locator("mark").count() >= 1
    assert "EU AI Act" in page.locator(".limits").inner_text() and "EU AI Act" in sheet.locator(".small").inner_text()
    assert page.title() == "Speaking · Windvane" and page.locator("img").count() == 0
    levels = sheet.locator(".turn .level")
    assert levels.count() > 5 and "A1" in sheet.locator(".legend").inner_text()
    page.emulate_media(media="print")
    assert not page.locator("#one").is_visible() and not page.locator(".bar").is_visible()
    assert sheet.is_visible() and page.locator(".limits").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 390, "height": 900})
    assert page.evaluate(WIDER) == [0]


def test_what_is_not_scored_says_why(open_page):
    page = open_page("/speaking", 390)
    page.locator("#text").fill("Examiner: Hello?\nCandidate: Yes.")
    page.locator("#part").select_option("1")
    page.locator("#score").click()
    expect(page.locator(".sheet .alert")).to_have_text(re.compile("^Not scored: empty"))
    page.locator("#text").fill("no speaker at all")
    page.locator("#score").click()
    expect(page.locator("#result .alert")).to_have_text(re.compile("^Line 1: .*speaker"))


def test_a_file_behind_a_progress_bar(open_page):
    page = open_page("/speaking")
    rows = "part,candidate,conversation\n" + "".join(f'1,c{n},"{SPOKEN} {n}"\n' for n in range(40))
    page.locator("#batch-file").set_input_files({"name": "many.csv", "mimeType": "text/csv", "buffer": rows.encode()})
    page.locator("#batch button.main").click()
    expect(page.locator("#batch-state")).to_have_text("many.csv: done, 40 of 40")
    assert page.locator("#batch-bar").evaluate("(bar) => bar.value / bar.max") == 1
    assert "scored\n40" in page.locator("#batch-facts").inner_text()
    with page.expect_download() as download:
        page.locator("#batch-csv").click()
    assert download.value.suggested_filename == "scores.csv"
    page.locator("#batch-stop").click()
    expect(page.locator("#batch-view")).to_be_hidden()
    page.locator("#batch-file").set_input_files({"name": "x.exe", "mimeType": "text/csv", "buffer": b"x"})


@pytest.mark.slow
def test_two_raters_go_through_the_queue_by_keyboard(open_page, tmp_path):
    """Asha agrees with all eight records of the practice queue (of all four parts) but one; Ben with all; they settle that one."""
    with behind_socket(Site(data=tmp_path, rate=0)) as own:
        for name in ("Asha", "Ben"):
            page = open_page("/validation", 1280 if name == "Asha" else 390, base=own)
            page.locator("#name").focus()
            page.keyboard.type(name)
            page.keyboard.press("Enter")
            for n in range(8):
                expect(page.locator("#progress")).to_have_text(f"{n} reviewed, {8 - n} left, 8 in the queue")
                expect(page.locator("#send")).to_have_text("It matches")
                expect(page.locator("#send")).to_be_enabled()
                if name == "Asha" and n == 0:
                    page.locator("#GV-planned").focus()
                    page.keyboard.press("ArrowRight")  # another band, around the end
                    expect(page.locator("#send")).to_have_text("Send what is off")
                    page.locator("#comment").fill(NASTY)
                page.keyboard.press("Control+Enter")
            expect(page.locator("#finished")).to_be_visible()
            assert page.evaluate(WIDER) == [0]
        expect(page.locator(".dispute")).to_have_count(1)
        assert NASTY in page.locator(".dispute").inner_text() and page.locator("img").count() == 0
        assert "8 of 8 records reviewed by two" in page.locator("#agreement").inner_text()
        assert "88%" in page.locator("#agreement tbody tr").first.inner_text()  # 7 of 8
        page.get_by_role("button", name="Agreed: as planned").last.press("Enter")
        expect(page.locator("#disputes")).to_have_text("No record is disputed just now.")
        expect(page.locator("#agreement")).to_have_text(re.compile("8 agreed"))
        opened = [one for context in page.context.browser.contexts for one in context.pages]
        for one in opened:  # they hold connections to this service
            if one.url.startswith(own):
                one.close()


def test_signing_in_by_keyboard(chromium, open_page, tmp_path):
    people = {digest(token): name for name, token in TOKENS.items()}
    with behind_socket(Site(data=tmp_path, people=people, rate=0)) as guarded:
        page = open_page("/speaking", base=guarded)
        assert page.url.endswith("/sign-in?next=/speaking")
        page.keyboard.type(TOKENS["asha"])  # the field has the focus
        page.keyboard.press("Enter")
        page.wait_for_url(f"{guarded}/speaking")
        assert "asha" in page.locator(".bar").inner_text()
        page.locator(".bar form button").click()
        page.wait_for_url("**/sign-in")
        page.context.close()
