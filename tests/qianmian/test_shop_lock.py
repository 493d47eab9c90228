"""Two runs of one shop at once, as processes: the second waits or refuses, and a killed one frees the shop."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qianmian.shop_lock import at_work, read_claim
from qianmian.step import ShopBusyError, StepError, run_step, step_parser

STEP = """
import sys, time
from pathlib import Path
from qianmian.step import ShopBusyError, StepError, run_step, step_parser
name, seconds, what = sys.argv[1], float(sys.argv[2]), sys.argv[3]
def main(args):
    print("working", flush=True)
    time.sleep(seconds)
    if what == "refuse":
        raise StepError("bad", "mend")
    if what == "busy":
        raise ShopBusyError("held", "wait")
    if what == "fail":
        raise OSError("disk lost")
run_step(name, main, step_parser(None), sys.argv[4:])
"""
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def start(lake: Path) -> Iterator[Start]:
    """Start a step of a run as a process of its own; it prints `working` when it holds the shop."""
    started = []

    def begin(
        step: str, run_id: str, day: str = "2026-10-31", seconds: float = 0.0, what: str = "pass"
    ) -> subprocess.Popen[str]:
        which = ["--lake", str(lake), "--as-of", day, "--run-id", run_id]
        process = subprocess.Popen(
            [sys.executable, "-c", STEP, step, str(seconds), what, *which],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def working(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    assert process.stdout
    assert process.stdout.readline() == "working\n"
    return process


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=30)
    return process.returncode, said


def test_steps_of_one_run_follow_each_other(start: Start, lake: Path) -> None:
    for step in ("prepare", "land", "build_features", "check_tables", "publish"):
        code, said = end(start(step, "a"))
        assert code == 0, said
    claim = read_claim(lake)
    assert claim
    assert (claim.run_id, claim.step, claim.is_over) == ("a", "publish", True)


def test_a_second_run_waits_for_the_step_and_then_for_the_run(start: Start, lake: Path) -> None:
    first = working(start("land", "a", seconds=1.5))
    second = start("land", "b", day="2026-11-01")
    assert end(first)[0] == 0
    for step in ("clean", "build_features", "publish"):
        code, said = end(start(step, "a"))
        assert code == 0, said
    code, said = end(second)
    assert code == 0, said
    assert "the shop is at work for run a of 2026-10-31 (step land, process" in said
    claim = read_claim(lake)
    assert claim
    assert claim.run_id == "b"


def test_whoever_waited_long_enough_refuses_and_names_the_holder(start: Start, lake: Path) -> None:
    first = working(start("clean", "a", seconds=20))
    with (
        pytest.raises(StepError, match=rf"run a of 2026-10-31 \(step clean, process {first.pid}, since 20"),
        at_work(lake, "2026-11-01", "b", "land", patience_s=0.5),
    ):
        raise AssertionError
    claim = read_claim(lake)
    assert claim
    assert claim.run_id == "a"


def test_between_its_steps_a_run_keeps_the_shop(start: Start, lake: Path) -> None:
    end(start("build_features", "a"))
    with pytest.raises(StepError, match="run a "), at_work(lake, "2026-11-01", "b", "land", patience_s=0.3):
        raise AssertionError


def test_a_killed_step_frees_the_shop_after_a_while_and_can_be_tried_again_at_once(
    start: Start, lake: Path
) -> None:
    killed = working(start("build_features", "a", seconds=30))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    code, said = end(start("build_features", "a"))
    assert code == 0, said
    killed = working(start("build_features", "a", seconds=30))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    began = time.monotonic()
    with at_work(lake, "2026-11-01", "b", "land", patience_s=10, idle_s=2):
        assert time.monotonic() - began < 10, "it did not wait for a patience's end"
        claim = read_claim(lake)
        assert claim
        assert claim.run_id == "b"


def test_a_run_that_was_overtaken_does_not_go_on_with_the_others_files(start: Start, lake: Path) -> None:
    end(start("build_features", "a"))
    with at_work(lake, "2026-11-01", "b", "land", idle_s=0):
        pass
    for step in ("recommend_home", "check_tables"):
        code, said = end(start(step, "a"))
        assert code == 2
        assert "The shop's working files are those of run b of 2026-11-01 (step land" in said
        assert "WHAT TO DO: Let that run end; then start this one from its first step" in said
    claim = read_claim(lake)
    assert claim
    assert claim.run_id == "b"


@pytest.mark.parametrize(("what", "is_over"), [("refuse", True), ("busy", False), ("fail", False)])
def test_a_refused_run_is_over_one_that_failed_may_be_tried_again(
    start: Start, lake: Path, what: str, is_over: bool
) -> None:
    assert end(start("clean", "a", what=what))[0] == (2 if what == "refuse" else 1)
    claim = read_claim(lake)
    assert claim
    assert claim.is_over is is_over


def test_training_and_targets_do_not_wait(start: Start) -> None:
    working(start("clean", "a", seconds=20))
    for step in ("train_recommender", "embed_for_training", "publish_postgres", "record_refusal"):
        code, said = end(start(step, "b"))
        assert code == 0, said


def test_a_run_that_claimed_the_shop_and_built_nothing_keeps_nobody_from_training(start: Start) -> None:
    end(start("build_features", "a"))
    end(start("publish", "a"))
    end(start("land", "b", day="2026-11-01", what="refuse"))
    assert end(start("train_recommender", "weekly"))[0] == 0


def test_a_forgetting_run_keeps_the_shop_until_retention(start: Start, lake: Path) -> None:
    assert end(start("forget_users", "f"))[0] == 0
    daily = start("prepare", "a", day="2026-11-01")
    assert end(start("forget_in_s3", "f"))[0] == 0
    # Somebody was found: the receipts stay open, and what was kept long enough goes all the same.
    assert end(start("close_receipts", "f", what="refuse"))[0] == 2
    assert daily.poll() is None
    assert end(start("apply_retention", "f"))[0] == 0
    code, said = end(daily)
    assert code == 0, said
    assert "the shop is at work for run f of 2026-10-31" in said


def test_the_search_waits_for_a_daily_run_and_may_be_tried_again(start: Start, lake: Path) -> None:
    end(start("forget_users", "f"))
    with at_work(lake, "2026-11-01", "a", "prepare", idle_s=0):  # forgetting was killed
        search = start("close_receipts", "f")
        with (
            pytest.raises(ShopBusyError, match="run a of 2026-11-01"),
            at_work(lake, "2026-10-31", "f", "close_receipts", patience_s=0.3),
        ):
            raise AssertionError
        assert search.poll() is None
    end(start("publish", "a", day="2026-11-01"))
    code, said = end(search)
    assert code == 0, said


def test_a_shop_that_is_busy_is_no_fault_of_the_input(tmp_path: Path) -> None:
    def main(_: object) -> None:
        raise ShopBusyError("busy", "wait")

    with pytest.raises(SystemExit) as ended:
        run_step("any", main, step_parser(None), [f"--lake={tmp_path}", "--as-of=2026-10-31"])
    assert ended.value.code == 1


def test_publishing_leaves_the_claim_of_another_run_alone(start: Start, lake: Path) -> None:
    end(start("build_features", "a"))
    code, said = end(start("publish", "b"))
    assert code == 0, said
    claim = read_claim(lake)
    assert claim
    assert (claim.run_id, claim.is_over) == ("a", False)


def test_by_hand_a_finished_day_may_be_worked_on(start: Start) -> None:
    for step in ("build_features", "publish"):
        end(start(step, "a"))
    assert end(start("recommend_home", "by_hand"))[0] == 0
    assert end(start("recommend_home", "by_hand", day="2026-11-01"))[0] == 2


def test_another_programs_command_holds_the_shop_as_well(start: Start, lake: Path) -> None:
    def command(run_id: str, code: str) -> list[str]:
        which = ["--lake", str(lake), "--as-of", "2026-10-31", "--run-id", run_id, "--step", "build_features"]
        return [sys.executable, "-m", "qianmian.shop_lock", *which, "--", sys.executable, "-c", code]

    assert subprocess.run(command("a", "import sys; sys.exit(5)"), check=False).returncode == 5
    holder = subprocess.Popen(
        command("a", "print('working', flush=True); import time; time.sleep(20)"),
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        working(holder)
        # The command keeps the lock when the process that took it is killed: it still writes.
        holder.kill()
        holder.wait()
        with pytest.raises(StepError, match="run a "), at_work(lake, "2026-10-31", "a", "portray", patience_s=0.3):
            raise AssertionError
    finally:
        with_children = holder.pid
        subprocess.run(["kill", "-KILL", "--", f"-{with_children}"], check=False)
    done = subprocess.run(command("b", "pass"), check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "ERROR in build_features: The shop's working files are those of run a" in done.stderr
