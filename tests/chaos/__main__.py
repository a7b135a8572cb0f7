"""Run every fault against the running service: `python -m tests.chaos` or `make chaos`.

`python -m tests.chaos sabotage` instead checks that the faults detect defects in copies of the product. Both
commands accept pytest's options and those of plugin.py, such as `--fault 6 --rounds 1 -n 1 --seed 5a`.
"""

import sys
from pathlib import Path

import pytest

from tests.chaos.faults.clock import ensure_library
from tests.servers import ensure_postgresql, ensure_rabbitmq

HERE = Path(__file__).parent
LANES = "2"
"""The number of stands (test rigs) that run at the same time. With four stands on two cores, every start had
to wait for a processor, and five of 34 faults failed because they exceeded time limits."""


def main() -> int:
    """Run the faults. Return 0 only if every fault struck and no event was lost or repeated."""
    ensure_rabbitmq()
    ensure_postgresql()
    ensure_library()
    told = sys.argv[1:]
    is_sabotage = told[:1] == ["sabotage"]
    told = told[1:] if is_sabotage else told
    module = "every_sabotage.py" if is_sabotage else "every_fault.py"
    lanes = [] if "-n" in told else ["-n", LANES]
    how = ["-p", "tests.chaos.plugin", "-p", "no:cacheprovider", "--dist", "load"]
    return pytest.main([str(HERE / module), *how, *lanes, *told])


if __name__ == "__main__":
    sys.exit(main())
