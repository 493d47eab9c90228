"""The shop's days, counted from the day it opened, and growth along them."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

OPENING_DAY = date(2026, 8, 1)
SECONDS_A_DAY = 86_400
#: --users and the size of the catalogue are those reached after this many days; growth goes on at that pace.
DAYS_TO_SIZE = 100


def day_of(number: int) -> date:
    """Return the date of the shop's day `number` (0 is the opening day)."""
    return OPENING_DAY + timedelta(days=number)


def number_of(day: date) -> int:
    """Return which day of the shop a date is (negative before the opening)."""
    return (day - OPENING_DAY).days


def present_by(day: int, size: int, founders_percent: int) -> int:
    """Return how many are there at the end of `day`, of a population growing to `size` in DAYS_TO_SIZE days."""
    founders = size * founders_percent // 100
    return founders + (day + 1) * (size - founders) // DAYS_TO_SIZE


def arrival_days(last_day: int, size: int, founders_percent: int) -> np.ndarray:
    """Return the day each member arrives, in order of number; -1 for founders. Shape [present by last_day]."""
    by_day = np.array([present_by(day, size, founders_percent) for day in range(-1, last_day + 1)])
    return np.searchsorted(by_day, np.arange(by_day[-1]), side="right") - 1


def season(day: int, peak_month: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Return the log factor by which each leaf is wanted more on `day`: a bump around its peak month."""
    of_year = day_of(day).timetuple().tm_yday / 365.25
    distance = of_year - (peak_month - 0.5) / 12
    return strength * np.exp(4.0 * (np.cos(2 * np.pi * distance) - 1.0))
