"""A private RabbitMQ node that tests may kill, freeze, restart and join to others."""

import signal
import subprocess
from pathlib import Path

from deploy.local.rabbitmq import ADVANCED, SMALL, STOP_SECONDS, LocalRabbitMQ


class PrivateRabbitMQ(LocalRabbitMQ):
    """A node that starts again on the same ports with the same data.

    Args:
        peer: a node to share cookie and port mapper with, which `join_cluster` needs.
        as_installed: with RabbitMQ's own limits and intervals instead of those for tests on small machines.
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
        super().__init__(
            directory,
            name=name,
            limits=("" if as_installed else SMALL) + configuration,
            advanced="[].\n" if as_installed else ADVANCED,
        )
        # The nodes of a cluster, whose port mapper ends with the last of them.
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
        """End the node as a crash would, without a flush."""
        self._process.end(signal.SIGKILL, timeout=STOP_SECONDS)

    def freeze(self) -> None:
        """Suspend the node: its connections stay open while nothing is read or answered."""
        self._process.send(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send(signal.SIGCONT)

    def join_cluster(self, other: "PrivateRabbitMQ") -> None:
        """Make this running node, which was made with `peer=other`, a member of its cluster."""
        self.ctl("stop_app")
        self.ctl("join_cluster", other.node)
        self.ctl("start_app")
        self.wait_ready()

    def ctl(self, *arguments: str, timeout: float = 60.0, program: str = "rabbitmqctl") -> str:
        """Run rabbitmqctl, or another program beside it, against this node and return its output."""
        command = [str(self._program(program)), "--quiet", "--node", self.node, *arguments]
        done = subprocess.run(
            command, env=self._environment(), check=True, capture_output=True, text=True, timeout=timeout
        )
        return done.stdout

    def evaluate(self, expression: str, timeout: float = 60.0) -> str:
        """Evaluate an Erlang expression in this node: in milliseconds, where rabbitmqctl takes seconds."""
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
