"""omctl simulate against a real HTTP server that answers as it is told."""

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from click.testing import CliRunner

from omctl.develop.simulate import simulate
from simulator.ledger import read_ledger
from tests.servers import free_port
from webhook_api.signature import SignatureVerifier

SECRET = "constructed-secret-0123456789"


class Receiver(ThreadingHTTPServer):
    """Counts each body's requests and answers with `answer(times seen, body)`."""

    daemon_threads = True
    # All connections of a run may come at once, before a busy machine takes the first.
    request_queue_size = 64

    def __init__(self, answer):
        super().__init__(("127.0.0.1", free_port()), Handler)
        self.answer = answer
        self.seen = Counter()
        self.forged = 0
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/webhooks"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        header = self.headers.get("X-Hub-Signature-256", "").encode()
        with self.server.lock:
            self.server.seen[body] += 1
            self.server.forged += not SignatureVerifier((SECRET.encode(),)).is_genuine(body, header)
            status = self.server.answer(self.server.seen[body], body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Retry-After", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def receiver(answer):
    with Receiver(answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def run(url, *options):
    arguments = [url, "--json", "--retry-seconds", "0.05", *options]
    result = CliRunner().invoke(
        simulate,
        arguments,
        env={"OM_WEBHOOK_SECRETS": SECRET, "OM_REQUIRED_HEADERS": ""},
        catch_exceptions=False,
    )
    return result.exit_code, json.loads(result.stdout)


def test_every_body_is_signed_sent_and_in_the_ledger(tmp_path):
    path = tmp_path / "ledger.jsonl"
    mix = ("--duplicates", "20", "--malformed", "10", "--dialect", "both", "--disorder", "20")
    with receiver(lambda _times, _body: 200) as server:
        exit_code, summary = run(server.url, "--events", "300", "--ledger", str(path), *mix)
    rows = read_ledger(path)
    assert exit_code == 0
    assert server.forged == 0
    assert summary["requests"] == server.seen.total() > 300
    assert len(rows) == len(server.seen)
    assert all(row.answered for row in rows)


def test_a_refusal_under_load_is_sent_again_until_it_is_taken():
    with receiver(lambda times, _body: 200 if times == 3 else 429) as server:
        exit_code, summary = run(server.url, "--events", "20", "--duplicates", "0")
    assert exit_code == 0
    assert summary["by_status"] == {"200": 20, "429": 40}
    assert summary["retries"] == 40


def test_it_gives_up_after_five_retries_and_says_so(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with receiver(lambda _times, _body: 503) as server:
        exit_code, summary = run(server.url, "--events", "5", "--duplicates", "0", "--ledger", str(path))
    assert exit_code == 1
    assert summary["unanswered"] == 5
    assert set(server.seen.values()) == {6}
    assert {(row.status, row.attempts, row.answered) for row in read_ledger(path)} == {(503, 6, False)}


def test_another_4xx_is_never_sent_again():
    with receiver(lambda _times, _body: 401) as server:
        exit_code, _ = run(server.url, "--events", "5", "--duplicates", "0")
    assert exit_code == 1
    assert set(server.seen.values()) == {1}


def test_a_port_without_a_listener_counts_as_no_answer():
    exit_code, summary = run("http://127.0.0.1:1/webhooks", "--events", "2", "--duplicates", "0")
    assert exit_code == 1
    assert summary["by_status"] == {"no answer": 12}


def test_the_same_seed_sends_the_same_bytes_again():
    with receiver(lambda _times, _body: 200) as server:
        for _ in range(2):
            run(server.url, "--events", "50", "--seed", "7", "--duplicates", "0")
    assert set(server.seen.values()) == {2}


def test_a_rate_is_kept():
    with receiver(lambda _times, _body: 200) as server:
        _, summary = run(server.url, "--events", "40", "--rate", "80", "--duplicates", "0")
    assert 0.4 < summary["seconds"] < 2.0


def test_an_answer_that_comes_too_late_is_sent_again():
    def late_once(times, _body):
        time.sleep(0.5 if times == 1 else 0)
        return 200

    with receiver(late_once) as server:
        exit_code, summary = run(server.url, "--events", "1", "--duplicates", "0", "--timeout-seconds", "0.2")
    assert exit_code == 0
    assert summary["by_status"]["no answer"] >= 1
