"""The simulated platform's page runs in a real browser, connected to the whole service."""

import os
import sys

import pytest
import requests
from playwright.sync_api import expect

from tests.browser import MILLISECONDS, PHONE, chromium, find_violations, opening, press_until_focused
from tests.servers import LOOPBACK, ServerProcess, answers, free_port
from tests.services import running

pytestmark = pytest.mark.parametrize("whole_service", ["sqlite"], indirect=True)

SCREEN = {"width": 1280, "height": 860}


@pytest.fixture
def platform(whole_service, tmp_path):
    """Run `omctl simulate --platform`, which posts to the service's edge; yield its address."""
    port = free_port()
    with running(ServerProcess("platform", tmp_path / "platform.log")) as process:
        command = [sys.executable, "-m", "omctl", "simulate", "--platform", "--port", str(port)]
        command += [whole_service.edge.url]
        process.launch(command, environment=whole_service.environment, directory=tmp_path)
        process.wait_until(lambda: answers(port), timeout=60)
        yield f"http://{LOOPBACK}:{port}"


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser, platform):
    with opening(browser, platform) as open_page:
        yield open_page(viewport=SCREEN)


def begin(page, text):
    page.get_by_label("First message").fill(text)
    page.get_by_role("button", name="Start conversation").click()


def write(page, who, text):
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name=who).click()


def webhooks(page, kind):
    return page.locator("#deliveries li").filter(has=page.locator("b", has_text=kind))


def keep_picture(page):
    """Take the screenshot for docs/simulator.md if OM_TEST_PICTURE gives the path of its file."""
    if path := os.environ.get("OM_TEST_PICTURE"):
        page.screenshot(path=path)


def test_a_message_from_the_page_reaches_the_service_and_its_outcome_is_shown(page, whole_service):
    begin(page, "Where is my order?")
    expect(page.locator("#state")).to_have_text("waiting in the queue")
    write(page, "Agent answers", "One moment, I am looking it up.")
    expect(page.locator("#state")).to_have_text("with the agent")
    write(page, "Customer writes", "Thank you!")
    expect(page.locator("#messages li.customer")).to_have_count(2, timeout=MILLISECONDS)
    expect(page.locator("#messages li.agent")).to_contain_text("One moment, I am looking it up.")
    for kind, count in {"new": 1, "message": 3, "updated": 2, "published": 2, "text": 1}.items():
        expect(webhooks(page, kind)).to_have_count(count, timeout=MILLISECONDS)
        for each in webhooks(page, kind).all():
            expect(each).to_contain_text("200 in")
            expect(each.locator(".badge.good")).to_have_text(["answered", "processed"], timeout=MILLISECONDS)
    expect(webhooks(page, "new").first).to_contain_text("webhook")
    expect(webhooks(page, "published").first).to_contain_text("integration")
    keep_picture(page)
    texts = whole_service.wait_for(
        "SELECT DISTINCT text FROM conversation_messages WHERE text LIKE 'One moment%'"
    )
    assert [each["text"] for each in texts] == ["One moment, I am looking it up."]


def test_an_opened_webhook_body_stays_open_when_another_message_is_written(page):
    begin(page, "What is in <b>it</b>?")
    expect(page.locator("#messages")).to_contain_text("What is in <b>it</b>?")
    new = webhooks(page, "new").first
    new.locator("summary").click()
    expect(new.locator("pre")).to_contain_text('"eventType": "openmessaging:conversation:new"')
    write(page, "Customer writes", "More")
    expect(page.locator("#messages li")).to_have_count(2, timeout=MILLISECONDS)
    expect(webhooks(page, "new").first.locator("pre")).to_be_visible()


def test_a_message_marked_as_lost_is_not_posted(page, whole_service):
    begin(page, "The first")
    page.get_by_label("Lose this message").check()
    write(page, "Customer writes", "The lost one")
    lost = page.locator("#deliveries li", has_text="lost")
    expect(lost).to_have_count(2, timeout=MILLISECONDS)
    expect(lost.first).to_contain_text("not sent")
    expect(page.get_by_label("Lose this message")).not_to_be_checked()


def test_a_conversation_that_has_ended_does_not_accept_messages(page):
    begin(page, "Good bye")
    page.get_by_role("button", name="End").click()
    expect(page.locator("#state")).to_have_text("ended")
    expect(page.get_by_role("button", name="Customer writes")).to_be_disabled()


def test_a_form_on_another_site_cannot_start_a_conversation(platform):
    answer = requests.post(f"{platform}/page/conversations", data={"text": "x"}, timeout=10)
    assert answer.status_code == 415
    assert requests.get(f"{platform}/page/state", timeout=10).json()["conversations"] == []


def test_the_page_is_accessible_at_any_width_or_colour_scheme_and_not_wider_than_a_phone(page):
    found = [find_violations(page, PHONE, "light")]
    begin(page, "A message that is much longer than a phone is wide " + "w" * 80)
    write(page, "Agent answers", "An answer")
    expect(webhooks(page, "message")).to_have_count(2, timeout=MILLISECONDS)
    webhooks(page, "new").first.locator("summary").click()
    found += [find_violations(page, size, scheme) for size in (SCREEN, PHONE) for scheme in ("light", "dark")]
    assert found == [[]] * 5
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    expect(page.get_by_role("button", name="Agent answers")).to_be_visible()


def test_the_page_can_be_operated_with_only_the_keyboard(page):
    assert press_until_focused(page, page.get_by_label("First message"))
    page.keyboard.type("Where is my order?")
    page.keyboard.press("Enter")
    expect(page.locator("#messages li.customer")).to_have_count(1)
    assert press_until_focused(page, page.get_by_label("Message", exact=True))
    page.keyboard.type("It is on its way.")
    assert press_until_focused(page, page.get_by_role("button", name="Agent answers"))
    page.keyboard.press("Space")
    expect(page.locator("#messages li.agent")).to_have_count(1)
    summary = webhooks(page, "new").first.locator("summary")
    assert press_until_focused(page, summary)
    page.keyboard.press("Enter")
    expect(webhooks(page, "new").first.locator("pre")).to_be_visible()
