"""Serve HTTP: bytes, limits and WSGI; it knows no route."""
