"""Draw the main figures of a run as horizontal bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl

mpl.use("Agg")  # build servers have no screen, and this backend needs none
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

OURS: Final = "#0f766e"
OTHERS: Final = "#cbd5e1"
TEXT: Final = "#1e293b"
MUTED: Final = "#64748b"
CHARTED: Final = {
    "Webhooks a second": (
        "{:,.0f}/s",
        {
            "This service: signature, journal, publish": "ingest service per_second",
            "This service, to the committed effect": "end_to_end service per_second",
            "Flask no-op (gunicorn gthread)": "ingest noop per_second",
            "Flask + pika in the request": "ingest flask_pika per_second",
            "Go net/http + amqp091 in the request": "ingest go_amqp091 per_second",
        },
    ),
    "CPU time per webhook, receiver only (less is better)": (
        "{:.0f} µs",
        {
            "This service": "ingest service receiver_cpu_us",
            "Flask no-op (gunicorn gthread)": "ingest noop receiver_cpu_us",
            "Flask + pika in the request": "ingest flask_pika receiver_cpu_us",
            "Go net/http + amqp091 in the request": "ingest go_amqp091 receiver_cpu_us",
        },
    ),
    "Events a second from the queue into PostgreSQL, one worker process": (
        "{:,.0f}/s",
        {
            "This service: schema, key, state, drift, body": "intake_postgresql service per_second",
            "The same, one event per transaction": "intake_postgresql single per_second",
            "Bare pika + one INSERT per 100, body too": "intake_postgresql bare per_second",
        },
    ),
}
"""Each chart's title, the format of its values, and the figure for each bar. A figure that was not measured
gets no bar."""


def draw_chart(document: dict[str, Any], path: Path) -> None:
    """Write a chart of a run as a PNG file, as `make bench` does."""
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10, "text.color": TEXT})
    figure, axes = plt.subplots(
        len(CHARTED), 1, figsize=(9, 7), height_ratios=(5, 4, 3), layout="constrained"
    )
    for ax, (title, (form, names)) in zip(axes, CHARTED.items(), strict=True):
        _bars(
            ax,
            title,
            form,
            {label: value for label, name in names.items() if (value := _value(document, name))},
        )
    birth = document["certificate"]
    machine = f"{birth['machine']['cores']} cores, {birth['machine']['cpu']}"
    note = f"{birth['commit'][:10]}, {machine}; everything on them, load generator included; make bench"
    figure.supxlabel(note, fontsize=8, color=MUTED)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _value(document: dict[str, Any], words: str) -> float:
    found = document["figures"]
    for word in words.split():
        found = found.get(word, {})
    return float(found.get("value") or 0)


def _bars(axes: Axes, title: str, form: str, bars: dict[str, float]) -> None:
    names = list(bars)[::-1]
    colours = [OURS if name.startswith("This service") else OTHERS for name in names]
    drawn = axes.barh(names, [bars[name] for name in names], color=colours, height=0.66)
    axes.bar_label(drawn, [form.format(bars[name]) for name in names], padding=6, color=TEXT)
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=TEXT)
    axes.margins(x=0.2)
    axes.xaxis.set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=TEXT)
    axes.spines[:].set_visible(False)
