"""Free ports on the loopback interface."""

from __future__ import annotations

import socket

from qianmian.step import StepError

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Tell whether nobody listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def port_for(setting: str, wanted: int, *usual: int) -> int:
    """Return the port that a setting asks for; where it asks for none (0), a usual one or any that is free.

    Raises:
        StepError: a port was asked for and is taken.

    """
    if wanted and not is_free(wanted):
        raise StepError(
            f"Port {wanted}, which {setting} asks for, is in use by another program.",
            f"Stop that program, or set {setting} (QIANMIAN_{setting.upper()}) to another port, or to 0 for any.",
        )
    return wanted or choose_port(*usual)


def choose_port(*wanted: int) -> int:
    """Return the first wanted port that is free, else any free one."""
    for port in wanted:
        if port and is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
