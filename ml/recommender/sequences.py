"""Users' actions as sequences: what the sequence model reads, and the windows it is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ml.recommender.dataset import DISMISS, RETURN, ActionLog

#: Gaps between two actions in doubling buckets of hours: the same moment, up to an hour, two, ... half a year.
GAP_BUCKETS = 14


def gap_bucket(days: np.ndarray) -> np.ndarray:
    """Return the bucket of each gap in days: 0 is the same moment."""
    hours = np.maximum(days, 0.0) * 24.0
    return np.where(
        hours <= 0, 0, np.clip(1 + np.ceil(np.log2(np.maximum(hours, 1.0))), 1, GAP_BUCKETS - 1)
    ).astype(np.int64)


@dataclass(frozen=True)
class Sequences:
    """Actions, users one after the other, oldest first: one entry an action, `starts` has users + 1.

    `time` is in days. Actions of one moment (the lines of one order) have no order among them.
    """

    item: np.ndarray
    event: np.ndarray
    time: np.ndarray
    starts: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """Bucket of the time since the user's action before; 0 for a first one."""
        gaps = np.diff(self.time, prepend=self.time[:1])
        firsts = self.starts[:-1]
        gaps[firsts[firsts < len(gaps)]] = 0.0
        return gap_bucket(gaps)

    def shuffled_moments(self, rng: np.random.Generator) -> Sequences:
        """Put the actions of each moment into a random order: none of them comes first."""
        is_new = np.ones(len(self.item), dtype=bool)
        is_new[1:] = self.time[1:] != self.time[:-1]
        firsts = self.starts[:-1]
        is_new[firsts[firsts < len(is_new)]] = True
        if is_new.all():
            return self
        order = np.lexsort((rng.random(len(is_new)), np.cumsum(is_new)))
        return Sequences(self.item[order], self.event[order], self.time, self.starts)


def sequences_of(log: ActionLog) -> Sequences:
    """Return all actions but dismissals and returns, which say nothing about what comes next."""
    kept = (log.event != DISMISS) & (log.event != RETURN)
    starts = np.concatenate(([0], np.cumsum(np.bincount(log.user[kept], minlength=log.n_users))))
    return Sequences(log.item[kept], log.event[kept].astype(np.int64), log.time[kept], starts)


@dataclass(frozen=True)
class Windows:
    """Stretches of the sequences from `begin` to `end`; targets count from `fresh` on."""

    begin: np.ndarray
    end: np.ndarray
    fresh: np.ndarray


def cut_windows(starts: np.ndarray, length: int) -> Windows:
    """Cut each user's sequence into windows of at most `length` + 1 actions which overlap by half.

    Args:
        starts: where each user's actions begin, and the end of the last: users + 1 places.
        length: actions that the model reads.

    """
    step = max(1, length // 2)
    begin, end, fresh = [], [], []
    for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        if last - first < 2:
            continue
        done, stop = first + 1, min(last, first + length + 1)
        while True:
            begin.append(max(first, stop - length - 1))
            end.append(stop)
            fresh.append(done)
            if stop == last:
                break
            done, stop = stop, min(last, stop + step)
    return Windows(np.array(begin, dtype=np.int64), np.array(end, dtype=np.int64), np.array(fresh, dtype=np.int64))


def batches(windows: Windows, batch_tokens: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield window numbers, those of like length together, in random order."""
    size = windows.end - windows.begin - 1
    if not len(size):
        return
    order = np.argsort(size + rng.random(len(size)) * 0.999, kind="stable")
    total = np.cumsum(size[order])
    cuts = np.searchsorted(total, np.arange(batch_tokens, total[-1], batch_tokens))
    parts = [part for part in np.split(order, np.unique(cuts)) if len(part)]
    for number in rng.permutation(len(parts)):
        yield parts[number]


def last_windows(starts: np.ndarray, users: np.ndarray, length: int) -> np.ndarray:
    """Return users x places: where each user's last actions stand, right-aligned, -1 before them."""
    width = int(min(length, max(1, (starts[users + 1] - starts[users]).max(initial=0))))
    place = starts[users + 1][:, None] - width + np.arange(width)
    return np.where(place >= starts[users][:, None], place, -1)
