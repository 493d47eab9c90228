"""What a user is drawn to: shares of the user's weighted actions by category and by brand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.portraits.belief import FADING, Belief, fading_belief
from ml.portraits.evidence import Actions, Evidence

CATEGORIES, BRANDS = 3, 2  # told of a user at the most
LEAST_SHARE = 0.1


@dataclass(frozen=True)
class Shares:
    """Each user's shares by kind (a category, a brand): one entry a user and kind, by user, largest first."""

    kinds: np.ndarray
    user: np.ndarray
    kind: np.ndarray
    share: np.ndarray
    evidence: np.ndarray
    count: np.ndarray
    first: np.ndarray
    last: np.ndarray

    def matrix(self, n_users: int) -> np.ndarray:
        """Return the shares as users x kinds; a row of zeros where there is no evidence."""
        dense = np.zeros((n_users, len(self.kinds)))
        dense[self.user, self.kind] = self.share
        return dense


def last_time(user: np.ndarray, time: np.ndarray, n_users: int) -> np.ndarray:
    """Return each user's latest time, -inf for none."""
    last = np.full(n_users, -np.inf)
    np.maximum.at(last, user, time)
    return last


def decayed(user: np.ndarray, time: np.ndarray, n_users: int, half_life: float) -> np.ndarray:
    """Return the weight of each row, halved with each half-life before the user's own last row."""
    return 2.0 ** ((time - last_time(user, time, n_users)[user]) / half_life)


def shares_by(labels: np.ndarray, actions: Actions, n_users: int, half_life: float) -> Shares:
    """Return the users' shares of decayed, weighted actions by the label of the item; empty labels are left out.

    Shares add up to 1 over a user's labels. Weights are decayed as of the user's last labelled action, so that
    shares stand still when nothing happens.
    """
    told = labels != ""
    names = np.unique(labels[told].astype(str))
    place = np.full(len(labels), -1)
    place[told] = np.searchsorted(names, labels[told].astype(str))
    kept = (actions.weight > 0) & told[actions.item]
    user, kind, time = actions.user[kept], place[actions.item[kept]], actions.time[kept]
    weight = actions.weight[kept] * decayed(user, time, n_users, half_life)
    pair, row = np.unique(user * max(len(names), 1) + kind, return_inverse=True)
    evidence = np.bincount(row, weight, len(pair))
    first, last = np.full(len(pair), np.inf), np.full(len(pair), -np.inf)
    np.minimum.at(first, row, time)
    np.maximum.at(last, row, time)
    owner, of_kind = pair // max(len(names), 1), pair % max(len(names), 1)
    share = evidence / np.bincount(owner, evidence, n_users)[owner]
    order = np.lexsort((of_kind, -share, owner))
    return Shares(
        names, owner[order], of_kind[order], share[order], evidence[order],
        np.bincount(row, minlength=len(pair))[order], first[order], last[order],
    )  # fmt: skip


def rank_within(user: np.ndarray) -> np.ndarray:
    """Return the place, from 0, of each row among its user's rows; `user` is ascending."""
    return np.arange(len(user)) - np.searchsorted(user, user)


def affinity_beliefs(shares: Shares, trait: str, most: int, everyone: Evidence) -> Belief:
    """Return a user's strongest shares, of LEAST_SHARE and more, as beliefs."""
    rule = FADING[trait]
    # Evidence as of the last action on this very kind: that is from where its silence counts.
    last_of_user = last_time(shares.user, shares.last, len(everyone.people))
    evidence = shares.evidence * 2.0 ** ((last_of_user[shares.user] - shares.last) / rule.half_life)
    told = (rank_within(shares.user) < most) & (shares.share >= LEAST_SHARE)
    user, kind = shares.user[told], shares.kind[told]
    share, count = shares.share[told], shares.count[told]
    days = f"{rule.half_life:g}"

    def words(row: int) -> tuple[str, str]:
        percent, n = round(100 * share[row]), count[row]
        return (
            f"{percent}% of the user's weighted actions, {n} of them on it; their weight halves in {days} days",
            f"占该用户加权行为的{percent}%，其中相关行为{n}次；行为权重每{days}天减半",
        )

    return fading_belief(
        trait, user, shares.kinds[kind].astype(object), np.array([f"{s:.2f}" for s in share], dtype=object),
        share, evidence[told], (shares.first[told], shares.last[told]), count, everyone.end_of_day, words,
    )  # fmt: skip
