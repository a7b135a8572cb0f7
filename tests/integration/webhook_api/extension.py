"""Extend the edge through OM_FLASK_EXTENSIONS with a hook and a middleware that count requests."""

import itertools

from flask import g


def count_requests(app):
    """Count requests in a hook and in a middleware, and add both counts to the response."""
    by_hook = itertools.count(1)
    by_middleware = itertools.count(1)
    inner = app.wsgi_app

    @app.before_request
    def count():
        g.number = next(by_hook)

    @app.after_request
    def report(response):
        response.headers["X-Seen-By-Hook"] = str(g.number)
        return response

    def middleware(environ, start_response):
        number = next(by_middleware)

        def start(status, headers, exc_info=None):
            return start_response(status, [*headers, ("X-Seen-By-Middleware", str(number))], exc_info)

        return inner(environ, start)

    app.wsgi_app = middleware
