"""Run a private RabbitMQ node from the machine's packages.

The node shares nothing with a RabbitMQ that might already be running on this machine: it has its own loopback
ports, data, cookie, configuration and port mapper. Debian's wrapper scripts are not used, because they switch
to the `rabbitmq` user and to /var/lib/rabbitmq. If root starts the node, it runs as root.

Source: RabbitMQ, "Configuration" and "Clustering on a Single Machine"; `rabbit_env.erl` of RabbitMQ 4.0.
"""

import os
import re
import secrets
import shutil
import signal
import socket
from pathlib import Path
from typing import Self

import requests

from deploy.local.process import LOOPBACK, ServerProcess, ServerStartError, answers, free_port

CREDENTIALS = "guest:guest"
# The dead-letter queue must allow unlimited deliveries, which older releases do not support.
MIN_VERSION = (4,)
PLUGINS = "[rabbitmq_management]."
AMQP_GREETING = b"AMQP\x00\x00\x09\x01"

# A cold start on a loaded two-core machine takes ten seconds. A killed node must also reload its long queues.
START_SECONDS = 300.0
# A node that stops cleanly first hands over its queues' leadership. If that takes longer, the node is stuck.
STOP_SECONDS = 20.0
EPMD_STOP_SECONDS = 2.0
COOKIE = ".erlang.cookie"

CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{amqp_port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management_port}
loopback_users.guest = true
default_queue_type = quorum
log.file.level = info
"""
# The write-ahead log is small, because its default of 512 MB is allocated at once. The limits on memory and
# disk are low so that a small machine raises no alarm. Statistics are collected every second, not every five.
SMALL = """\
raft.wal_max_size_bytes = 16000000
disk_free_limit.absolute = 10MB
vm_memory_high_watermark.absolute = 1GB
collect_statistics_interval = 1000
"""
# Queue totals are updated every second, not every five. A dead letter that found no exchange is retried after
# five seconds instead of three minutes.
ADVANCED = """\
[{rabbit, [{quorum_tick_interval, 1000}, {dead_letter_worker_publisher_confirm_timeout, 5000}]}].
"""


def server_home() -> Path | None:
    """Return the directory of the newest installed RabbitMQ server of at least MIN_VERSION, or None."""
    found = Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server")
    homes = [program.parents[1] for program in found]
    if not homes and (program := shutil.which("rabbitmq-server")):
        # Debian's program on the PATH is a wrapper; elsewhere it is the real one, with its plugins beside it.
        homes = [home for home in [Path(program).resolve().parents[1]] if (home / "plugins").is_dir()]
    return max((home for home in homes if _version(home) >= MIN_VERSION), key=_version, default=None)


def _version(home: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", home.name))


class LocalRabbitMQ:
    """A RabbitMQ node on free loopback ports that keeps all its data in *directory*.

    *directory* is created if it is missing. A later object with the same *directory* and *name* uses the same
    data. `limits` and `advanced` are additional configuration, by default for a small machine.
    """

    def __init__(self, directory: Path, *, name: str = "open-messaging") -> None:
        self.limits, self.advanced = SMALL, ADVANCED
        self.directory = directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.node = f"{name}@localhost"
        self.amqp_port = free_port()
        self.management_port = free_port()
        self._distribution_port = free_port()
        self.amqp_url = f"amqp://{CREDENTIALS}@{LOOPBACK}:{self.amqp_port}/%2F"
        self.management_url = f"http://{CREDENTIALS}@{LOOPBACK}:{self.management_port}"
        stored = self.directory / COOKIE
        self.cookie = stored.read_text() if stored.exists() else secrets.token_hex(16)
        # Use a separate port mapper, because the machine's own, on port 4369, serves other Erlang programs.
        self.epmd_port = free_port()
        self._epmd = ServerProcess("epmd", self.directory / "epmd.log")
        self._process = ServerProcess(f"RabbitMQ {self.node}", self.directory / "output.log")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the node, and block until AMQP and the management API answer."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the node without waiting, so that several servers can start at the same time."""
        ports = {"amqp_port": self.amqp_port, "management_port": self.management_port}
        (self.directory / "rabbitmq.conf").write_text(CONFIGURATION.format(**ports) + self.limits)
        (self.directory / "advanced.config").write_text(self.advanced)
        (self.directory / "enabled_plugins").write_text(PLUGINS)
        cookie = self.directory / COOKIE
        # Erlang refuses a cookie that others can read.
        cookie.touch(mode=0o600)
        cookie.write_text(self.cookie)
        if not self._epmd.is_running:
            mapper = [shutil.which("epmd") or "epmd", "-address", LOOPBACK, "-port", str(self.epmd_port)]
            self._epmd.launch(mapper, environment=os.environ, directory=self.directory)
            self._epmd.wait_until(lambda: answers(self.epmd_port), timeout=10.0)
        command = [self._program("rabbitmq-server")]
        self._process.launch(command, environment=self._environment(), directory=self.directory)

    def wait_ready(self) -> None:
        """Block until AMQP and the management API answer."""
        self._process.wait_until(self.is_ready, timeout=START_SECONDS)

    def is_ready(self) -> bool:
        """Return whether AMQP (started last) answers and the API reports that all virtual hosts are up."""
        try:
            with socket.create_connection((LOOPBACK, self.amqp_port), timeout=1.0) as client:
                client.sendall(AMQP_GREETING)
                has_greeted = bool(client.recv(1))
            url = f"{self.management_url}/api/health/checks/virtual-hosts"
            return has_greeted and requests.get(url, timeout=5.0).ok
        except OSError:  # includes requests.RequestException
            return False

    def stop(self) -> None:
        """Shut the node down cleanly, as a service manager would."""
        self._process.end(signal.SIGTERM, timeout=STOP_SECONDS)
        self._epmd.end(signal.SIGTERM, timeout=EPMD_STOP_SECONDS)

    def _program(self, name: str) -> Path:
        if (home := server_home()) is None:
            raise ServerStartError("RabbitMQ is not installed on this machine")
        return home / "sbin" / name

    def _environment(self) -> dict[str, str]:
        """Return the node's environment. The machine's own settings for RabbitMQ have no effect on it.

        This process's RABBITMQ_*, ERL_* and NOTIFY_SOCKET are not passed on: they would affect the node.
        """
        here = self.directory
        plugins = self._program("rabbitmq-server").parents[1] / "plugins"
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(here),
            # This makes the start script replace itself with the Erlang VM, so that signals reach the VM.
            "detached": "true",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.amqp_port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(here / "data"),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_PID_FILE": str(here / "node.pid"),
            "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(here / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
            "RABBITMQ_PLUGINS_DIR": str(plugins),
            # Two schedulers suffice; by default, Erlang would start one for every core.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}",
        }
