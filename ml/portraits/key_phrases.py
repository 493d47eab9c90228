"""An item's most telling phrases: class-based TF-IDF over its title and reviews.

Grootendorst, "BERTopic" (2022), eq. 1: the weight of term t in class c is tf(t, c) x log(1 + A / f(t)), with A the
mean number of terms a class and f(t) the term's count everywhere; a class is an item. Chinese is cut by jieba;
of other scripts words count, and two that stand side by side. What a single item says only once is no phrase
unless its title says it.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from scipy import sparse

from ml.portraits.stop_words import STOP_WORDS

MOST_REVIEWS = 50  # of an item: the latest ones
_RUNS = re.compile(r"[\u3400-\u9fff]+|[^\W\d_\u3400-\u9fff][^\W_\u3400-\u9fff'’-]*", re.UNICODE)


@cache
def _cutter() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jieba
    jieba.setLogLevel(logging.WARNING)
    return jieba


def terms_of(text: str) -> list[str]:
    """Return a text's terms in order: Chinese words of two signs and more, other words, pairs of other words."""
    terms: list[str] = []
    before, end_before = "", -1
    for run in _RUNS.finditer(text):
        piece = run.group()
        if piece[0] >= "\u3400":
            terms += [w for w in _cutter().lcut(piece, HMM=False) if len(w) > 1 and w not in STOP_WORDS]
            before = ""
            continue
        word = piece.casefold().strip("'’-")
        is_unit = run.start() > 0 and text[run.start() - 1].isdigit()  # 45mm, 8GB
        if len(word) < 2 or is_unit or word in STOP_WORDS:
            before = ""
            continue
        terms.append(word)
        if before and text[end_before : run.start()] == " ":
            terms.append(f"{before} {word}")
        before, end_before = word, run.end()
    return terms


def key_phrases(
    titles: Sequence[str], reviews: Iterable[tuple[int, str]], most: int = 5, most_reviews: int = MOST_REVIEWS
) -> list[str]:
    """Return each item's phrases, most telling first, joined by ', '; '' for none.

    Args:
        titles: one an item.
        reviews: (place of the item, text), latest first.
        most: phrases an item.
        most_reviews: read of an item.

    """
    number: dict[str, int] = {}
    counts: list[dict[int, int]] = [{} for _ in titles]
    in_title: list[set[int]] = [set() for _ in titles]

    def add(item: int, text: str) -> set[int]:
        seen = {t: number.setdefault(t, len(number)) for t in terms_of(text)}
        for term in seen.values():  # a text says a thing once
            counts[item][term] = counts[item].get(term, 0) + 1
        return set(seen.values())

    for item, title in enumerate(titles):
        in_title[item] = add(item, title)
    read = np.zeros(len(titles), dtype=np.int64)
    for item, text in reviews:
        if read[item] < most_reviews:
            read[item] += 1
            add(item, text)
    if not number:
        return [""] * len(titles)
    names = np.array(list(number), dtype=object)
    row = np.repeat(np.arange(len(titles)), [len(c) for c in counts])
    column = np.array([t for c in counts for t in c], dtype=np.int64)
    value = np.array([n for c in counts for n in c.values()], dtype=np.float64)
    table = sparse.csr_matrix((value, (row, column)), shape=(len(titles), len(names)))
    everywhere = np.asarray(table.sum(axis=0)).ravel()
    idf = np.log1p(table.sum() / len(titles) / everywhere)
    return [", ".join(_best(table, item, idf, names, in_title[item], most)) for item in range(len(titles))]


def _best(
    table: sparse.csr_matrix, item: int, idf: np.ndarray, names: np.ndarray, in_title: set[int], most: int
) -> list[str]:
    place = slice(table.indptr[item], table.indptr[item + 1])
    column, tf = table.indices[place], table.data[place]
    told = (tf > 1) | np.array([c in in_title for c in column], dtype=bool)
    column, weight = column[told], (tf * idf[column])[told]
    order = sorted(range(len(column)), key=lambda i: (-weight[i], names[column[i]]))
    chosen: list[str] = []
    for phrase in (str(names[column[i]]) for i in order):
        words = set(phrase.split())
        # A pair and its own words would say one thing twice.
        if not any(words <= set(c.split()) or set(c.split()) <= words for c in chosen):
            chosen.append(phrase)
        if len(chosen) == most:
            break
    return chosen
