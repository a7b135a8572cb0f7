"""Connections are limited in number and spread across processes, and no client can exhaust a process."""

import resource
import signal
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.services import post, signature
from tests.waiting import wait_until
from webhook_api.http.connection import MAX_ANSWERS_PER_READ

SECONDS = 20.0
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
WEBHOOK = (
    f"POST /webhooks/genesys/openmessaging HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
    f"X-Hub-Signature-256: {signature(b'{}')}\r\n\r\n{{}}"
).encode()


@pytest.fixture
def connect():
    with ExitStack() as sockets:

        def open_connection(edge):
            address = ("127.0.0.1", edge.port)
            return sockets.enter_context(socket.create_connection(address, timeout=SECONDS))

        yield open_connection


def test_the_number_of_requests_answered_per_read_is_limited(make_edge, connect):
    """A proxy never reaches the limit, because it sends each request only after the previous answer."""
    edge = make_edge()
    sock = connect(edge)
    sock.sendall(b"GET / HTTP/1.1\r\nHost:\r\n\r\n" * 2_500)
    answers = b""
    with suppress(ConnectionResetError):
        while received := sock.recv(65536):
            answers += received
    assert answers.count(b"HTTP/1.1 404 ") == MAX_ANSWERS_PER_READ
    assert answers.count(b"Connection: close") == 1


def _ask(sock):
    """Send a request and return the response, which is empty if the connection was closed."""
    sock.sendall(LIVE)
    return sock.recv(65536)


def _processes(edge):
    """Return the ids of gunicorn's child processes."""
    return [int(pid) for pid in Path(f"/proc/{edge.pid}/task/{edge.pid}/children").read_text().split()]


def _is_alive(pid):
    return Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def _fill(edge, connect, count):
    """Open *count* connections as soon as the connections of the readiness checks are closed."""
    kept = []

    def open_one_more():
        sock = connect(edge)
        if _ask(sock).startswith(b"HTTP/1.1 200 "):
            kept.append(sock)
        else:
            sock.close()
        return len(kept) == count

    wait_until(open_one_more, words="not as many are granted")
    return kept


def test_connections_beyond_the_limit_are_answered_503_and_earlier_connections_still_work(make_edge, connect):
    edge = make_edge(OM_MAX_CONNECTIONS="4")
    kept = _fill(edge, connect, 4)
    flood = [connect(edge) for _ in range(100)]
    for sock in flood:
        sock.sendall(LIVE)
    answers = [sock.recv(65536) for sock in flood]
    assert {answer[:13] for answer in answers} == {b"HTTP/1.1 503 "}
    assert all(b"\r\nRetry-After: 1\r\n" in answer for answer in answers)
    assert all(b"\r\nConnection: close\r\n" in answer for answer in answers)
    assert all(_ask(sock).startswith(b"HTTP/1.1 200 ") for sock in kept)
    kept.pop().close()
    wait_until(lambda: _ask(connect(edge)).startswith(b"HTTP/1.1 200 "), words="no place became free")


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_limit(make_edge):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = min(soft, 512)
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    try:
        [pid] = _processes(make_edge())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (hard, hard)


def test_a_process_without_free_descriptors_pauses_accepting_connections(make_edge, connect):
    edge = make_edge()
    [pid] = _processes(edge)
    first = connect(edge)
    assert _ask(first).startswith(b"HTTP/1.1 200 ")
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 3, hard))
    others = [connect(edge) for _ in range(20)]
    wait_until(lambda: '"event": "accepting_paused"' in edge.log.read_text(), words="accepting goes on")
    assert _ask(first).startswith(b"HTTP/1.1 200 ")
    time.sleep(2.5)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    assert all(_ask(sock).startswith(b"HTTP/1.1 200 ") for sock in others)
    assert _processes(edge) == [pid]
    log = edge.log.read_text()
    assert log.count('"event": "accepting_paused"') == log.count('"event": "accepting_again"') == 1


def test_keep_alive_connections_are_spread_over_the_processes(make_edge, connect):
    edge = make_edge(OM_EDGE_PROCESSES="2")
    statuses = []

    def each_has_answered():
        statuses.append(post(edge.url, b"{}").status_code)
        accepted = _accepted(edge)
        return len(accepted) == 2 and all(accepted.values())

    wait_until(each_has_answered, words="a process takes no connection")
    before = _wait_for_counts(edge, total=len(statuses))
    # A proxy opens many connections at once and keeps them open.
    kept = [connect(edge) for _ in range(400)]
    for sock in kept:
        sock.sendall(WEBHOOK)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
    after = _wait_for_counts(edge, total=len(statuses) + len(kept))
    assert set(statuses) == {200}
    # The kernel chooses processes at random, so expect only an eighth of the connections at each process.
    assert min(after[pid] - before[pid] for pid in before) >= len(kept) // 8


def _accepted(edge):
    return {each["pid"]: each["journal"]["accepted"] for each in edge.health()["processes"]}


def _wait_for_counts(edge, *, total):
    """Return how many events each process has accepted, once every process has published its new count."""

    def counts():
        accepted = _accepted(edge)
        return accepted if sum(accepted.values()) == total else None

    return wait_until(counts, words="the processes do not count all events")


def test_the_edge_stops_reading_from_a_client_that_does_not_read_its_responses(make_edge, connect):
    edge = make_edge()
    [pid] = _processes(edge)
    sock = connect(edge)
    sock.settimeout(1.0)
    before = _resident_bytes(pid)
    sent = 0
    # The request is so long that one read contains fewer requests than the limit per read.
    request = b"GET /health/ready HTTP/1.1\r\nHost: x\r\nX-Padding: %b\r\n\r\n" % (b"x" * 1200)
    requests_at_once = request * 100
    try:
        while sent < 200_000_000:
            sent += sock.send(requests_at_once[sent % len(request) :])
    except TimeoutError:
        pass
    # The buffers of the kernel and of the process absorb a few megabytes before the edge stops reading.
    assert sent < 50_000_000
    assert _resident_bytes(pid) - before < 5_000_000
    assert post(edge.url, b"{}").status_code == 200
    sock.settimeout(SECONDS)
    received = b""
    while received.count(b'"status":"ready"') < sent // len(request):
        part = sock.recv(1 << 20)
        assert part, "the connection was closed"
        received += part
    assert received.count(b"HTTP/1.1 200 ") == sent // len(request)


def _resident_bytes(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_an_edge_frees_its_port_after_its_master_process_is_killed(make_edge, connect, tmp_path):
    edge = make_edge(OM_EDGE_PROCESSES="2")
    orphans = _processes(edge)
    sock = connect(edge)
    assert _ask(sock).startswith(b"HTTP/1.1 200 ")
    edge.end(signal.SIGKILL, timeout=5)
    # gunicorn tries five times, a second apart, to bind the port before it gives up.
    successor = make_edge(directory=tmp_path / "successor", port=edge.port)
    # At first, an orphan of the killed edge might answer instead of the new edge.
    wait_until(lambda: not any(map(_is_alive, orphans)), words="orphans go on")
    wait_until(successor._is_live, words="the new one does not listen")
    assert post(successor.url, b"{}").status_code == 200
    assert '"event": "edge_orphaned"' in edge.log.read_text()


def test_a_stopping_edge_frees_the_port_at_once_and_finishes_its_requests(make_edge, connect, tmp_path):
    edge = make_edge()
    begun = connect(edge)
    begun.sendall(LIVE[:10])
    time.sleep(0.2)
    edge.send(signal.SIGTERM)
    wait_until(lambda: not edge._is_live(), words="connections are still accepted")
    make_edge(directory=tmp_path / "successor", port=edge.port)
    time.sleep(2.5)
    begun.sendall(LIVE[10:])
    answer = begun.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in answer
    wait_until(lambda: not edge.is_running, words="it does not end")
