"""Views in Flask: one that does nothing, which is the least cost, and the usual first version.

The latter publishes in the request with pika, one connection per thread, without confirms. It checks no
signature and keeps no journal: what it has acknowledged is lost with the broker's connection.
"""

from __future__ import annotations

import os
import threading

import pika
from flask import Flask, request

from messaging.topology import EVENT_ROUTING_KEY, EXCHANGE
from webhook_api.application import WEBHOOK_PATH

noop = Flask("noop")
publishing = Flask("publishing")
_local = threading.local()
_PERSISTENT = pika.BasicProperties(delivery_mode=2)


def hook_in(app: Flask) -> None:
    """Run a function before each request of the edge, so that it takes Flask's whole dispatch."""
    app.before_request(lambda: None)


@noop.post(WEBHOOK_PATH)
def receive() -> str:
    """Read the body and discard it."""
    request.get_data()
    return "ok"


@publishing.post(WEBHOOK_PATH)
def publish() -> str:
    """Publish the body to the quorum queue and answer."""
    _channel().basic_publish(EXCHANGE, EVENT_ROUTING_KEY, request.get_data(), _PERSISTENT, mandatory=True)
    return "ok"


def _channel() -> pika.adapters.blocking_connection.BlockingChannel:
    if not hasattr(_local, "channel"):
        connection = pika.BlockingConnection(pika.URLParameters(os.environ["OM_AMQP_URL"]))
        _local.channel = connection.channel()
    return _local.channel
