"""Start Superset with a shop's dashboard on this machine, until Ctrl-C: `python -m bi --shop simulated`."""

from __future__ import annotations

import argparse
import os
import sys

from bi.superset_process import ADMIN, Superset
from qianmian import settings
from qianmian.ports import LOOPBACK, port_for
from qianmian.step import EXIT_BAD_INPUT, StepError

USUAL_PORT = 8088


def main(argv: list[str] | None = None) -> int:
    """Prepare and serve; return 2 for a wrong value or a missing thing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shop", default="simulated", help="shop to look at (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        shop = settings.load(args.shop)
        port = port_for("superset_port", shop.superset_port, USUAL_PORT)
        superset = Superset(shop)
        print("preparing Superset (20 to 60 seconds)", flush=True)
        reads = superset.prepare()
    except StepError as error:
        print(f"ERROR: {error.what}\nWHAT TO DO: {error.remedy}", file=sys.stderr)
        return EXIT_BAD_INPUT
    where = f"http://{LOOPBACK}:{port}/superset/dashboard/qianmian/"
    print(
        f"Superset    {where}   user {ADMIN}   password {superset.password}\n"
        f"Reads       {reads}\n"
        "Stop        Ctrl-C",
        flush=True,
    )
    command = superset.server(port)
    # Going on as the server: whoever ends this process ends the server.
    os.execve(command[0], command, superset.environ)  # noqa: S606
    return 0


if __name__ == "__main__":
    sys.exit(main())
