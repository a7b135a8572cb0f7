"""A stopping process closes idle connections, and answers what has been sent on one."""

import asyncio
import socket

import pytest

from webhook_api.http.connection import Shared
from webhook_api.http.gateway import Gateway
from webhook_api.http.limits import Limits
from webhook_api.http.server import HttpServer

LIMITS = Limits(body_bytes=1000, request_seconds=5.0, keepalive_seconds=5.0, connections=10)
REQUEST = b"POST /a HTTP/1.1\r\nHost: edge.test\r\nContent-Length: 5\r\n\r\nhello"


def _application(environ, start_response):
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


@pytest.fixture
def server(loop):
    return HttpServer(Shared(loop, Gateway(_application), LIMITS, lambda: True, lambda _: None))


@pytest.fixture
def client(loop, server):
    listener = socket.create_server(("127.0.0.1", 0))
    server.listen([listener])
    with socket.create_connection(listener.getsockname(), timeout=5) as client:
        while server.is_idle:
            _turn(loop)
        _turn(loop)
        yield client
    server.stop_listening()
    while not server.is_idle:
        _turn(loop)


def _turn(loop):
    loop.run_until_complete(asyncio.sleep(0.05))


def test_a_request_that_was_sent_but_not_read_yet_is_answered(loop, server, client):
    server.finish()
    client.sendall(REQUEST)

    server.close_idle()
    _turn(loop)

    answer = client.recv(1000)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"hello")
    assert b"Connection: close" in answer


def test_an_idle_connection_is_closed(loop, server, client):
    server.close_idle()
    _turn(loop)

    assert client.recv(1000) == b""
