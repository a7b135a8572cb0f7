"""Serve a WSGI application over HTTP/1.1, within limits. This package does not depend on the routes."""

from webhook_api.http.head import environ_key
from webhook_api.http.response import FAILED, Response, render
from webhook_api.http.worker import LoopWorker
from webhook_api.http.wsgi import REQUEST_ID, DeferredBody, Limits, Service
