"""Answer 200 and do nothing: the least that a Flask view can cost."""

from __future__ import annotations

from flask import Flask, request

from webhook_api.routes import WEBHOOK_PATH

app = Flask(__name__)


@app.post(WEBHOOK_PATH)
def receive() -> str:
    """Read the body and throw it away."""
    request.get_data()
    return "ok"
