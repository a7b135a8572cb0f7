"""A private RabbitMQ node that tests may kill, freeze, restart and join to others."""

import signal
import subprocess
from pathlib import Path

from deploy.local.rabbitmq import ADVANCED, SMALL, STOP_SECONDS, LocalRabbitMQ


class PrivateRabbitMQ(LocalRabbitMQ):
    """A node on free loopback ports with its data under `directory`.

    `kill` and then `start`, or `restart`, come back on the same ports with the same data.

    Args:
        directory: created where missing; nothing is written outside it.
        name: the node's name; the data belong to it, so it must not change between starts.
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
        """Start the node without waiting."""
        self._nodes.add(self.node)
        super().launch()

    def stop(self) -> None:
        """Shut the node down cleanly."""
        self._nodes.discard(self.node)
        if not self._nodes:
            super().stop()
        else:
            self._process.end(signal.SIGTERM, timeout=STOP_SECONDS)

    @property
    def pid(self) -> int:
        """The process id of its Erlang VM."""
        return self._process.pid

    def kill(self) -> None:
        """End the node as a crash would, without a chance to flush or to say goodbye."""
        self._process.end(signal.SIGKILL, timeout=STOP_SECONDS)

    def restart(self) -> None:
        """Stop cleanly and start again on the same ports and data."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Suspend the node: its connections stay open while nothing is read or answered."""
        self._process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen node go on."""
        self._process.send(signal.SIGCONT)

    def join_cluster(self, other: "PrivateRabbitMQ") -> None:
        """Make this running node, which was made with `peer=other`, a member of its cluster."""
        self.ctl("stop_app")
        self.ctl("join_cluster", other.node)
        self.ctl("start_app")
        self.wait_ready()

    def ctl(self, *arguments: str, timeout: float = 60.0, program: str = "rabbitmqctl") -> str:
        """Run rabbitmqctl, or another program beside it, against this node and return what it printed.

        Raises:
            subprocess.CalledProcessError: it failed; its output is in the exception.
        """
        command = [str(self._program(program)), "--quiet", "--node", self.node, *arguments]
        done = subprocess.run(
            command, env=self._environment(), check=True, capture_output=True, text=True, timeout=timeout
        )
        return done.stdout

    def evaluate(self, expression: str, timeout: float = 60.0) -> str:
        """Evaluate an Erlang expression in this node and return its value as Erlang writes it.

        Takes milliseconds where rabbitmqctl, an Erlang machine of its own, takes seconds of a busy processor.

        Raises:
            AssertionError: the expression failed, or the node did not answer.
        """
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
