"""Inject faults into a cluster of three brokers: kill, freeze or cut off nodes, or remove the majority."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.bounds import A_START, UNFELT, UNFELT_STALL
from tests.chaos.broker_view import EVENTS, BrokerView
from tests.chaos.faults.broker import is_frozen
from tests.chaos.scene import ANSWERED_AT_LAST, Fault, Form
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand
    from tests.servers import PrivateRabbitMQ

PARTED_FROM = "rabbit_node_monitor:partitions()"
CUT_OFF = "[begin erlang:set_cookie(N, wrong), erlang:disconnect_node(N) end || N <- [{nodes}]]"
LET_IN = "[erlang:set_cookie(N, erlang:get_cookie()) || N <- [{nodes}]]"


@contextmanager
def one_node_is_killed_then_another(scene: Scene) -> Iterator[None]:
    """Kill a node and, once it has caught up, another one. One of the two is first in the edge's list."""
    named, *others = scene.stand.brokers
    first, second = scene.chance.sample((named, scene.chance.choice(others)), 2)
    _kill(scene, [first])
    scene.wait(1.0, 3.0)
    scene.stand.wait_healthy()
    _bring_back(scene.stand, [first])
    _kill(scene, [second])
    yield
    scene.stand.wait_healthy()
    _bring_back(scene.stand, [second])


@contextmanager
def the_majority_is_killed_and_the_edge_restarted(scene: Scene) -> Iterator[None]:
    """Kill two of the three nodes, and restart the edge, which opens a new channel to the remaining node."""
    lost = scene.chance.sample(scene.stand.brokers, 2)
    _kill(scene, lost)
    before = scene.stand.edge.pid
    scene.stand.edge.restart()
    assert scene.stand.edge.pid != before
    yield
    _bring_back(scene.stand, lost)


@contextmanager
def the_majority_is_away_for_minutes(scene: Scene) -> Iterator[None]:
    """Keep the followers down until the leader's channel has forgotten what was published on it."""
    leader = _leader(scene.stand)
    lost = [broker for broker in scene.stand.brokers if broker is not leader]
    _kill(scene, lost)
    yield
    _bring_back(scene.stand, lost)


@contextmanager
def followers_are_frozen_and_the_leader_killed(scene: Scene) -> Iterator[None]:
    """Freeze the followers, so that the leader accepts events that no other node has, and kill the leader."""
    leader = _leader(scene.stand)
    followers = [broker for broker in scene.stand.brokers if broker is not leader]
    for broker in followers:
        broker.freeze()
    scene.wait_until(
        lambda: all(is_frozen(broker.pid) for broker in followers), "the followers are suspended"
    )
    # Wait longer than the time between a proof's two probes: with only the leader, no event may be proven.
    scene.wait(8.0, 12.0)
    _kill(scene, [leader])
    yield
    for broker in followers:
        broker.resume()
    _bring_back(scene.stand, [leader])


@contextmanager
def the_leader_is_frozen(scene: Scene) -> Iterator[None]:
    """Suspend the leader of the events queue until the strike ends. Another node takes over."""
    stand, leader = scene.stand, _leader(scene.stand)
    _begin_at(stand, leader)
    leader.freeze()
    _look_elsewhere(stand, [leader])
    scene.await_proof(f"another node leads than {leader.node}", lambda: _leads_elsewhere(stand, leader))
    yield
    leader.resume()
    _wait_complete(stand)
    # A node that was suspended for a minute or longer can be partitioned from the others. If it is, restart
    # it, so that it discards its own tables.
    if leader.evaluate(PARTED_FROM) != "[]":
        _begin_anew(leader)
        _wait_complete(stand)


@contextmanager
def the_leader_is_cut_off(scene: Scene) -> Iterator[None]:
    """Cut the leader off from the other nodes, but not from clients. The edge is connected to the leader."""
    stand, leader = scene.stand, _leader(scene.stand)
    _begin_at(stand, leader)
    others = [broker for broker in stand.brokers if broker is not leader]
    nodes = ", ".join(f"'{broker.node}'" for broker in others)
    leader.evaluate(CUT_OFF.format(nodes=nodes))
    _look_elsewhere(stand, [leader])
    scene.await_proof(f"another node leads than {leader.node}", lambda: _leads_elsewhere(stand, leader))
    yield
    leader.evaluate(LET_IN.format(nodes=nodes))
    _begin_anew(leader)
    _wait_complete(stand)


def _kill(scene: Scene, brokers: Sequence[PrivateRabbitMQ]) -> None:
    for broker in brokers:
        broker.kill()
    _look_elsewhere(scene.stand, brokers)
    names = " and ".join(broker.node for broker in brokers)
    scene.prove(f"{names} do not answer", has_struck=not any(broker.is_ready() for broker in brokers))


def _bring_back(stand: Stand, brokers: Sequence[PrivateRabbitMQ]) -> None:
    for broker in brokers:
        broker.launch()
    for broker in brokers:
        broker.wait_ready()
    _wait_complete(stand)


def _begin_anew(smaller_part: PrivateRabbitMQ) -> None:
    """Resolve a partition as an operator must: restart the smaller side, which then discards its tables."""
    smaller_part.kill()
    smaller_part.start()


def _begin_at(stand: Stand, first: PrivateRabbitMQ) -> None:
    """Make the edge try the node *first* before the others, for AMQP and for the management API."""
    ordered = sorted(stand.brokers, key=lambda broker: broker is not first)
    stand.reconfigure_edge(
        OM_AMQP_URL=",".join(broker.amqp_url for broker in ordered),
        OM_MANAGEMENT_URL=",".join(broker.management_url for broker in ordered),
    )


def _look_elsewhere(stand: Stand, lost: Sequence[PrivateRabbitMQ]) -> None:
    left = [broker for broker in stand.brokers if broker not in lost]
    if left:
        stand.view = BrokerView(left[0])


def _leader(stand: Stand) -> PrivateRabbitMQ:
    wait_until(
        lambda: stand.view.queue(EVENTS).get("leader"), stand.patience, "the events queue has a leader"
    )
    name = stand.view.queue(EVENTS)["leader"]
    return next(broker for broker in stand.brokers if broker.node == name)


def _leads_elsewhere(stand: Stand, than: PrivateRabbitMQ) -> bool:
    name = stand.view.queue(EVENTS).get("leader")
    return bool(name) and name != than.node


def _wait_complete(stand: Stand) -> None:
    views = [BrokerView(broker) for broker in stand.brokers]
    wait_until(
        lambda: all(len(view.queue(EVENTS).get("online", [])) == len(views) for view in views),
        stand.patience,
        "every node reports that all nodes hold the queue again",
    )


FAULTS = (
    Fault(
        18,
        "cluster loses nodes",
        (Form(one_node_is_killed_then_another),),
        rounds=1,
        stands=("cluster",),
    ),
    Fault(
        20,
        "cluster loses its majority",
        (
            Form(the_majority_is_killed_and_the_edge_restarted, (15.0, 25.0), allowed=ANSWERED_AT_LAST),
            Form(followers_are_frozen_and_the_leader_killed, (10.0, 20.0), stall=UNFELT_STALL, p99=UNFELT),
        ),
        stands=("cluster",),
        stall=A_START,
        p99=A_START,
    ),
    Fault(
        21,
        "cluster without a majority for minutes",
        (Form(the_majority_is_away_for_minutes, (190.0, 200.0)),),
        rounds=1,
        stands=("cluster",),
    ),
    Fault(
        22,
        "leader frozen or cut off",
        (
            Form(the_leader_is_frozen, (10.0, 30.0), allowed=ANSWERED_AT_LAST),
            Form(the_leader_is_cut_off, (10.0, 20.0), allowed=ANSWERED_AT_LAST),
        ),
        stands=("cluster",),
        stall=A_START,
        p99=A_START,
    ),
)
