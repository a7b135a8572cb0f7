"""Bytes that the kernel does not accept at once are sent later, in order, by pika's own transport."""

import socket

import pytest
from pika.adapters.asyncio_connection import _AsyncioIOServicesAdapter
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport

from messaging.broker import BrokerConnection

MORE_THAN_A_SOCKET_TAKES = 4 * 1024 * 1024


@pytest.fixture
def sockets():
    pair = socket.socketpair()
    for each in pair:
        each.setblocking(False)
    yield pair
    for each in pair:
        each.close()


def test_bytes_that_the_kernel_does_not_accept_at_once_are_sent_later_in_order(loop, sockets):
    ours, brokers = sockets
    connection = BrokerConnection.__new__(BrokerConnection)
    connection.bytes_sent = connection.frames_sent = 0
    connection._transport = _AsyncPlaintextTransport(ours, None, _AsyncioIOServicesAdapter(loop))
    pieces = [b"small", b"a" * MORE_THAN_A_SOCKET_TAKES, b"behind it", b"b" * MORE_THAN_A_SOCKET_TAKES]
    connection.send_frames(pieces[0])
    assert brokers.recv(100) == pieces[0], "not sent at once"
    connection.send_frames(pieces[1])
    assert connection.unsent_bytes
    # Now the kernel accepts more, but the waiting bytes must be sent first.
    received = brokers.recv(1024 * 1024)
    for piece in pieces[2:]:
        connection.send_frames(piece)
    expected = b"".join(pieces[1:])
    received += loop.run_until_complete(_receive(loop, brokers, len(expected) - len(received)))
    assert received == expected
    assert not connection.unsent_bytes
    connection._transport.abort()


async def _receive(loop, sock, size):
    received = bytearray()
    while len(received) < size:
        received += await loop.sock_recv(sock, 1024 * 1024)
    return bytes(received)
