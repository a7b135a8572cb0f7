"""Draw the main ratios of a run as horizontal bars."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl

mpl.use("Agg")  # a build server has no screen
from matplotlib import pyplot as plt

from tests.benchmarks import end_to_end, ingest, intake

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

OURS: Final = "#0f766e"
OTHERS: Final = "#cbd5e1"
TEXT: Final = "#1e293b"
MUTED: Final = "#64748b"


def draw_chart(document: dict[str, Any], path: Path) -> None:
    """Write a PNG of webhooks a second, CPU per webhook and events processed a second.

    Args:
        document: A run, as `make bench` writes it.
    """
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10, "text.color": TEXT})
    figure, axes = plt.subplots(3, 1, figsize=(9, 6.4), height_ratios=(4, 3, 3), layout="constrained")
    _throughput(axes[0], document)
    _cpu(axes[1], document)
    _intake(axes[2], document)
    machine = document["machine"]
    note = (
        f"{machine['cores']} cores, {machine['cpu']}; everything on them, load generator included; make bench"
    )
    figure.supxlabel(note, fontsize=8, color=MUTED)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _throughput(axes: Axes, document: dict[str, Any]) -> None:
    noop = _median(document, ingest.SCENARIO, ingest.NOOP, "per_second")
    bars = {
        "This service: signature, journal, publish": _median(
            document, ingest.SCENARIO, ingest.SERVICE, "per_second"
        ),
        "This service, to the committed effect": _median(
            document, end_to_end.THROUGHPUT, end_to_end.SERVICE, "per_second"
        ),
        "Flask no-op (gunicorn gthread)": noop,
        "Flask + pika in the request": _median(document, ingest.SCENARIO, ingest.FLASK_PIKA, "per_second"),
    }
    labels = {
        name: f"{value / noop:.2f}\N{MULTIPLICATION SIGN}   {value:,.0f}/s" for name, value in bars.items()
    }
    _bars(axes, "Webhooks a second, beside a Flask view that does nothing", bars, labels)


def _cpu(axes: Axes, document: dict[str, Any]) -> None:
    names = {
        "This service": ingest.SERVICE,
        "Flask no-op (gunicorn gthread)": ingest.NOOP,
        "Flask + pika in the request": ingest.FLASK_PIKA,
    }
    bars = {
        label: _median(document, ingest.SCENARIO, subject, "receiver_cpu_us")
        for label, subject in names.items()
    }
    labels = {name: f"{value:.0f} µs" for name, value in bars.items()}
    _bars(axes, "CPU time per webhook, receiver only (less is better)", bars, labels)


def _intake(axes: Axes, document: dict[str, Any]) -> None:
    names = {
        "This service: schema, key, state, drift": intake.SERVICE,
        "The same, one event per transaction": intake.SINGLE,
        "Bare pika + one INSERT per 100": intake.BARE,
    }
    bars = {
        label: _median(document, intake.POSTGRESQL, subject, "per_second") for label, subject in names.items()
    }
    labels = {name: f"{value:,.0f}/s" for name, value in bars.items()}
    _bars(axes, "Events a second from the queue into PostgreSQL, one worker process", bars, labels)


def _bars(axes: Axes, title: str, bars: dict[str, float], labels: dict[str, str]) -> None:
    names = list(bars)[::-1]
    colours = [OURS if name.startswith("This service") else OTHERS for name in names]
    drawn = axes.barh(names, [bars[name] for name in names], color=colours, height=0.66)
    axes.bar_label(drawn, [labels[name] for name in names], padding=6, color=TEXT)
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=TEXT)
    axes.margins(x=0.28)
    axes.xaxis.set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=TEXT)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _median(document: dict[str, Any], scenario: str, subject: str, figure: str) -> float:
    values = [
        row["values"][figure]
        for row in document["rows"]
        if (row["scenario"], row["subject"]) == (scenario, subject) and figure in row["values"]
    ]
    return float(median(values)) if values else 0.0
