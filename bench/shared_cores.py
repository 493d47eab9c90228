"""What threads that wait for one another cost: alone on the machine, and beside programs that need its cores.

Times the texts of one training pass of the text encoder, forth and back, on all cores, in a process for each
policy of OpenMP: as it is by itself (threads spin for a while before they sleep), and `passive` (they sleep at
once: what the DAGs' steps get). The neighbours are processes that compute without end. Prints one line of JSON.

    python -m bench.shared_cores [--neighbours N] [--repeats N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

POLICIES = {"by itself": None, "passive": "passive"}
TEXTS = 64

#: What would change how threads wait; OpenMP reads it once, when a process loads it.
OF_OPENMP = ("OMP_", "GOMP_", "KMP_")


def time_passes(repeats: int) -> None:
    """Print the seconds of each pass, forth and back, the first left out: in a process of its own."""
    from ml.text_encoder import models
    from ml.text_encoder.fine_tuning.encoder import TextEncoder
    from ml.text_encoder.fine_tuning.settings import FineTuning

    texts = [f"cake stand number {n}, red with white dots, for parties in the garden" for n in range(TEXTS)]
    encoder = TextEncoder(models.locate(models.PACKAGED), texts, FineTuning(precision="float32"), "cpu")
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        encoder.vectors(np.arange(TEXTS)).sum().backward()
        seconds.append(time.perf_counter() - began)
    print(json.dumps(seconds[1:]))


@contextmanager
def beside(neighbours: int) -> Iterator[None]:
    """Keep as many processes computing."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def seconds_of(policy: str | None, repeats: int) -> list[float]:
    """Return the seconds of each pass under a policy (None: OpenMP's own)."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(OF_OPENMP)}
    if policy is not None:
        environ["OMP_WAIT_POLICY"] = policy
    code = f"from bench.shared_cores import time_passes; time_passes({repeats})"
    said = subprocess.run([sys.executable, "-c", code], env=environ, check=True, stdout=subprocess.PIPE, text=True)
    return [float(one) for one in json.loads(said.stdout.splitlines()[-1])]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neighbours", type=int, default=1, help="busy processes (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="passes of each kind (default: %(default)s)")
    args = parser.parse_args()
    median: dict[str, dict[str, float]] = {}
    for kind, neighbours in (("alone", 0), ("beside_others", args.neighbours)):
        with beside(neighbours):
            median[kind] = {
                name: round(statistics.median(seconds_of(policy, args.repeats)), 3)
                for name, policy in POLICIES.items()
            }
    print(json.dumps({"bench": "shared_cores", "cores": os.cpu_count(), "neighbours": args.neighbours,
                      "texts": TEXTS, "seconds": median}))  # fmt: skip


if __name__ == "__main__":
    main()
