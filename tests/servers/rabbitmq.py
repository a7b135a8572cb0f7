"""A private RabbitMQ node that tests may kill, freeze, restart and join to a cluster."""

import signal
import subprocess
from pathlib import Path

from deploy.local.rabbitmq import ADVANCED, SMALL, STOP_SECONDS, LocalRabbitMQ


class PrivateRabbitMQ(LocalRabbitMQ):
    """A node that can restart on the same ports with the same data.

    Args:
        peer: a node whose cookie and port mapper this node uses, as `join_cluster` requires.
        as_installed: use RabbitMQ's default limits and intervals, not those for tests on small machines.
        configuration: more lines for rabbitmq.conf.
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "open-messaging",
        peer: "PrivateRabbitMQ | None" = None,
        as_installed: bool = False,
        configuration: str = "",
    ) -> None:
        super().__init__(directory, name=name)
        self.limits = ("" if as_installed else SMALL) + configuration
        self.advanced = "[].\n" if as_installed else ADVANCED
        # The running nodes of the cluster. The last node to stop also stops the port mapper.
        self._nodes: set[str] = set()
        if peer:
            self.cookie, self.epmd_port = peer.cookie, peer.epmd_port
            self._epmd, self._nodes = peer._epmd, peer._nodes

    def launch(self) -> None:
        self._nodes.add(self.node)
        super().launch()

    def stop(self) -> None:
        self._nodes.discard(self.node)
        if not self._nodes:
            super().stop()
        else:
            self._process.end(signal.SIGTERM, timeout=STOP_SECONDS)

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """Kill the node without a flush, as a crash would."""
        self._process.end(signal.SIGKILL, timeout=STOP_SECONDS)

    def freeze(self) -> None:
        """Suspend the node: its connections stay open, but it reads and answers no requests."""
        self._process.send(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send(signal.SIGCONT)

    def join_cluster(self, other: "PrivateRabbitMQ") -> None:
        """Make this running node, which was created with `peer=other`, a member of *other*'s cluster."""
        self.ctl("stop_app")
        self.ctl("join_cluster", other.node)
        self.ctl("start_app")
        self.wait_ready()

    def ctl(self, *arguments: str, timeout: float = 60.0, program: str = "rabbitmqctl") -> str:
        """Run rabbitmqctl, or another program from its folder, against this node and return its output."""
        command = [str(self._program(program)), "--quiet", "--node", self.node, *arguments]
        done = subprocess.run(
            command, env=self._environment(), check=True, capture_output=True, text=True, timeout=timeout
        )
        return done.stdout

    def evaluate(self, expression: str, timeout: float = 60.0) -> str:
        """Evaluate an Erlang expression in this node within milliseconds; rabbitmqctl would take seconds."""
        command = ["erl_call", "-sname", self.node, "-c", self.cookie, "-e"]
        done = subprocess.run(
            command,
            env=self._environment(),
            input=f"{expression}.\n",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.stdout.startswith("{ok, "), f"{expression}: {done.stdout}{done.stderr}"
        return done.stdout.strip()[len("{ok, ") : -1]
