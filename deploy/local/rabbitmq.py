"""A RabbitMQ node of our own from the machine's packages.

The node shares nothing with a RabbitMQ that may already run here: free ports on loopback, its own
data, cookie, configuration and port mapper. Debian's wrapper scripts are passed by, because they
change to the `rabbitmq` user and to /var/lib/rabbitmq; as root the node runs as root.

Source: RabbitMQ, "Configuration" and "Clustering on a Single Machine"; the environment variables
are those of `rabbit_env.erl` in RabbitMQ 4.0.
"""

import os
import re
import shutil
import signal
import socket
from pathlib import Path
from typing import Self

from deploy.local.erlang import PrivateErlang
from deploy.local.management import ManagementApi
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.process import ServerProcess, ServerStartError

CREDENTIALS = "guest:guest"
# The dead letters' queue has no delivery limit, which older ones do not understand.
OLDEST = (4,)
PLUGINS = "[rabbitmq_management]."
AMQP_GREETING = b"AMQP\x00\x00\x09\x01"

# A cold Erlang on a loaded two-core machine needs about ten seconds, and one that was killed over a long
# queue reads it back first. One that ends while starting is not waited for.
START_SECONDS = 300.0
# A clean stop waits for quorum queues to hand over; what takes longer is stuck.
STOP_SECONDS = 20.0

CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{amqp_port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management_port}
loopback_users.guest = true
default_queue_type = quorum
log.file.level = info
"""
# The write-ahead log is rolled over early, because the default of 512 MB is allocated at once. The
# limits on memory and disk are low so that a small machine raises no alarm. Statistics every second
# let tests see queue lengths without waiting for the default five.
SMALL = """\
raft.wal_max_size_bytes = 16000000
disk_free_limit.absolute = 10MB
vm_memory_high_watermark.absolute = 1GB
collect_statistics_interval = 1000
"""
# Queue totals are told after a second and not after five. A dead letter that found no exchange is tried again
# after five, not after three minutes.
ADVANCED = """\
[{rabbit, [{quorum_tick_interval, 1000}, {dead_letter_worker_publisher_confirm_timeout, 5000}]}].
"""


def server_home() -> Path | None:
    """Return the newest installed server's directory, or None where RabbitMQ is not installed."""
    found = Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server")
    homes = [program.parents[1] for program in found]
    program = shutil.which("rabbitmq-server")
    if not homes and program:
        # Elsewhere than on Debian the program on the PATH is the real one, beside its plugins.
        homes = [home for home in [Path(program).resolve().parents[1]] if (home / "plugins").is_dir()]
    return max((home for home in homes if _version(home) >= OLDEST), key=_version, default=None)


def _version(home: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", home.name))


class LocalRabbitMQ:
    """A node on free loopback ports with its data under `directory`.

    Another object on the same directory finds the data too, on other ports.

    Args:
        directory: created where missing; nothing is written outside it.
        name: the node's name; the data belong to it, so it must not change between starts.
        erlang: cookie and port mapper where it shares another node's, else its own.
        limits: configuration beside ports and plugins, for a small machine by default.
        advanced: the same in Erlang's own notation.
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "open-messaging",
        erlang: PrivateErlang | None = None,
        limits: str = SMALL,
        advanced: str = ADVANCED,
    ) -> None:
        self._limits, self._advanced = limits, advanced
        self.directory = directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.node = f"{name}@localhost"
        self.amqp_port = free_port()
        self.management_port = free_port()
        self._distribution_port = free_port()
        self.erlang = erlang or PrivateErlang(self.directory)
        self._process = ServerProcess(f"RabbitMQ {self.node}", self.directory / "output.log")

    @property
    def amqp_url(self) -> str:
        """The default virtual host's address."""
        return f"amqp://{CREDENTIALS}@{LOOPBACK}:{self.amqp_port}/%2F"

    @property
    def management_url(self) -> str:
        """The management API's root, with credentials."""
        return f"http://{CREDENTIALS}@{LOOPBACK}:{self.management_port}"

    @property
    def pid(self) -> int:
        """The Erlang machine's process id."""
        return self._process.pid

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
        """Start the node; returns when AMQP and the management API answer."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the node without waiting, so that several servers come up side by side."""
        self._write_configuration()
        self.erlang.acquire(self.node)
        command = [self._program("rabbitmq-server")]
        self._process.launch(command, environment=self._environment(), directory=self.directory)

    def wait_ready(self) -> None:
        """Block until AMQP and the management API answer."""
        self._process.wait_until(self.is_ready, timeout=START_SECONDS)

    def is_ready(self) -> bool:
        """Tell whether clients can connect now."""
        return self._greets() and ManagementApi(self.management_url).answers()

    def stop(self) -> None:
        """Shut the node down cleanly, as a service manager would."""
        self._process.end(signal.SIGTERM, timeout=STOP_SECONDS)
        self.erlang.release(self.node)

    def _program(self, name: str) -> Path:
        home = server_home()
        if home is None:
            raise ServerStartError("RabbitMQ is not installed on this machine")
        return home / "sbin" / name

    def _write_configuration(self) -> None:
        ports = {"amqp_port": self.amqp_port, "management_port": self.management_port}
        (self.directory / "rabbitmq.conf").write_text(CONFIGURATION.format(**ports) + self._limits)
        (self.directory / "advanced.config").write_text(self._advanced)
        (self.directory / "enabled_plugins").write_text(PLUGINS)
        self.erlang.write_cookie(self.directory)

    def _environment(self) -> dict[str, str]:
        """Name everything a node takes from its surroundings, so that none of the machine's is taken.

        The process environment is not passed on: RABBITMQ_*, ERL_* or NOTIFY_SOCKET of an
        outer service would steer this node.
        """
        here = self.directory
        plugins = self._program("rabbitmq-server").parents[1] / "plugins"
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(here),
            # Makes the start script become the Erlang machine rather than its parent, so that the
            # child's process id is the one to signal.
            "detached": "true",
            "ERL_EPMD_PORT": str(self.erlang.epmd_port),
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
            # Two schedulers serve a test, and a big machine would start one for every core.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}",
        }

    def _greets(self) -> bool:
        """Tell whether the listener speaks AMQP, which it does last in a node's start."""
        try:
            with socket.create_connection((LOOPBACK, self.amqp_port), timeout=1.0) as client:
                client.sendall(AMQP_GREETING)
                return bool(client.recv(1))
        except OSError:
            return False
