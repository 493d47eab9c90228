"""Turn a source into feed files, `<feeds>/<feed>/<day>.<ext>`: the step before landing.

An adapter per kind of source:
  completejourney  the public data set Complete Journey (a folder of Parquet files)
  feeds            the source is feeds already: nothing to do
  online_retail    the public data set UCI Online Retail (one Parquet file)
  simulated        a made-up shop of any size, with its truth beside it (see feeds/simulated/__init__.py)

Runs daily; it writes only the files that are not there yet.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feeds.adapters import completejourney, online_retail
from feeds.simulated import shop
from qianmian.step import StepError, run_step, step_parser

log = logging.getLogger("qianmian")


def parser() -> argparse.ArgumentParser:
    """Return the step's arguments."""
    arguments = step_parser(__doc__)
    arguments.add_argument(
        "--adapter", choices=sorted(ADAPTERS), required=True, help="how the source becomes feeds"
    )
    arguments.add_argument("--source", default="", help="the shop's data: a folder (online_retail: or its file)")
    arguments.add_argument("--feeds", type=Path, help="folder that the feed files are written to")
    arguments.add_argument("--truth", type=Path, help="simulated: folder for the truth, outside --feeds")
    arguments.add_argument("--users", type=int, default=2000, help="simulated: size (default: %(default)s)")
    arguments.add_argument("--seed", type=int, default=7, help="simulated: another seed is another shop")
    return arguments


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Run the adapter and return its report."""
    return {"adapter": args.adapter, **ADAPTERS[args.adapter](args)}


def _feeds(args: argparse.Namespace) -> dict[str, Any]:
    log.info("prepare: the source is feeds already, nothing to do")
    return {"note": "the source is feeds already"}


def _completejourney(args: argparse.Namespace) -> dict[str, Any]:
    if not args.source:
        raise StepError("no --source given", "name the folder that holds the data set's Parquet files")
    return completejourney.convert(Path(args.source), _required(args, "feeds"))


def _online_retail(args: argparse.Namespace) -> dict[str, Any]:
    if not args.source:
        raise StepError("no --source given", "name the folder that holds online_retail.parquet")
    return online_retail.convert(Path(args.source), _required(args, "feeds"))


def _simulated(args: argparse.Namespace) -> dict[str, Any]:
    return shop.generate(
        feeds=_required(args, "feeds"),
        truth=_required(args, "truth"),
        users=args.users,
        seed=args.seed,
        as_of=args.as_of,
    )


def _required(args: argparse.Namespace, name: str) -> Path:
    folder = getattr(args, name)
    if folder is None:
        raise StepError(f"the adapter {args.adapter} needs --{name}", f"give --{name} a folder to write to")
    return Path(folder)


ADAPTERS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "completejourney": _completejourney,
    "feeds": _feeds,
    "online_retail": _online_retail,
    "simulated": _simulated,
}


if __name__ == "__main__":
    run_step("prepare", main, parser())
