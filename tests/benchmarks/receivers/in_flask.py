"""Receive webhooks in Flask with two views: a no-op with the lowest cost, and a typical first version.

The typical first version publishes with pika during the request, over one connection per thread and without
confirms. It checks no signature and keeps no journal, so it can lose events that it has acknowledged when
the connection to the broker breaks.
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
    """Add a function that runs before each request of the edge, which forces Flask's whole dispatch."""
    app.before_request(lambda: None)


@noop.post(WEBHOOK_PATH)
def receive() -> str:
    """Read the body and discard it."""
    request.get_data()
    return "ok"


@publishing.post(WEBHOOK_PATH)
def publish() -> str:
    """Publish the body to the quorum queue, then answer."""
    _channel().basic_publish(EXCHANGE, EVENT_ROUTING_KEY, request.get_data(), _PERSISTENT, mandatory=True)
    return "ok"


def _channel() -> pika.adapters.blocking_connection.BlockingChannel:
    if not hasattr(_local, "channel"):
        connection = pika.BlockingConnection(pika.URLParameters(os.environ["OM_AMQP_URL"]))
        _local.channel = connection.channel()
    return _local.channel
