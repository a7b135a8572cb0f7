"""The short path to the webhook's view answers as Flask does and skips no hook, signal or middleware."""

import collections
import functools
import sys
from dataclasses import replace

import flask
import pytest
import werkzeug
from flask import signals
from flask.sessions import SecureCookieSessionInterface

from tests.unit.webhook_api.conftest import SECRET, environ_of
from webhook_api import application
from webhook_api.application import BUS_PATH, WEBHOOK_PATH
from webhook_api.extensions import SIGNALS
from webhook_api.http import DeferredBody
from webhook_api.http.wsgi import NotDurableError, WsgiAdapter

ENDPOINT = "edge.receive_webhook"


@pytest.fixture(autouse=True)
def _disconnect_receivers():
    """Disconnect a test's signal receivers afterwards, because signals are global."""
    yield
    for signal in SIGNALS:
        signal._clear_state()


@pytest.fixture
def short_and_full(make_stand):
    """Return a function that makes two applications.

    Webhooks take the short path through the first, and Flask's dispatch through the second.
    """

    def make(**settings):
        short, full = make_stand(**settings), make_stand(**settings)
        full.app.before_request(lambda: None)
        for stand in (short, full):
            stand.settle_path()
        return short, full

    return make


PATH = (flask.__path__[0], werkzeug.__path__[0], application.__file__)
"""Files in which calls are counted. In other files, the clock and the garbage collector also make calls."""


def calls_of(function):
    """Call *function*; return its result and how often each function in the files of PATH was called."""
    counts = collections.Counter()

    def count(frame, event, _argument):
        if event == "call" and frame.f_code.co_filename.startswith(PATH):
            counts[frame.f_code.co_qualname] += 1

    sys.setprofile(count)
    try:
        result = function()
    finally:
        sys.setprofile(None)
    return result, counts


REQUESTS = {
    "accepted": {},
    "wrong signature": {"HTTP_X_HUB_SIGNATURE_256": "sha256=AAAA"},
    "a signature that is no ASCII": {"HTTP_X_HUB_SIGNATURE_256": "sha256=\xe9"},
    "empty body": {"body": b""},
    "too large": {"body": b"x" * 2049},
    "largest body": {"body": b"x" * 2048},
    "length unknown": {"CONTENT_LENGTH": None},
    "length no number": {"CONTENT_LENGTH": "many"},
    "GET": {"REQUEST_METHOD": "GET"},
    "HEAD": {"REQUEST_METHOD": "HEAD"},
    "OPTIONS": {"REQUEST_METHOD": "OPTIONS"},
    "a slash more": {"PATH_INFO": WEBHOOK_PATH + "/"},
    "another host": {"HTTP_HOST": "else.test:81"},
    "odd host": {"HTTP_HOST": "a b"},
    "no host": {"HTTP_HOST": None},
    "form data": {"CONTENT_TYPE": "application/x-www-form-urlencoded", "body": b"a=b"},
    "a session's cookie": {"HTTP_COOKIE": "session=eyJhIjoxfQ.x.y"},
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_the_short_and_the_full_path_give_the_same_status_headers_and_body(short_and_full, kind):
    answers = [stand.post(**REQUESTS[kind]) for stand in short_and_full()]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("disturb", "status"),
    [
        (lambda stand: stand.shed(), "too many requests"),
        (lambda stand: setattr(stand.ingest, "_verifier", None), "internal server error"),
    ],
    ids=["the queue is too deep", "an internal failure"],
)
def test_the_short_and_the_full_path_give_the_same_response_to_a_refused_webhook(
    short_and_full, disturb, status
):
    answers = []
    for stand in short_and_full(OM_RETRY_AFTER_MAX_SECONDS="1"):
        disturb(stand)
        answers.append(stand.post())
        assert stand._edge._answers.refusals == {answers[-1].status[:3]: 1}
    assert answers[0] == answers[1]
    assert answers[0].body == b'{"status": "%b"}\n' % status.encode()


ERRORS = {
    "404": {"PATH_INFO": "/webhooks/genesys/nothing"},
    "404, the event bus without its setting": {"PATH_INFO": BUS_PATH},
    "404, slashes": {"PATH_INFO": "//webhooks//genesys//openmessaging"},
    "405": {"REQUEST_METHOD": "GET"},
    "401": {"HTTP_X_HUB_SIGNATURE_256": None},
    "401, whole dispatch": {"HTTP_X_HUB_SIGNATURE_256": None, "wsgi.input_terminated": None},
    "413": {"body": b"x" * 2049},
    "413, whole dispatch": {"body": b"x" * 2049, "wsgi.input_terminated": None},
    "400": {"body": b""},
    "400, the host": {"HTTP_HOST": "evil.example", "PATH_INFO": "/metrics", "REQUEST_METHOD": "GET"},
}


def _provoke(stand, kind):
    assert stand.post(**ERRORS[kind]).status[:3] == kind[:3]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("kind", ERRORS)
def test_later_webhooks_still_take_the_short_path_after_an_error(make_stand, kind, is_first):
    undisturbed, disturbed = make_stand(), make_stand()
    undisturbed.settle_path()
    if not is_first:
        disturbed.settle_path()
    _provoke(disturbed, kind)
    for stand in (undisturbed, disturbed):
        # The first webhook renders and imports objects that later webhooks reuse.
        stand.post()
    calls = [calls_of(lambda stand=stand: stand.post(b'{"n":1}')) for stand in (undisturbed, disturbed)]
    assert calls[0] == calls[1]
    assert calls[1][0].status == "200 OK"
    assert "EdgeApplication._receive" in calls[1][1]
    assert "Flask.full_dispatch_request" not in calls[1][1]


def test_a_hook_may_read_the_body(stand):
    stand.app.before_request(lambda: flask.request.get_data() and None)
    assert stand.post(b'{"n":1}').status == "200 OK"


def _subscribe(signal):
    def hook(app, see):
        # blinker has only weak references to receivers, so the application keeps a strong reference.
        app.extensions["receiver"] = lambda *_, **__: see()
        signal.connect(app.extensions["receiver"], app)

    return hook


def _error_handler(code):
    def hook(app, see):
        app.register_error_handler(code, lambda _error: see() or (str(code), 418))

    return hook


def _replace_view(app, see):
    view = app.view_functions[ENDPOINT]
    app.view_functions[ENDPOINT] = lambda: see() or view()


def _middleware(app, see):
    inner = app.wsgi_app
    app.wsgi_app = lambda environ, start_response: see() or inner(environ, start_response)


def _replace_method(name):
    def hook(app, see):
        method = getattr(app, name)
        setattr(app, name, lambda *args, **kwargs: see() or method(*args, **kwargs))

    return hook


def _replace_class(attribute, base):
    def hook(app, see):
        made = type("Own", (base,), {"__init__": lambda self, *a, **k: see() or base.__init__(self, *a, **k)})
        setattr(app, attribute, made)

    return hook


def _session_interface(app, see):
    class Own(SecureCookieSessionInterface):
        def open_session(self, app, request):
            see()
            return super().open_session(app, request)

    app.session_interface = Own()


def _hook_of_blueprint(app, see):
    own = flask.Blueprint("own", __name__)
    own.before_app_request(see)
    app.register_blueprint(own)


HOOKS = {
    "before_request": lambda app, see: app.before_request(see),
    "before_app_request of a blueprint": _hook_of_blueprint,
    "after_request": lambda app, see: app.after_request(lambda response: see() or response),
    "teardown_request": lambda app, see: app.teardown_request(lambda _error: see()),
    "teardown_appcontext": lambda app, see: app.teardown_appcontext(lambda _error: see()),
    "url_value_preprocessor": lambda app, see: app.url_value_preprocessor(lambda *_: see()),
    **{signal.name: _subscribe(signal) for signal in SIGNALS if signal is not signals.got_request_exception},
    "WSGI middleware": _middleware,
    "another view": _replace_view,
    "full_dispatch_request": _replace_method("full_dispatch_request"),
    "process_response": _replace_method("process_response"),
    "make_response": _replace_method("make_response"),
    "ensure_sync": _replace_method("ensure_sync"),
    "request_class": _replace_class("request_class", flask.Request),
    "session_interface": _session_interface,
}


@pytest.mark.parametrize("kind", HOOKS)
def test_a_hook_sees_every_webhook(stand, kind):
    seen = []
    HOOKS[kind](stand.app, lambda: seen.append(1))
    statuses = [stand.post(b'{"n":%d}' % number).status for number in range(3)]
    assert statuses == ["200 OK"] * 3
    assert len(seen) >= 3


def test_the_log_names_the_hook_that_disables_the_short_path(stand, capsys):
    stand.app.teardown_request(lambda _error: None)
    stand.post()
    stand.post()
    [line] = [line for line in capsys.readouterr().out.splitlines() if "webhooks_dispatched_by_flask" in line]
    assert "teardown_request_funcs" in line


def test_a_wrapper_added_when_the_view_is_registered_sees_every_webhook(make_stand, monkeypatch):
    seen = []
    add = flask.Flask.add_url_rule

    def add_wrapped(app, rule, endpoint=None, view_func=None, *args, **kwargs):
        view = functools.wraps(view_func)(lambda **arguments: seen.append(rule) or view_func(**arguments))
        add(app, rule, endpoint, view, *args, **kwargs)

    monkeypatch.setattr(flask.Flask, "add_url_rule", add_wrapped)
    stand = make_stand()
    for _ in range(2):
        stand.post()
    assert seen == [WEBHOOK_PATH] * 2


def _break(stand):
    stand.ingest._verifier = None
    return {}


@pytest.mark.parametrize(
    ("hook", "changes_of", "status"),
    [
        (_error_handler(401), lambda _stand: {"HTTP_X_HUB_SIGNATURE_256": ""}, "418"),
        (_error_handler(413), lambda _stand: {"body": b"x" * 3000}, "418"),
        (_error_handler(400), lambda _stand: {"body": b""}, "418"),
        (_error_handler(500), _break, "418"),
        (_error_handler(Exception), _break, "418"),
        (_subscribe(signals.got_request_exception), _break, "500"),
    ],
    ids=["401", "413", "400", "500", "Exception", "signal"],
)
def test_an_error_handler_or_listener_sees_every_refused_or_failed_webhook(stand, hook, changes_of, status):
    seen = []
    hook(stand.app, lambda: seen.append(1))
    assert stand.post(**changes_of(stand)).status[:3] == status
    assert seen == [1]


@pytest.mark.parametrize(
    "name", ["wsgi_app", "full_dispatch_request", "preprocess_request", "dispatch_request"]
)
def test_instrumentation_that_replaces_flasks_methods_sees_every_webhook(stand, monkeypatch, name):
    seen = []
    method = getattr(flask.Flask, name)
    monkeypatch.setattr(flask.Flask, name, lambda *args: seen.append(1) or method(*args))
    for _ in range(2):
        stand.post()
    assert seen == [1, 1]


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [("MAX_CONTENT_LENGTH", 10, "413"), ("TRUSTED_HOSTS", ["other.test"], "400")],
)
def test_flasks_configuration_applies_to_webhooks(stand, name, value, status):
    stand.app.config[name] = value
    assert stand.post(b"x" * 20).status[:3] == status


@pytest.mark.parametrize("path", ["/metrics", "/health/ready"])
def test_metrics_and_health_are_refused_under_a_foreign_host_name(stand, path):
    hosts = ["edge.evil.example", "127.0.0.1:8080"]
    answers = [stand.post(HTTP_HOST=host, PATH_INFO=path, REQUEST_METHOD="GET") for host in hosts]
    assert [answer.status[:3] for answer in answers] == ["400", "200"]
    assert b"journal" not in answers[0].body


def test_the_response_to_another_method_lists_the_allowed_methods(stand):
    answer = stand.post(REQUEST_METHOD="PUT")
    assert answer.status.startswith("405 ")
    assert set(dict(answer.headers)["Allow"].split(", ")) == {"POST", "OPTIONS"}
    assert answer.body == b'{"status": "method not allowed"}\n'


@pytest.fixture
def flushed(monkeypatch):
    """The descriptors that were passed to fdatasync."""
    flushed = []
    monkeypatch.setattr("os.fdatasync", flushed.append)
    return flushed


@pytest.fixture
def durable(make_stand):
    """Return a function that makes edges that flush events before they answer; *extend* changes an edge."""

    def make(extend=lambda _app: None):
        stand = make_stand(OM_JOURNAL_FSYNC="true")
        extend(stand.app)
        stand.settle_path()
        return stand

    return make


EXTENSIONS = [
    lambda _app: None,
    lambda app: app.before_request(lambda: None),
    lambda app: app.after_request(lambda _response: flask.Response("another")),
]


@pytest.mark.parametrize("extend", EXTENSIONS)
def test_our_server_receives_a_response_that_waits_for_the_flush(durable, flushed, extend):
    stand = durable(extend)
    deferred = stand.app(environ_of(), lambda *_: None)
    assert type(deferred) is DeferredBody
    assert not flushed
    answers = []
    deferred.on_durable(answers.append)
    stand._edge.relay._end_turn()
    assert (len(flushed), answers) == (1, [True])


def test_a_refusal_does_not_wait_for_the_flush(durable):
    chunks = durable().app(environ_of(HTTP_X_HUB_SIGNATURE_256=""), lambda *_: None)
    assert chunks == [b'{"status": "unauthorized"}\n']


@pytest.mark.parametrize("reader", [list, lambda body: [*body, body.close()], lambda body: body.close()])
def test_another_reader_of_the_response_flushes_the_event_first(durable, flushed, reader):
    """The middleware iterates over the body, or sends a different body and closes the original one."""
    reader(durable().app(environ_of(), lambda *_: None))
    assert len(flushed) == 1


def _serve(stand, application):
    service = replace(stand._edge.service, application=application)
    return WsgiAdapter(service).respond(environ_of(), True)


@pytest.mark.parametrize("application", ["the edge's", "an extension's"])
def test_a_webhook_that_is_answered_500_is_counted_once(stand, application):
    stand.settle_path()
    stand.ingest._verifier = None
    response, _ = _serve(stand, stand.app if application == "the edge's" else None)
    assert response.startswith(b"HTTP/1.1 500")
    assert stand._edge._answers.refusals == {"500": 1}


def test_a_failed_request_that_is_not_a_webhook_is_not_counted_as_a_refused_webhook(stand):
    stand.app.view_functions["edge.live"] = None
    environ = environ_of(PATH_INFO="/health/live", REQUEST_METHOD="GET")
    assert stand.call(environ).status.startswith("500")
    assert stand._edge._answers.refusals == {}


@pytest.mark.parametrize(("written", "status"), [(None, b"200"), (0, b"503")])
def test_middleware_can_replace_the_body_only_after_the_flush(durable, flushed, monkeypatch, written, status):
    stand = durable()
    if written is not None:
        monkeypatch.setattr("os.write", lambda *_: written)

    def drop(environ, start_response):
        stand.app(environ, start_response)
        return [b"another"]

    response, deferred = _serve(stand, drop)
    assert deferred is None
    assert response.startswith(b"HTTP/1.1 " + status)
    assert len(flushed) == (written is None)


@pytest.mark.parametrize("reader", [list, lambda body: body.close()])
def test_another_reader_receives_an_error_if_the_disk_refuses_the_event(durable, monkeypatch, reader):
    body = durable().app(environ_of(), lambda *_: None)
    monkeypatch.setattr("os.write", lambda *_: 0)
    with pytest.raises(NotDurableError) as refused:
        reader(body)
    assert refused.value.response.status == 503


def test_flasks_configuration_contains_no_secret(stand):
    assert SECRET not in repr(stand.app.config)
