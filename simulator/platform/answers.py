"""Write what the platform answers when something is wrong."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from flask import jsonify

if TYPE_CHECKING:
    from flask import Response


def error(status: int, code: str, message: str) -> tuple[Response, int]:
    """Return an answer in the form of the platform's model ErrorBody."""
    context = uuid.uuid4().hex
    body = {
        "message": message,
        "code": code,
        "status": status,
        "contextId": context,
        "details": [],
        "errors": [],
    }
    return jsonify(body), status
