"""Run a real headless browser for tests of our pages."""

from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from tests.servers import require_chromium

MILLISECONDS = 30_000
SCREEN = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
# A page's own time limit does not apply to `expect`.
expect.set_options(timeout=MILLISECONDS)


@contextmanager
def chromium():
    program = require_chromium()
    with sync_playwright() as playwright:
        # Root cannot use Chromium's sandbox; no sandbox is needed, because only our own pages are opened.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opening(browser, url):
    """Yield a function that opens *url*; any message in the browser's console fails the test."""
    pages, messages = [], []

    def open_page(**options):
        page = browser.new_page(**options)
        page.set_default_timeout(MILLISECONDS)
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(url)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert messages == []


def find_violations(page, viewport, color_scheme):
    """Return each axe-core rule that the page violates at this size and colour scheme, with the elements."""
    page.set_viewport_size(viewport)
    page.emulate_media(color_scheme=color_scheme)
    found = Axe().run(page).response["violations"]
    return [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found]


def press_until_focused(page, locator, *, key="Tab", most=200):
    """Press a key, at most *most* times, until the element has the focus; return whether it has."""
    for _ in range(most):
        if locator.evaluate("element => element === document.activeElement"):
            return True
        page.keyboard.press(key)
    return False
