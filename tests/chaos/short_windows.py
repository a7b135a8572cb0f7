"""Run a worker like `python -m workers`, with short windows, so that a strike easily hits a window's commit.

With OM_TRACE_DIRECTORY it also records its steps.
Waits for a destination then also differ by two seconds at most for the window alone.
"""

import os
import runpy
import sys

if __name__ == "__main__":
    # The code of the working directory, as with -m: a sabotaged copy, perhaps.
    sys.path[0] = os.getcwd()  # noqa: PTH109  # a text, as the others of the path
    from workers.db.ingest import WindowBounds

    WindowBounds.__init__.__defaults__ = (500_000, 2_000_000)
    if "OM_TRACE_DIRECTORY" in os.environ:
        from tests.model.recording import TraceFile
        from tests.model.worker_recording import record_worker

        record_worker(TraceFile("worker").write)
    runpy.run_module("workers", run_name="__main__", alter_sys=True)
