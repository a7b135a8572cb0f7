"""Publish in the request with pika, one connection per thread, without confirms: the usual first version.

It checks no signature and keeps no journal: what it has acknowledged is lost with the broker's connection.
"""

from __future__ import annotations

import os
import threading

import pika
from flask import Flask, request

from messaging.topology import EVENT_ROUTING_KEY, EXCHANGE
from webhook_api.routes import WEBHOOK_PATH

app = Flask(__name__)
_local = threading.local()
_PERSISTENT = pika.BasicProperties(delivery_mode=2)


def _channel() -> pika.adapters.blocking_connection.BlockingChannel:
    if not hasattr(_local, "channel"):
        connection = pika.BlockingConnection(pika.URLParameters(os.environ["OM_AMQP_URL"]))
        _local.channel = connection.channel()
    return _local.channel


@app.post(WEBHOOK_PATH)
def receive() -> str:
    """Publish the body to the quorum queue and answer."""
    _channel().basic_publish(EXCHANGE, EVENT_ROUTING_KEY, request.get_data(), _PERSISTENT, mandatory=True)
    return "ok"
