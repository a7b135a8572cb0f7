"""Know every setting of gunicorn: those that hold under this worker, and those that are refused by name.

Nothing that an operator sets is ignored. A unit test goes through gunicorn's own list, so that a setting
which a new release brings is put into one of these tables before the release is used.
"""

from __future__ import annotations

import os
from typing import Any, Final

from gunicorn.config import KNOWN_SETTINGS

# fmt: off  # a list of names, read as a paragraph
BY_GUNICORN: Final = frozenset(
    {
        "config",
        "bind",
        "backlog",
        "timeout",
        "graceful_timeout",
        "check_config",
        "print_config",
        "spew",
        "reuse_port",
        "chdir",
        "daemon",
        "pidfile",
        "worker_tmp_dir",
        "user",
        "group",
        "umask",
        "initgroups",
        "errorlog",
        "loglevel",
        "logger_class",
        "logconfig",
        "logconfig_dict",
        "logconfig_json",
        "capture_output",
        "syslog",
        "syslog_addr",
        "syslog_prefix",
        "syslog_facility",
        "enable_stdio_inheritance",
        "proc_name",
        "default_proc_name",
        "pythonpath",
        "on_starting",
        "on_reload",
        "when_ready",
        "pre_fork",
        "post_fork",
        "post_worker_init",
        "worker_int",
        "worker_abort",
        "pre_exec",
        "child_exit",
        "worker_exit",
        "nworkers_changed",
        "on_exit",
        "dirty_apps",
        "dirty_workers",
        "dirty_timeout",
        "dirty_threads",
        "dirty_graceful_timeout",
        "on_dirty_starting",
        "dirty_post_fork",
        "dirty_worker_init",
        "dirty_worker_exit",
        "control_socket",
        "control_socket_mode",
        "control_socket_disable",
    }
)
# fmt: on
"""What the arbiter, the logger and the base of all workers see to."""

BY_CONFIGURATION: Final = frozenset({"wsgi_app", "worker_class", "workers"})
"""What webhook_api/gunicorn_conf.py says; another value would take the process apart."""

_IN_FRONT: Final = "TLS and HTTP/2 are for the proxy in front"
_NO_LOG: Final = "set OM_ACCESS_LOG, or see /metrics"
_ONE_LOOP: Final = "one process has one loop and no thread for requests"
_HTTP: Final = "requests are held to RFC 9112"

REFUSED: Final = {
    "threads": _ONE_LOOP,
    "worker_connections": "set OM_MAX_CONNECTIONS",
    "max_requests": "a process runs until it is told to stop",
    "max_requests_jitter": "a process runs until it is told to stop",
    "keepalive": "set OM_KEEPALIVE_SECONDS",
    "limit_request_line": "a request's head may have 32 KiB",
    "limit_request_fields": "a request's head may have 32 KiB",
    "limit_request_field_size": "a request's head may have 32 KiB",
    "reload": "restart it",
    "reload_engine": "restart it",
    "reload_extra_files": "restart it",
    "preload_app": "nothing is opened before the fork",
    "sendfile": "no file is served",
    "tmp_upload_dir": "a body is kept in memory until it is journalled",
    "raw_env": "set it in the environment",
    "secure_scheme_headers": "headers of proxies are not looked at",
    "forwarded_allow_ips": "headers of proxies are not looked at",
    "forwarder_headers": "headers of proxies are not looked at",
    "proxy_protocol": "the PROXY protocol is not spoken",
    "proxy_allow_ips": "the PROXY protocol is not spoken",
    "accesslog": _NO_LOG,
    "access_log_format": _NO_LOG,
    "disable_redirect_access_to_syslog": _NO_LOG,
    "statsd_host": _NO_LOG,
    "dogstatsd_tags": _NO_LOG,
    "statsd_prefix": _NO_LOG,
    "enable_backlog_metric": _NO_LOG,
    "pre_request": "use OM_FLASK_EXTENSIONS",
    "post_request": "use OM_FLASK_EXTENSIONS",
    "paste": "the application is webhook_api",
    "raw_paste_global_conf": "the application is webhook_api",
    "root_path": "the application is webhook_api",
    "protocol": "only HTTP is spoken",
    "uwsgi_allow_ips": "only HTTP is spoken",
    "ssl_context": _IN_FRONT,
    "keyfile": _IN_FRONT,
    "certfile": _IN_FRONT,
    "ssl_version": _IN_FRONT,
    "cert_reqs": _IN_FRONT,
    "ca_certs": _IN_FRONT,
    "suppress_ragged_eofs": _IN_FRONT,
    "do_handshake_on_connect": _IN_FRONT,
    "ciphers": _IN_FRONT,
    "http_protocols": _IN_FRONT,
    "http2_cleartext": _IN_FRONT,
    "http2_max_concurrent_streams": _IN_FRONT,
    "http2_initial_window_size": _IN_FRONT,
    "http2_max_frame_size": _IN_FRONT,
    "http2_max_header_list_size": _IN_FRONT,
    "permit_obsolete_folding": _HTTP,
    "strip_header_spaces": _HTTP,
    "permit_unconventional_http_method": _HTTP,
    "permit_unconventional_http_version": _HTTP,
    "casefold_http_method": _HTTP,
    "header_map": _HTTP,
    "http_parser": _HTTP,
    "asgi_loop": "the application speaks WSGI",
    "asgi_lifespan": "the application speaks WSGI",
    "asgi_disconnect_grace_period": "the application speaks WSGI",
    "websocket_max_message_size": "the application speaks WSGI",
}
"""Settings that have no effect here, each with what to do instead, or why."""

ENVIRONMENT: Final = {"FORWARDED_ALLOW_IPS": "forwarded_allow_ips", "SENDFILE": "sendfile"}
"""Variables that gunicorn takes a default from."""


def refused_settings(cfg: Any) -> list[str]:
    """Say which settings would be ignored.

    Args:
        cfg: gunicorn's configuration, its file and command line read.

    Returns:
        One sentence for each; nothing where all is well.
    """
    changed = {setting.name for setting in KNOWN_SETTINGS if _is_changed(cfg, setting)}
    changed |= {name for variable, name in ENVIRONMENT.items() if variable in os.environ}
    return [
        f"gunicorn's {name} has no effect: {REFUSED.get(name, 'this release of gunicorn is not known')}"
        for name in sorted(changed - BY_GUNICORN - BY_CONFIGURATION)
    ]


def _is_changed(cfg: Any, setting: Any) -> bool:
    """Tell whether a setting has another value than a configuration that says nothing."""
    value = cfg.settings[setting.name].get()
    return bool(value != setting().get())
