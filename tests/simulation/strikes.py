"""Strike the host, the broker and the workers of a simulation. Most strikes end by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.nodes import Directory, File

if TYPE_CHECKING:
    from tests.simulation.world import World

SIZE_LIMIT = 500
"""The size limit, in bytes, of a broker that has one. A big event exceeds it."""

FLOOD = 100


def requests(world: World, which: int, count: int, size: int) -> None:
    if world.living:
        process = world.living[which % len(world.living)]
        for _ in range(count):
            world.request(process, size)


def overload(world: World, which: int, seconds: float, is_hidden: bool) -> None:  # noqa: FBT001  # chosen
    """Fill the queue above the high watermark. In some runs, the management API reports an empty queue."""
    change_workers(world, 1, seconds)
    if is_hidden:
        turn_off(world, "is_telling_truth", seconds)
    requests(world, which, FLOOD, 1)
    world.schedule(seconds - 0.5, requests, world, which + 1, 1, 1)


def cut(world: World, which: int, notice: float) -> None:
    if connections := world.broker.connections:
        connections[which % len(connections)].cut(notice)


def crash(world: World, seconds: float) -> None:
    if world.broker.is_up:
        world.broker.crash()
        world.schedule(seconds, _restart, world)


def _restart(world: World) -> None:
    world.broker.is_up = True


def block(world: World, seconds: float) -> None:
    if not world.broker.is_blocked:
        world.broker.block()
        world.schedule(seconds, world.broker.unblock)


def delay(world: World, latency: float, seconds: float) -> None:
    world.broker.latency = latency
    world.schedule(seconds, setattr, world.broker, "latency", 0.002)


def lack(world: World, name: str, seconds: float) -> None:
    """Remove an object, such as the exchange, from the broker for *seconds*."""
    setattr(world.broker, name, False)
    world.schedule(seconds, setattr, world.broker, name, True)


def refuse(world: World, seconds: float) -> None:
    world.broker.is_refusing = True
    world.schedule(seconds, setattr, world.broker, "is_refusing", False)


def limit(world: World) -> None:
    world.broker.size_limit = SIZE_LIMIT


def lose_majority(world: World, seconds: float, is_lossy: bool, requests: int) -> None:  # noqa: FBT001  # chosen
    """Lose the majority; in some runs, also lose unflushed events, or send requests in the meantime."""
    if world.broker.has_majority:
        world.broker.has_majority = False
        for process in world.living:
            process.has_seen_loss = False
        if is_lossy:
            world.broker.lose_unflushed()
        world.schedule(seconds, _find_majority, world, requests)


def lose_majority_anew(world: World, seconds: float) -> None:
    """Lose the majority while all connections are new and have carried no events yet."""
    for connection in list(world.broker.connections):
        connection.cut(0.0)
    world.schedule(2.5, lose_majority, world, seconds, True, 1)


def _find_majority(world: World, requests: int) -> None:
    """Restore the majority once all processes have noticed its loss.

    If the majority returned earlier, docs/guarantees.md would not rule out a loss of events.
    """
    for process in world.living:
        for _ in range(requests):
            world.request(process)
    is_exposed = any(process.is_exposed for process in world.living) and not world.setting.confirms
    if requests or is_exposed:
        world.schedule(0.3 * world.random.random(), _find_majority, world, 0)
    else:
        world.broker.has_majority = True


def kill(world: World, which: int, calls: int) -> None:
    if world.living:
        process = world.living[which % len(world.living)]
        if calls:
            process.kill_at_call = process.calls + calls
        else:
            world.kill(process)


def stop(world: World, which: int) -> None:
    if world.living:
        process = world.living[which % len(world.living)]
        if not process.is_stopping:
            world.run_as(process, process.stop)
            world.schedule(5.0, world.kill, process)


def freeze(world: World, which: int, seconds: float) -> None:
    if world.living:
        process = world.living[which % len(world.living)]
        process.frozen_until = max(process.frozen_until, world.now + seconds)


def fail_calls(world: World, name: str, number: int, seconds: float) -> None:
    world.files.errors[name] = number
    world.disk_is_bad(seconds)
    world.schedule(seconds, world.files.errors.pop, name, None)


def fill(world: World, free: int, seconds: float) -> None:
    taken = world.files.free - free
    world.files.free = free
    world.disk_is_bad(seconds)
    world.schedule(seconds, _give_back, world, taken)


def _give_back(world: World, taken: int) -> None:
    world.files.free += taken


def cut_short(world: World) -> None:
    world.files.cut_short = True
    world.disk_is_bad(0.0)


def step_clock(world: World, seconds: float) -> None:
    world.wall_offset += seconds


def put_stranger(world: World, kind: str) -> None:
    root = world.files.find(("state", "journal"))
    if root is None:
        return
    if kind == "directory":
        root.entries["stranger"] = Directory({"notes": File()})
    else:
        root.entries[f"stranger {kind}"] = File(is_link=kind == "link")


def cut_power(world: World, which: int, calls: int) -> None:
    """Cut the host's power, in some runs while a process is handling a request."""
    if calls:
        kill(world, which, calls)
        requests(world, which, 1, 1)
    world.schedule(0.01, _cut_power, world)


def _cut_power(world: World) -> None:
    for process in list(world.living):
        world.kill(process, "loses its power")
    world.files.cut_power(world.random)
    for name in world.promises.missing() - world.promises.journalled():
        world.promises.fail(f"{name.decode()} is lost in a power cut")


def change_workers(world: World, rate: int, seconds: float) -> None:
    world.workers_rate = rate
    world.schedule(seconds, setattr, world, "workers_rate", 50)


def turn_off(world: World, name: str, seconds: float) -> None:
    setattr(world, name, False)
    world.schedule(seconds, setattr, world, name, True)


def end_all(world: World) -> None:
    """End the strikes that can outlast a schedule."""
    world.files.errors.clear()
    world.files.cut_short = False
