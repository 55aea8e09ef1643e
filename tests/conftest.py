"""The toy world's names for every test, and headless Chromium for whichever test opens a page."""

import shutil

import pytest

from windvane.toy.register import register

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@pytest.fixture(scope="session", autouse=True)
def toy_world():
    """As the command line does at its start."""
    register()


@pytest.fixture(
    scope="module"
)  # while it is open an event loop runs in this thread, which other modules' tests must not meet
def chromium():
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no `chromium` on the PATH (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class Visits:
    """Calling it opens an address in a window of its own; `asked` are the addresses that pages requested."""

    def __init__(self, browser):
        self.browser, self.contexts, self.said, self.asked = browser, [], [], []

    def __call__(self, address, width=1280, scheme="light", height=900):
        context = self.browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        context.set_default_timeout(30_000)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(address)
        return page


@pytest.fixture
def visit(chromium):
    """`Visits`; when the test is over, the console must be clean."""
    visits = Visits(chromium)
    yield visits
    for context in visits.contexts:
        context.close()
    assert visits.said == []
