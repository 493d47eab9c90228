"""The k best items of one shard of users: what `top_k` does with one shard.

Of a product's scores only the maxima of pieces of neighbouring items are compared: the k best items lie in the k
best pieces, so only those are searched. Scores are compared by their bits, as whole numbers.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

PIECES = (64, 8, 1)  # neighbouring items that share one maximum, each a multiple of the next
#: Candidates kept beyond k until their scores are computed again with more digits.
SPARE = 8
#: Most items of a product in bfloat16: the keys of its scores have 16 bits for positions.
ROUGH_WIDTH = 2**16
#: Numbers of a user's candidates that are computed again at once, where all of them have more.
_AT_ONCE = 4096
_NOTHING = -0x7F800000 * 2**32 + 2**32 - 1  # no key of a score of -inf is larger
#: By kind of score: whole numbers of its size, which hold its bits, and of twice that, which hold its key.
_WHOLE = {torch.float32: (torch.int32, torch.int64), torch.bfloat16: (torch.int16, torch.int32)}
_SCORE = {torch.int64: torch.float32, torch.int32: torch.bfloat16}  # by kind of key

Pair = tuple[Tensor, Tensor]


class Catalogue(NamedTuple):
    """The items' vectors and, where products begin with bfloat16, raised ones: their products bound the scores."""

    vectors: Tensor  # items x dimensions, float32
    raised: Tensor | None  # items x (dimensions + 2), bfloat16: see `_proven`
    longest: float  # length of the longest vector

    @classmethod
    def of(cls, vectors: Tensor, rough: bool) -> Catalogue:
        """Return the catalogue of vectors, with those in bfloat16 if wanted."""
        n_items, dimensions = vectors.shape
        if not rough or not n_items or dimensions >= 2**16:  # so many the proof does not cover
            return cls(vectors, None, 0.0)
        raised, longest = torch.empty(n_items, dimensions + 2, dtype=torch.bfloat16), 0.0
        for some, into in zip(vectors.split(8192), raised.split(8192), strict=True):
            short, lengths, errors = _rounded(some)
            into.copy_(_joined(short, lengths, errors + (dimensions + 2) * 2.0**-21 * lengths))
            longest = max(longest, float(lengths.max()))
        return cls(vectors, raised, longest)


def best_of(users: Tensor, catalogue: Catalogue, k: int, cells: Pair | None, room: Tensor) -> Pair:
    """Return positions and scores of each user's best items, as `top_k` yields them.

    `cells` are rows and item positions that may not be chosen; `room` is float32 memory for the scores of at
    least as many users, by as many items as one product shall have.
    """
    items = catalogue.vectors
    if catalogue.raised is None:
        keys, _ = _best(users, items, (users, items), k, SPARE, cells, room)
    else:
        raised, lengths = raised_users(users)
        # k / 4 more, as of random vectors that many items' upper bounds reach above the k-th score.
        keys, least = _best(users, items, (raised, catalogue.raised), k, SPARE + k // 4, cells, room)
        unsure = ~_proven(_scores(keys[:, -1]), least, lengths.clamp(min=1) * max(1.0, catalogue.longest))
        if bool(unsure.any()):
            users, cells = users[unsure], _cells_of(unsure, cells)
            keys[unsure], _ = _best(users, items, (users, items), k, SPARE, cells, room)
    best = _scores(keys)
    return _positions(keys).where(best > -torch.inf, -1), best


def raised_users(users: Tensor) -> Pair:
    """Return the factor of products with a catalogue's raised vectors, and the users' lengths; see `_proven`."""
    short, lengths, errors = _rounded(users)
    return _joined(short, errors, lengths), lengths


def _rounded(vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return vectors in bfloat16, the longer length of each before and after, at least 2^-50, and its error's."""
    short, exact = vectors.bfloat16(), vectors.double()
    lengths = exact.norm(dim=1).maximum(short.double().norm(dim=1))
    return short, lengths.clamp(min=2.0**-50), (exact - short).norm(dim=1)


def _joined(short: Tensor, *more: Tensor) -> Tensor:
    """Return vectors with more coordinates, raised so that rounding them to bfloat16 leaves them no smaller."""
    return torch.cat([short, *((1 + 2.0**-7) * one[:, None] for one in more)], dim=1).bfloat16()


def _proven(last: Tensor, least: Tensor, largest: Tensor) -> Tensor:
    """Tell for which users no item outside the candidates can score `last`, their k-th best, or more.

    `least` is the smallest product in bfloat16 among candidates, no other item has a larger one; `largest` bounds
    the magnitudes of products and coordinates. Let u and v be the vectors of a user and an item, d their
    dimensions, u' and v' those in bfloat16, |u| and |v| the lengths that `_rounded` returns. By Cauchy and Schwarz

        uv = u'v' + (u - u')v + u'(v - v') <= u'v' + |u - u'| |v| + |u| |v - v'|

    That is the product of the raised vectors if |u - u'| and |u| stand beside u', |v| and |v - v'| beside v'. The
    last is given 2^-21 (d + 2) |v| more, so that the exact product is at least uv + 2E, E = 2^-22 (d + 2) |u| |v|.
    What is lost on the way is less:

    - A product of bfloat16 numbers is exact in float32, in which they are summed. In whatever order, and even if
      each step cuts digits off, that loses at most (1 + 2^-23)^(d + 2) - 1 < 2^-22 (d + 2) of the sum of their
      magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 4.2), which is less than
      1.1 |u| |v| if d < 2^16: 1.1 E.
    - Coordinates, products, sums and the result may count as 0 below 2^-126: (d + 2) 2^-126 (4 + |u| + |v|), less
      than 0.3 E, as lengths are at least 2^-50. Nothing overflows while `largest` is below 2^126.
    - The float64 sum that makes the score is off by far less than 0.1 E.

    So the float32 sum s is at least uv. Rounded to bfloat16 it is s' with s <= s' + 2^-8 |s'|, which grows with
    s': no other item scores more than that of `least`. 2^-22 more pays for rounding scores to float32.
    """
    limit = least.double() + (2.0**-8 + 2.0**-22) * least.double().abs()
    return (last.double() > limit) & (largest < 2.0**126)


def _cells_of(chosen: Tensor, cells: Pair | None) -> Pair | None:
    """Return the cells of the chosen rows, which are counted anew."""
    if cells is None:
        return None
    rows, columns = cells
    own = chosen[rows]
    return (chosen.cumsum(0) - 1)[rows[own]], columns[own]


def _best(
    users: Tensor, items: Tensor, factors: Pair, k: int, spare: int, cells: Pair | None, room: Tensor
) -> Pair:
    """Return the keys of each user's k best items, best first, among the candidates by the factors' product.

    Each shard of items has k + `spare` candidates. Second comes the smallest product among them (of several
    shards the largest such, -inf if all items are candidates): other items have no larger one.
    """
    n_users, width = len(users), room.shape[1]
    scores = room.view(-1).view(factors[0].dtype)[: n_users * width].view(n_users, width)
    keys = torch.full((n_users, k), _NOTHING, device=users.device)
    least = torch.full((n_users,), -torch.inf, device=users.device)
    for begin, end in pairwise([*range(0, len(items), width), len(items)]):
        torch.mm(factors[0], factors[1][begin:end].T, out=scores[:, : end - begin])
        scores[:, end - begin :] = -torch.inf
        if cells is not None:
            rows, columns = cells
            here = (columns >= begin) & (columns < end)
            scores[rows[here], columns[here] - begin] = -torch.inf
        found = _search(scores, k + spare)
        products, positions = _scores(found).float(), begin + _positions(found).long()
        least = least.maximum(products.amin(dim=1))
        exact = _exact(users, items, positions).where(products > -torch.inf, -torch.inf)
        keys = _largest(torch.cat([keys, _keys(_ranks(exact), positions)], dim=1), k)
    return keys.sort(dim=1, descending=True).values, least


def _exact(users: Tensor, items: Tensor, positions: Tensor) -> Tensor:
    """Return scores of each user's candidates, summed in float64 and rounded to float32."""
    parts = []
    size = max(1, len(users) * _AT_ONCE // (positions.shape[1] * items.shape[1]))
    for some, own in zip(users.split(size), positions.clamp(max=len(items) - 1).split(size), strict=True):
        vectors = items.index_select(0, own.reshape(-1)).double().view(*own.shape, -1)
        parts.append(vectors.mul_(some.double()[:, None]).sum(dim=2).float())
    return torch.cat(parts)


def _search(scores: Tensor, count: int) -> Tensor:
    """Return the keys of the `count` largest scores of each row, in any order, with columns as positions.

    From coarse pieces to fine ones, keep the `count` pieces with the largest maxima, of equal maxima those of
    smallest position. Let t be the smallest maximum kept, a the number of pieces kept above it, b = count - a
    those at it. Each piece kept holds an item that scores t or more, so no item below t is needed. Items above
    t lie in the a pieces only, at least one in each; so at most b items at exactly t are needed, those of
    smallest position. An item at t in a piece that was not kept stands behind the items at t of all b pieces
    kept, as pieces are stretches of neighbours: b items go before it, and it is not needed.
    """
    n_rows, width = scores.shape
    whole, wide = _WHOLE[scores.dtype]
    bits = scores.view(whole)
    pieces = bits.view(n_rows, -1, PIECES[0])
    places = torch.arange(max(n_rows, pieces.shape[1]), device=scores.device, dtype=wide)
    highest = pieces.amax(dim=2)
    keys = _largest(_keys(highest, places[: pieces.shape[1]]), count)
    # The bits of positive floats are their ranks, and those of others are smaller: with `count` positive maxima,
    # bits do as they are. Else they have to be turned, for of negative floats the largest has the smallest bits.
    positive = bool(((keys >= 2 ** (8 * scores.element_size())).sum(dim=1) >= count).all())
    if not positive:
        highest = highest.where(highest >= 0, pieces.amin(dim=2))
        keys = _largest(_keys(_turned(highest), places[: pieces.shape[1]]), count)
    for size, finer in pairwise(PIECES):
        kept, parts = _positions(keys), size // finer
        pieces = bits.view(-1, size).index_select(0, (width // size * places[:n_rows, None] + kept).view(-1))
        pieces = pieces if positive else _turned(pieces)
        kept = kept[:, :, None] * parts + torch.arange(parts, device=scores.device, dtype=wide)
        keys = _largest(_keys(pieces.view(*kept.shape, finer).amax(dim=3), kept).view(n_rows, -1), count)
    return keys


def _largest(keys: Tensor, count: int) -> Tensor:
    """Return the `count` largest keys of each row, or all where there are fewer, in any order."""
    surplus = keys.shape[1] - count
    if surplus <= 0:
        return keys
    if keys.device.type == "cpu":  # torch's topk takes several times as long
        return torch.from_numpy(np.partition(keys.numpy(), surplus, axis=1)[:, surplus:])
    return keys.topk(count, dim=1, sorted=False).values


def _ranks(scores: Tensor) -> Tensor:
    """Return whole numbers in the order of the scores; that of -0.0 is the same as that of 0.0."""
    return _turned(scores.view(_WHOLE[scores.dtype][0]))


def _turned(bits: Tensor) -> Tensor:
    """Turn bits of floats, sign and magnitude, into ranks, which are two's complement, or ranks into bits."""
    sign = bits >> (8 * bits.element_size() - 1)  # 0 or -1
    return (sign & torch.iinfo(bits.dtype).max).bitwise_xor_(bits).sub_(sign)


def _keys(ranks: Tensor, positions: Tensor) -> Tensor:
    """Return whole numbers that are larger for a larger rank and, at equal ranks, for a smaller position."""
    size = 8 * ranks.element_size()
    return ranks.to(positions.dtype).bitwise_left_shift_(size).add_(2**size - 1 - positions)


def _positions(keys: Tensor) -> Tensor:
    """Return the positions that the keys were made of."""
    last = 2 ** (4 * keys.element_size()) - 1
    return last - (keys & last)


def _scores(keys: Tensor) -> Tensor:
    """Return the scores whose ranks the keys were made of."""
    score = _SCORE[keys.dtype]
    return _turned((keys >> (4 * keys.element_size())).to(_WHOLE[score][0])).view(score)
