"""Run a worker like `python -m workers`, but compare with the platform's history at the scaled interval."""

import runpy

if __name__ == "__main__":
    from tests.alerts.scaled import FACTOR
    from workers.reconcile import bounds, reconciler

    reconciler.INTERVAL_US //= FACTOR
    bounds.MARGIN_US //= FACTOR
    runpy.run_module("workers", run_name="__main__", alter_sys=True)
