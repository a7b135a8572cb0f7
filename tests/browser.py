"""A real headless browser for the pages that people look at."""

from contextlib import contextmanager

from playwright.sync_api import sync_playwright

from tests.servers import require_chromium

MILLISECONDS = 30_000


@contextmanager
def chromium():
    """Run Debian's chromium."""
    program = require_chromium()
    with sync_playwright() as playwright:
        # Without its own sandbox, which root may not use: it sees our pages alone.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opening(browser, url):
    """Yield what opens *url* in a viewport; whatever the browser complains of fails the test."""
    pages, said = [], []

    def open_page(**options):
        page = browser.new_page(**options)
        page.set_default_timeout(MILLISECONDS)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(url)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert said == []
