"""Answer a request with an error."""

import uuid

from flask import Response, jsonify


class ApiError(Exception):
    """Answer with this status and text; *retry_after*: seconds of that header, None for none."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after

    def render(self) -> Response:
        """Return the answer in the form of the platform's model ErrorBody."""
        body = {"message": str(self), "code": self.code, "status": self.status, "contextId": uuid.uuid4().hex}
        response = jsonify(body | {"details": [], "errors": []})
        response.status_code = self.status
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        return response


class NotFoundError(ApiError):
    """Answer 404."""

    def __init__(self) -> None:
        super().__init__(404, "not.found", "The requested resource was not found.")
