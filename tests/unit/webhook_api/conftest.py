"""A whole edge with a real journal. The edge is not started: tests call its application as a server would."""

import io
from dataclasses import dataclass

import pytest

from tests.fakes.loop import JumpingLoop
from tests.services import SECRET, signature
from webhook_api.app import Edge
from webhook_api.application import WEBHOOK_PATH
from webhook_api.backpressure import DepthSample
from webhook_api.http.wsgi import make_environ
from webhook_api.settings import EdgeSettings


@pytest.fixture
def loop():
    """An event loop that is not running yet; its timers take no real time."""
    loop = JumpingLoop()
    yield loop
    loop.close()


@dataclass
class Reply:
    status: str
    headers: list
    body: bytes


class Stand:
    """An edge without a broker."""

    def __init__(self, directory, monkeypatch, **settings):
        variables = {
            "OM_WEBHOOK_SECRETS": SECRET,
            "OM_AMQP_URL": "amqp://127.0.0.1:9/",
            "OM_STATE_DIRECTORY": str(directory),
            "OM_MAX_BODY_BYTES": "2048",
        }
        for name, value in (variables | settings).items():
            monkeypatch.setenv(name, value)
        edge = Edge(EdgeSettings.from_environment())
        self.app, self.ingest = edge.application, edge.ingest
        self._edge = edge

    def shed(self):
        """Report a queue that is too deep."""
        self._edge._shedder.on_sample(DepthSample(at=0.0, depth=10**9))

    def settle_path(self):
        """Send the first request, during which the application chooses the path that webhooks take."""
        assert self.call(environ_of(PATH_INFO="/health/live", REQUEST_METHOD="GET")).status == "200 OK"

    def status(self):
        return self._edge.status()

    def close(self):
        self._edge._journal.close()
        self._edge.loop.close()

    def call(self, environ):
        """Call the application as the worker does."""
        replies = []

        def start_response(status, headers, exc_info=None):
            replies.append((status, headers))

        body = b"".join(self.app(environ, start_response))
        return Reply(*replies[-1], body)

    def post(self, body=b"{}", **changes):
        return self.call(environ_of(body, **changes))


def environ_of(body=b"{}", **changes):
    """Make the WSGI environ of a signed webhook; a change to None removes a key."""
    request = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": WEBHOOK_PATH,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "edge.test",
        "HTTP_X_HUB_SIGNATURE_256": signature(body),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    environ = make_environ(("127.0.0.1", "8080"), ("127.0.0.1", "9")) | request | changes
    return {key: value for key, value in environ.items() if value is not None}


@pytest.fixture
def make_stand(tmp_path, monkeypatch):
    """Return a function that makes an edge; its arguments are environment variables."""
    made = []

    def make(**settings):
        made.append(Stand(tmp_path / f"journal-{len(made)}", monkeypatch, **settings))
        return made[-1]

    yield make
    for stand in made:
        stand.close()


@pytest.fixture
def stand(make_stand):
    return make_stand()
