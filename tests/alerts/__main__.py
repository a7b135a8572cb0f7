"""Strike a running service with each alert's fault while a real Prometheus evaluates the shipped rules.

`python -m tests.alerts --quiet-minutes 60`. One factor divides all durations in the rules, the delays between
the platform's retries, and the interval and margin of the comparison with its history. Each alert is raised
by a real fault. Only the previous day's traffic, with which the Silence alert compares today's, is invented.
"""

import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import click

from tests.alerts.faults import PARTS
from tests.alerts.service import Service
from tests.chaos.faults.clock import ensure_library
from tests.figures.certificate import broker_versions, certificate, postgresql_version
from tests.figures.evidence import record
from tests.servers import ensure_nginx, ensure_postgresql, ensure_prometheus, ensure_rabbitmq
from tests.servers.disposable import in_memory
from tests.servers.packages import ensure_blackbox_exporter
from tests.waiting import wait_until

PATIENCE_S = 30.0
"""Seconds added to each limit to allow for scrapes, evaluations and a busy machine.

Half of the rule's `for` is added as well, because a missed scrape restarts that wait.
"""
TAIL_S = 75.0
"""An alert can start to fire up to this many seconds after its fault: canaries are a minute apart."""
DILUTION = 0.2
"""How many seconds later an alert on a share of all events may fire, for each second without a fault."""
EVIDENCE_MINUTES = 60.0
ALIVE = (
    "om_canary_seconds",
    "om_reconciliation_passed_over == 0",
    "probe_success == 1",
    "open_messaging:accepted:usual > 0",
    "sum(rate(om_intake_processed_total[1m])) > 3",
    "sum(rate(om_deliver_delivered_total[1m])) > 3",
)
"""Conditions that must hold after the quiet phase, because a quiet phase without traffic proves nothing."""


class Run:
    """The faults that have struck, and the alerts that have fired or are missing."""

    def __init__(self, service, only, quiet_s):
        self.service, self.prometheus, self._only = service, service.prometheus, only
        self.quiet_s = quiet_s
        self.limits = self.prometheus.alerts()
        self.fired, self.missing, self._episodes = set(), [], []

    def is_alive(self):
        """Return whether all conditions of ALIVE hold."""
        return all(self.prometheus.ask("query", query=condition)["result"] for condition in ALIVE)

    def strike(self, fault):
        """Cause a fault, wait until each of its alerts fires or is late, and end the fault."""
        if self._only and not re.search(self._only, str(fault)):
            return
        deadline = time.time() + TAIL_S + PATIENCE_S
        while (before := self.prometheus.firing() & fault.fires.keys()) and time.time() < deadline:
            time.sleep(1.0)
        limits = {name: wait + 1.5 * self.limits[name] + PATIENCE_S for name, wait in fault.fires.items()}
        for name in fault.diluted.split():
            limits[name] += DILUTION * self.quiet_s
        waiting, episode = set(limits), [fault, time.time(), float("inf")]
        self._episodes.append(episode)
        steps = fault.strike(self.service)
        with ThreadPoolExecutor(1) as pool:
            caused, seconds, caused_at = pool.submit(next, steps), 0.0, None
            while waiting and seconds < max(limits[name] for name in waiting):
                for name in sorted(waiting & self.prometheus.firing()):
                    waiting.remove(name)
                    say(f"{fault}: {name} after {seconds:.0f} s, limit {limits[name]:.0f} s")
                    is_good = seconds <= limits[name] and name not in before
                    (self.fired.add if is_good else self.missing.append)(name)
                time.sleep(0.5)
                # Count from when the fault is in effect: causing it can take seconds on a busy machine.
                caused_at = caused_at or (time.time() if caused.done() else None)
                seconds = time.time() - caused_at if caused_at else 0.0
            caused.result()
        next(steps, None)
        episode[2] = time.time() + TAIL_S
        for name in waiting:
            say(f"{fault}: {name} did not fire within {limits[name]:.0f} s")
        self.missing += waiting

    def false_alarms(self, begin):
        """Return the name of each alert that began to fire without a fault to explain it."""
        found = []
        for name, moment in self.prometheus.starts(begin, time.time()):
            if not any(
                began <= moment and ((name in fault.allowed and moment <= end) or name in fault.lasts.split())
                for fault, began, end in self._episodes
            ):
                say(f"false: {name} {moment - begin:.0f} s after the first fault")
                found.append(name)
        return found


def say(line):
    """Print a line of progress with the time."""
    click.echo(f"{datetime.now(UTC):%H:%M:%S} {line}", err=True)


def judge(run):
    """Wait out the quiet phase, strike with every fault, and return the names of the false alarms."""
    wait_until(run.is_alive, 2 * TAIL_S, "all of ALIVE")
    say("the service is at work")
    time.sleep(run.quiet_s)
    false = sorted(run.prometheus.fired(run.quiet_s))
    say(f"quiet for {run.quiet_s:.0f} s: {' '.join(false) or 'no alert'} fired")
    assert run.is_alive()
    begin = time.time()
    with ThreadPoolExecutor(32) as pool:
        for beside, stages in PARTS:
            struck = pool.submit(run.strike, beside)
            for stage in stages:
                list(pool.map(run.strike, stage))
            struck.result()
    return false + run.false_alarms(begin)


@click.command()
@click.option("--quiet-minutes", type=float, default=2.0, help="Minutes without a fault.")
@click.option("--only", default="", help="Strike only with faults whose name matches this expression.")
def main(*, quiet_minutes, only):
    """Run the suite; exit with status 1 if an alert is missing, late or false."""
    for ensure in (ensure_rabbitmq, ensure_postgresql, ensure_nginx, ensure_prometheus, ensure_library):
        ensure()
    ensure_blackbox_exporter()
    with tempfile.TemporaryDirectory(prefix="alerts-", dir=in_memory()) as directory, ExitStack() as stack:
        service = Service(Path(directory), stack)
        versions = broker_versions(service.broker.management_url) | postgresql_version(service.database_url)
        birth = certificate(seed="none", servers=versions)
        service.start()
        run = Run(service, only, quiet_minutes * 60)
        false = judge(run)
    for name in sorted(run.limits.keys() - run.fired):
        say(f"not proved: {name}")
    line = f"alerts: rules={len(run.limits)} fired={len(run.fired)} false={len(false)}"
    is_good = not (false or run.missing)
    if quiet_minutes >= EVIDENCE_MINUTES and not only:
        record("alerts", line, passed=is_good, birth=birth)
    click.echo(line)
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
