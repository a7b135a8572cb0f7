"""What an integrator installs with OM_FLASK_EXTENSIONS sees every request, webhooks included."""

import requests

from tests.services import post


def _counts(answer):
    return int(answer.headers["X-Seen-By-Hook"]), int(answer.headers["X-Seen-By-Middleware"])


def test_a_hook_and_a_middleware_count_every_webhook(extended_edge, events_queue):
    before = _counts(requests.get(f"{extended_edge.url}/nothing", timeout=10))

    answers = [post(extended_edge.url, b'{"n":%d}' % number) for number in range(20)]
    refused = post(extended_edge.url, b"{}", X_Hub_Signature_256="")

    assert [answer.status_code for answer in answers] == [200] * 20
    assert [_counts(each)[0] for each in (*answers, refused)] == list(range(before[0] + 1, before[0] + 22))
    assert [_counts(each)[1] for each in (*answers, refused)] == list(range(before[1] + 1, before[1] + 22))
    assert len(events_queue.take(20)) == 20
