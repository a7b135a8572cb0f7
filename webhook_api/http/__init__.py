"""Serve HTTP: bytes, limits and WSGI; it knows no route."""

from webhook_api.http.gateway import ANSWER_AFTER, REQUEST_ID
from webhook_api.http.head import environ_key
from webhook_api.http.limits import Limits
from webhook_api.http.worker import LoopWorker, Service

__all__ = ["ANSWER_AFTER", "REQUEST_ID", "Limits", "LoopWorker", "Service", "environ_key"]
