"""What EventBridge's API destination is answered, and what becomes of its events."""

import json
from pathlib import Path

import pytest
import requests

from tests.services import Edge, Service, running

KEY = "constructed-secret-0123456789"
BASIC = "Basic Z2VuZXN5czpjb25zdHJ1Y3RlZA=="
EVENT = (Path(__file__).parents[2] / "payloads" / "eventbridge" / "acd-end.json").read_bytes()
PATH = "/webhooks/genesys/events"


@pytest.fixture(scope="module")
def bus_edge(declared_vhost, tmp_path_factory):
    settings = {"OM_EVENTS_HEADERS": f"X-Api-Key={KEY},Authorization={BASIC}"}
    edge = Edge(Service(tmp_path_factory.mktemp("edge"), declared_vhost.amqp_url, settings=settings))
    with running(edge):
        edge.start()
        yield edge


def post(edge, body=EVENT, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(f"{edge.url.partition('/webhooks')[0]}{PATH}", data=body, headers=named, timeout=10)


@pytest.mark.parametrize("headers", [{"X_Api_Key": KEY}, {"Authorization": BASIC}])
def test_an_event_with_one_of_the_headers_is_answered_200_and_its_very_bytes_are_queued(
    bus_edge, events_queue, headers
):
    answer = post(bus_edge, **headers)

    assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
    [(_, queued)] = events_queue.take(1)
    assert queued == EVENT


@pytest.mark.parametrize("headers", [{}, {"X_Api_Key": KEY[:-1]}, {"X_Api_Key": ""}, {"Authorization": KEY}])
def test_an_event_without_one_is_answered_401_and_not_queued(bus_edge, events_queue, headers):
    assert post(bus_edge, **headers).status_code == 401
    assert events_queue.is_empty()


def test_an_empty_event_is_answered_400_and_one_too_large_413(bus_edge, events_queue):
    assert post(bus_edge, b"", X_Api_Key=KEY).status_code == 400
    assert post(bus_edge, b"x" * (1024 * 1024 + 1), X_Api_Key=KEY).status_code == 413
    assert events_queue.is_empty()


def test_without_a_header_configured_there_is_no_such_endpoint(module_edge, events_queue):
    answer = post(module_edge, X_Api_Key=KEY)

    assert (answer.status_code, answer.json()) == (404, {"status": "not found"})
    assert events_queue.is_empty()


def test_the_header_of_the_bus_is_valid_for_no_other_path(bus_edge, events_queue):
    answer = requests.post(bus_edge.url, data=json.dumps({}), headers={"X-Api-Key": KEY}, timeout=10)

    assert answer.status_code == 401
    assert events_queue.is_empty()
