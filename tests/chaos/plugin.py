"""Run faults with pytest: add its options, give each lane a stand, and collect the lanes' results."""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.chaos.caught import Caught
from tests.chaos.defects import DEFECTS
from tests.chaos.faults import FAULTS
from tests.chaos.run import Plan, run_fault
from tests.chaos.stand import running_stand
from tests.chaos.table import is_bad, summary, table
from tests.figures import broker_versions, certificate, postgresql_version
from tests.figures.evidence import record
from tests.stand.product import SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.capacity import Capacity
    from tests.chaos.result import Result
    from tests.chaos.scene import Fault
    from tests.chaos.stand import Stand

RESULT = "result of a fault"
USUAL = "postgresql"
"""The kind of stand that most faults use. Faults on other kinds run first, each kind in one lane."""

ALONE = "behind"
"""The kind of stand whose faults run while the other lanes wait.

These faults measure how long a good event waits, and how soon an update is decided. When another stand was
at full load, up to 24 s of such a wait were spent waiting for a processor.
"""

SABOTAGE = "what came of a defect"
VERSIONS = "versions of the servers"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the command-line options of `python -m tests.chaos` to pytest."""
    group = parser.getgroup("chaos")
    group.addoption("--seed", default=f"{secrets.randbits(32):x}", help="hexadecimal, of an earlier run")
    group.addoption(
        "--rounds", type=int, default=0, help="strikes of each form (default: what the fault says)"
    )
    group.addoption("--fault", type=int, action="append", help="only this number; repeat for more")
    group.addoption("--defect", action="append", help="only the sabotage of this name; repeat for more")
    group.addoption(
        "--retry-seconds", type=float, default=5.0, help="the senders' pause; the platform's is 5"
    )
    group.addoption("--rate", type=float, default=0.0, help="events a second (default: half the capacity)")
    group.addoption("--json", type=Path, help="keep a whole run's figures in this file")
    group.addoption("--resume", action="store_true", help="run only what that file does not show as caught")


def pytest_configure(config: pytest.Config) -> None:
    """Register the collector of results in pytest's main process, but not in the lanes.

    Raises:
        pytest.UsageError: An option names an unknown fault or defect.
    """
    known = {"fault": {fault.number for fault in FAULTS}, "defect": {defect.name for defect in DEFECTS}}
    for kind, names in known.items():
        if unknown := [str(each) for each in config.getoption(kind) or () if each not in names]:
            raise pytest.UsageError(f"no such {kind}: {', '.join(unknown)}")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Account(config))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Create one test for each fault on each kind of stand, ordered from the longest to the shortest."""
    if "fault" in metafunc.fixturenames and "kind" in metafunc.fixturenames:
        only = metafunc.config.getoption("fault")
        pairs = [
            (fault, kind) for fault in FAULTS for kind in fault.stands if not only or fault.number in only
        ]
        pairs.sort(key=lambda pair: (pair[1] == USUAL, -length(pair[0])))
        metafunc.parametrize(("fault", "kind"), [as_parameters(*pair) for pair in pairs])


def as_parameters(fault: Fault, kind: str) -> Any:
    """Return the parameters and the name of one test."""
    return pytest.param(fault, kind, id=name_on(kind, f"{fault.number} {fault.title}"))


def name_on(kind: str, words: str) -> str:
    """Return the name of a test that needs a kind of stand."""
    return f"{words.replace(' ', '-')}-{kind}"


class ByStand(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no annotations
    """Keeps the tests of a rare kind of stand in one lane, because a cluster takes half a minute to start."""

    def _split_scope(self, nodeid: str) -> str:
        """Return the group of a test. xdist calls this method to group the tests."""
        kind = nodeid.rpartition("-")[2].removesuffix("]")
        return nodeid if kind == USUAL else kind


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByStand:
    """Distribute the tests among the lanes, longest first."""
    return ByStand(config, log)


def length(fault: Fault) -> float:
    """Return roughly how many seconds a fault takes.

    The longest faults start first, so that all lanes finish at about the same time.
    """
    return fault.times * sum(form.lasts[1] + 10.0 for form in fault.forms)


class Stands:
    """The stand of this lane. Faults reuse it until one fails or needs a different kind of stand.

    When a stand is replaced, the measured capacity of its kind is kept.
    """

    def __init__(self) -> None:
        self._kind = ""
        self._capacities: dict[str, Capacity] = {}
        self._running = ExitStack()
        self._stand: Stand | None = None

    def of(self, kind: str) -> Stand:
        """Return a running stand of the given kind."""
        if self._stand is None or kind != self._kind:
            self.close()
            directory = Path(tempfile.mkdtemp(prefix="open-messaging-chaos-"))
            self._stand, self._kind = self._running.enter_context(running_stand(kind, directory)), kind
            self._stand.capacity = self._capacities.setdefault(kind, self._stand.capacity)
        return self._stand

    def close(self, *, keep: bool = False) -> None:
        """Stop the stand, and delete its logs and data unless *keep* is set, as it is after a failure."""
        self._running.close()
        if self._stand is not None and not keep:
            shutil.rmtree(self._stand.directory, ignore_errors=True)
        elif self._stand is not None:
            print(f"logs and data are kept in {self._stand.directory}")
        self._stand = None


@pytest.fixture(scope="session")
def stands() -> Iterator[Stands]:
    """The stands of this lane."""
    kept = Stands()
    yield kept
    kept.close()


@pytest.fixture
def plan(request: pytest.FixtureRequest) -> Plan:
    """The plan that the command's options describe."""
    options = request.config.option
    return Plan(
        int(options.seed, 16),
        rounds=options.rounds,
        retry_seconds=options.retry_seconds,
        rate=options.rate,
    )


@contextmanager
def processors(kind: str) -> Iterator[None]:
    """Hold a lock on the processors during one fault: exclusive if its stand needs that, otherwise shared."""
    with Path(__file__).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX if kind == ALONE else fcntl.LOCK_SH)
        yield


def carry_out(
    stands: Stands, fault: Fault, kind: str, plan: Plan, record: pytest.RecordProperty | Any
) -> Result:
    """Run a fault and report its result. If the fault fails, close its stand and keep the logs."""
    with processors(kind):
        stand = stands.of(kind)
        record(VERSIONS, versions_of(stand))
        result = run_fault(stand, fault, plan)
    record(RESULT, result.as_row() | {"stand": kind})
    if not result.is_good:
        stands.close(keep=True)
    return result


def versions_of(stand: Stand) -> dict[str, str]:
    """Return the versions of a stand's servers, by name."""
    versions = broker_versions(stand.view.management_url)
    return versions | (postgresql_version(stand.database_url()) if stand.postgresql else {})


def keep(path: Path, content: dict[str, Any]) -> None:
    """Write figures to a file that documentation pages quote."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


class Account:
    """Collects the reports of all lanes in pytest's main process."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._rows: list[dict[str, Any]] = []
        self._caught = Caught(config)
        self._versions: dict[str, str] = {}
        self._certificate = certificate(seed=config.getoption("seed"), servers={}, root=SOURCES)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the result of a fault or a defect, from this process or from a lane."""
        if report.when != "call":
            return
        for name, value in report.user_properties:
            if name == RESULT:
                self._rows.append(value)
                print(f"\n{table([value]).splitlines()[1]}", flush=True)
            if name == SABOTAGE:
                print(f"\n{self._caught.note(value, report.duration, self._certificate)}", flush=True)
            if name == VERSIONS:
                self._versions |= value

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Make the run fail if a requested fault was not run."""
        if not self._caught.defects and (missing := self._missing()):
            print(f"\nnot run: faults {', '.join(map(str, missing))}")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the table and the last line, and write both to the file that `--json` names."""
        self._certificate["versions"] |= self._versions
        if defects := self._caught.defects:
            self._certificate = self._caught.certificate(self._certificate)
            self._conclude(terminalreporter, self._caught.line, "defects", defects)
            return
        rows = sorted(self._rows, key=lambda row: (row["number"], row["stand"]))
        terminalreporter.write_line(table(rows))
        self._conclude(terminalreporter, summary(rows, self._certificate), "faults", rows)

    def _conclude(self, reporter: Any, line: str, name: str, rows: list[dict[str, Any]]) -> None:
        """Print the last line, and write it with the rows to the file that `--json` names."""
        reporter.write_line(line)
        # Save nothing after a partial run: documentation pages quote figures of whole runs only.
        is_part = any(map(self._config.getoption, ("fault", "defect", "keyword", "rounds", "rate")))
        if (path := self._config.getoption("json")) and not is_part:
            keep(path, {"certificate": self._certificate, "line": line, name: rows})
            suite, passed = self._judge(name)
            record(suite, line, passed=passed, birth=self._certificate)

    def _judge(self, name: str) -> tuple[str, bool]:
        """Return the name of the suite that ran, and whether the suite passed."""
        if name == "defects":
            return "chaos-sabotage", self._caught.is_complete
        return "chaos", not (self._missing() or any(map(is_bad, self._rows)))

    def _missing(self) -> list[int]:
        """Return the numbers of the requested faults that lack a result on at least one of their stands."""
        only = self._config.getoption("fault")
        wanted = {(f.number, kind) for f in FAULTS for kind in f.stands if not only or f.number in only}
        return sorted(
            {number for number, _ in wanted - {(row["number"], row["stand"]) for row in self._rows}}
        )
