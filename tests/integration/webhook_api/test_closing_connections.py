"""Idle and slow connections are closed in time, and a stopping process answers requests already sent."""

import asyncio
import socket
from types import SimpleNamespace

import pytest

from tests.servers import LOOPBACK, free_port
from webhook_api.http import Limits, Service
from webhook_api.http.connection import Connections
from webhook_api.http.server import HttpServer
from webhook_api.http.wsgi import WsgiAdapter

REQUEST = b"POST /a HTTP/1.1\r\nHost: edge.test\r\nContent-Length: 5\r\n\r\nhello"


def _application(environ, start_response):
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


@pytest.fixture
def switch():
    """An object that the test uses to make the process leave new connections to a different one."""
    return SimpleNamespace(is_yielding=False)


@pytest.fixture
def make_server(loop, switch):
    def make(**limits):
        service = Service(
            loop,
            _application,
            Limits(1000, 10, **limits),
            is_inviting=lambda: True,
            is_yielding=lambda: switch.is_yielding,
            leave=lambda: None,
            find_failure=lambda: None,
            on_refused=lambda _response: None,
            start=lambda: None,
            stop=lambda _then: None,
        )
        return HttpServer(Connections(service, WsgiAdapter(service).respond))

    return make


@pytest.fixture
def server(make_server):
    return make_server()


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


def test_a_stopping_process_answers_a_request_that_was_already_sent(loop, server, client):
    server.finish()
    client.sendall(REQUEST)
    server.close_idle()
    _turn(loop)
    answer = client.recv(1000)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"hello")
    assert b"Connection: close" in answer


def test_a_stopping_process_closes_an_idle_connection(loop, server, client):
    server.close_idle()
    _turn(loop)
    assert client.recv(1000) == b""


def test_a_yielding_process_closes_each_connection_after_a_response(loop, switch, client):
    for is_yielding, connection in ((False, b"keep-alive"), (True, b"close")):
        switch.is_yielding = is_yielding
        client.sendall(REQUEST)
        _turn(loop)
        assert b"\r\nConnection: %b\r\n" % connection in client.recv(1000)
    assert client.recv(1000) == b""


def test_a_yielding_process_accepts_no_connection_and_closes_idle_connections(
    loop, switch, server, client, monkeypatch
):
    monkeypatch.setattr("webhook_api.http.server.YIELD_IDLE_SECONDS", 0.0)
    client.sendall(REQUEST)
    _turn(loop)
    client.recv(1000)
    switch.is_yielding = True
    with socket.create_connection(client.getpeername(), timeout=5) as other:
        other.sendall(REQUEST)
        _turn(loop)
        server.close_overdue()
        _turn(loop)
        assert client.recv(1000) == b""
        assert server.is_idle
        switch.is_yielding = False
        _turn(loop)
        _turn(loop)
        assert other.recv(1000).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("sent", "limits"), [(REQUEST[:10], {"request_seconds": 0.3}), (REQUEST, {"keepalive_seconds": 0.3})]
)
def test_slow_and_idle_connections_are_closed_in_time(loop, make_server, sent, limits):
    server, port = make_server(**limits), free_port()
    server.listen([socket.create_server((LOOPBACK, port))])

    def tick():
        server.close_overdue()
        loop.call_later(0.05, tick)

    async def talk():
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(sent)
        started = loop.time()
        await reader.read()
        writer.close()
        await writer.wait_closed()
        return loop.time() - started

    tick()
    assert 0.3 <= loop.run_until_complete(talk()) < 3.0
    server.stop_listening()
