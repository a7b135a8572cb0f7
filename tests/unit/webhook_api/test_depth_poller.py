"""The queue's depth is read from the management API, or is unknown if the answer is malformed."""

import pytest
import requests

from webhook_api.backpressure import DepthPoller


def _poll(body):
    poller = DepthPoller(("http://broker:15672",), ("amqp://broker/",), lambda _: None, lambda: None)
    answer = requests.Response()
    answer.status_code, answer._content = 200, body.encode()
    poller._apis[0].get = lambda _path: answer
    report = poller._poll()
    return report.depth if report is not None else None


def test_the_depth_includes_the_unacknowledged_deliveries():
    depth = _poll('{"name": "q", "messages": 7, "messages_unacknowledged": 2}')
    assert (depth.depth, depth.unacknowledged, depth.is_trusted) == (7, 2, True)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no JSON",
        "[]",
        "[" * 100_000,
        '{"name": "q"}',
        '{"name": "q", "messages": true}',
        '{"name": "q", "messages": -1}',
        '{"name": "q", "messages": 7.0}',
        '{"name": "q", "messages": 1' + 400 * "0" + "}",
        '{"name": "q", "messages": 7, "messages_unacknowledged": null}',
        '{"name": "q", "messages": 7, "messages_unacknowledged": Infinity}',
        '{"name": "q", "messages": 7, "members": 1}',
        '{"name": "q", "messages": 7, "members": [[]], "online": [], "leader": ""}',
        '{"name": "q", "messages": 7, "members": ["a"], "online": ["a"]}',
    ],
    ids=lambda body: body[:60],
)
def test_the_depth_is_unknown_if_the_answer_is_malformed(body):
    assert _poll(body) is None
