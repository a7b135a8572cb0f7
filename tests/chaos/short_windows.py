"""Run a worker like `python -m workers`, but with short windows, so that strikes often hit a window's commit.

With these bounds, a window delays an event by at most two seconds. If OM_TRACE_DIRECTORY is set, the worker
also records its steps.
"""

import os
import runpy
import sys

if __name__ == "__main__":
    # Import from the working directory, as `-m` does. That directory can contain a sabotaged copy.
    sys.path[0] = os.getcwd()  # noqa: PTH109  # a string, like the path's other entries
    from workers.db.ingest import WindowBounds

    WindowBounds.__init__.__defaults__ = (500_000, 2_000_000)
    if "OM_TRACE_DIRECTORY" in os.environ:
        from tests.model.recording import TraceFile
        from tests.model.worker_recording import record_worker

        record_worker(TraceFile("worker").write)
    runpy.run_module("workers", run_name="__main__", alter_sys=True)
