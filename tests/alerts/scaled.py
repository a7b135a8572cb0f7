"""Run a Prometheus with the shipped files, but with all durations in them divided by one factor."""

import re
import subprocess
import time

import requests

from tests.figures.certificate import ROOT
from tests.servers import LOOPBACK, ServerProcess, free_port

SHIPPED = ROOT / "deploy" / "prometheus"
FACTOR = 15
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"(\bfor: |interval: |\boffset |\[|(?<=d):)(\d+)([smhd])\b")
SECONDS = re.compile(r"(_age_seconds > |\* )(300|3600)\b")
"""Matches ages and a prediction's span. Ages of one minute and the product's own times are not scaled."""

DAY_BEFORE_S, HOUR_S, STEP_S = 1410 * 60 // FACTOR, 3600 // FACTOR, 60 // FACTOR
LONGEST_S = 5400


def scale(text):
    """Divide the durations in a configuration or in rules by FACTOR."""
    text = SECONDS.sub(lambda found: f"{found[1]}{int(found[2]) // FACTOR}", text)
    return DURATION.sub(
        lambda found: f"{found[1]}{round(int(found[2]) * UNITS[found[3]] * 1000 / FACTOR)}ms", text
    )


class Prometheus(ServerProcess):
    """A Prometheus that scrapes an edge, om-observe and, through a blackbox exporter, the gateway."""

    def __init__(self, directory):
        super().__init__("prometheus", directory / "prometheus.log")
        self.directory = directory
        self.address = f"{LOOPBACK}:{free_port()}"

    def start(self, changes, usual_rate):
        """Start Prometheus with the shipped files, replacing the addresses in them according to *changes*.

        Only the previous day's data is invented: *usual_rate* webhooks per second.
        """
        rules = scale((SHIPPED / "open-messaging.rules.yml").read_text())
        (self.directory / "open-messaging.rules.yml").write_text(rules)
        configuration = scale((SHIPPED / "prometheus.yml").read_text())
        for ours, here in changes.items():
            assert ours in configuration
            configuration = configuration.replace(ours, here)
        (self.directory / "prometheus.yml").write_text(configuration)
        end = int(time.time()) - DAY_BEFORE_S
        moments = range(end - 2 * HOUR_S, min(end + LONGEST_S, int(time.time()) - STEP_S), STEP_S)
        samples = [f"open_messaging:accepted:rate10m {usual_rate} {moment}" for moment in moments]
        (self.directory / "day-before").write_text("\n".join([*samples, "# EOF\n"]))
        data = self.directory / "tsdb"
        backfill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "-q", "day-before", data]
        subprocess.run(backfill, cwd=self.directory, check=True, stdout=subprocess.DEVNULL)
        command = ["prometheus", "--config.file=prometheus.yml", f"--storage.tsdb.path={data}"]
        command += [f"--web.listen-address={self.address}"]
        self.launch(command, environment={"PATH": "/usr/bin"}, directory=self.directory)
        self.wait_until(lambda: self.has("query", query="up == 1", least=3), timeout=60.0)

    def ask(self, path, **parameters):
        """Query Prometheus' API, and return the data in the response."""
        url = f"http://{self.address}/api/v1/{path}"
        answer = requests.get(url, params=parameters, timeout=20).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def alerts(self):
        """Return, for each alert, how many seconds its condition must hold before the alert fires."""
        rules = [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]
        assert {rule["name"]: rule["lastError"] for rule in rules if rule["health"] == "err"} == {}
        return {short(rule["name"]): rule["duration"] for rule in rules if rule["type"] == "alerting"}

    def firing(self):
        """Return the names of the alerts that are firing now."""
        return self._names('ALERTS{alertstate="firing"}')

    def fired(self, seconds):
        """Return the names of the alerts that fired at any time in the last *seconds* seconds."""
        return self._names(f'count_over_time(ALERTS{{alertstate="firing"}}[{round(seconds)}s])')

    def starts(self, begin, end):
        """Yield the name and the time of each alert that began to fire between two times."""
        # An alert that was already firing at *begin* is not yielded, because it started earlier.
        query = {"query": 'ALERTS{alertstate="firing"}', "start": begin - 5, "end": end, "step": 1}
        for series in self.ask("query_range", **query)["result"]:
            before = 0.0
            for moment, _ in series["values"]:
                if moment > max(begin, before + 3):
                    yield short(series["metric"]["alertname"]), moment
                before = moment

    def _names(self, query):
        found = self.ask("query", query=query)["result"]
        return {short(series["metric"]["alertname"]) for series in found}

    def has(self, path, *, least, **parameters):
        try:
            return len(self.ask(path, **parameters)["result"]) >= least
        except (requests.RequestException, AssertionError):
            # Prometheus is still starting.
            return False


def short(name):
    """Return an alert's name without its prefix, as tests/alerts/faults.py writes it."""
    return name.removeprefix("OpenMessaging")
