"""Start the preview of one shop on this machine, until Ctrl-C: `python -m preview --shop simulated`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from qianmian import settings
from qianmian.ports import LOOPBACK, port_for
from qianmian.step import EXIT_BAD_INPUT, StepError

USUAL_PORT = 8501

#: Given on the command line, where no file of the user's can override it: loopback only, nothing sent anywhere.
_OPTIONS = {
    "server.address": LOOPBACK,
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "browser.serverAddress": LOOPBACK,
    "client.toolbarMode": "minimal",
    "client.showSidebarNavigation": "false",
    "logger.level": "warning",
    "theme.base": "light",
    "theme.primaryColor": "#0f6b62",
    "theme.backgroundColor": "#fcfbf9",
    "theme.secondaryBackgroundColor": "#f4f2ed",
    "theme.textColor": "#23282d",
}


def command(shop: str, port: int) -> list[str]:
    """Return the command that serves the page of a shop on a port of the loopback interface."""
    options = [f"--{name}={value}" for name, value in {**_OPTIONS, "server.port": str(port)}.items()]
    app = str(Path(__file__).with_name("app.py"))
    return [sys.executable, "-m", "streamlit", "run", app, *options, "--", "--shop", shop]


def main(argv: list[str] | None = None) -> int:
    """Serve until Ctrl-C; return 2 for a wrong value."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shop", default="simulated", help="shop to look at (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        shop = settings.load(args.shop)
        port = port_for("preview_port", shop.preview_port, USUAL_PORT)
    except StepError as error:
        print(f"ERROR: {error.what}\nWHAT TO DO: {error.remedy}", file=sys.stderr)
        return EXIT_BAD_INPUT
    print(f"Preview of {shop.shop}: http://{LOOPBACK}:{port}  (Ctrl-C ends it)", flush=True)
    _become(command(shop.shop, port))
    return 0


def _become(served: list[str]) -> None:
    """Go on as the server, so that whoever ends this process ends the server; its own greeting is not shown."""
    # Streamlit looks for modules beside the script; the project's packages lie one folder up.
    path = os.pathsep.join(filter(None, (str(settings.ROOT), os.environ.get("PYTHONPATH"))))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.execve(served[0], served, {**os.environ, "PYTHONPATH": path})  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
