"""Serve HTTP: bytes, limits and WSGI. This package knows no route."""

from webhook_api.http.head import environ_key
from webhook_api.http.response import Response, render
from webhook_api.http.worker import LoopWorker
from webhook_api.http.wsgi import REQUEST_ID, DeferredBody, Limits, Service
