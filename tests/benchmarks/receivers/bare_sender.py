"""Post bodies with `requests`, one session per thread: the simplest program that delivers events.

Run it as `python -m tests.benchmarks.receivers.bare_sender URL COUNT THREADS`; it prints the rate. It signs
nothing, reads nothing from a database, records nothing, and retries nothing.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import requests

BODY = b'{"data":"' + b"x" * 750 + b'"}'
"""A body as long as the one that deliver sends for a benchmark event."""


def post(url: str, count: int) -> None:
    """Post *count* bodies one by one over a single session."""
    session = requests.Session()
    for _ in range(count):
        session.post(url, data=BODY, headers={"Content-Type": "application/json"}, timeout=10)


def main(url: str, count: int, threads: int) -> None:
    """Post *count* bodies from all threads together, and print the rate."""
    post(url, threads)
    started = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(post, [url] * threads, [count // threads] * threads))
    print(count / (time.monotonic() - started))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
