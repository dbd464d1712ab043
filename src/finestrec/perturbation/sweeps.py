"""Compiled sweeps over a log for the cascading score. Importing this module imports numba and compiles.

Nodes are numbered in the order of the log. An edge to the number m, one past the last node, is no edge.
"""

import numpy as np
from numba import types
from numpy.typing import NDArray

from finestrec.compiled import compiled

_USERS = types.Array(types.int64, 1, "C", readonly=True)
_ITEMS = types.Array(types.int32, 1, "C", readonly=True)
_FLAGS = types.Array(types.boolean, 1, "C", readonly=True)
_EDGES = types.int32[::1]
_PAIR = types.Tuple((_EDGES, _EDGES))  # type: ignore[no-untyped-call]

NO_RANK = np.uint32(2**32 - 1)
"""What a sketch that is not full ends with."""


@compiled(_PAIR(_USERS, _ITEMS, _FLAGS, types.int64, types.int64))
def link(
    users: NDArray[np.int64], items: NDArray[np.int32], is_node: NDArray[np.bool_], n_users: int, n_items: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Number the nodes of a log in its order, and find where their edges lead."""
    m = int(is_node.sum())
    next_of_user, next_of_item = np.full(m, m, np.int32), np.full(m, m, np.int32)
    of_user, of_item = np.full(n_users, m, np.int32), np.full(n_items, m, np.int32)
    node = m
    for i in range(len(users) - 1, -1, -1):
        if is_node[i]:
            node -= 1
            next_of_user[node], next_of_item[node] = of_user[users[i]], of_item[items[i]]
            of_user[users[i]] = of_item[items[i]] = node
        else:
            of_item[items[i]] = m  # the next with this item is here, outside, and no edge passes over it
    return next_of_user, next_of_item


@compiled(types.int64[::1](_USERS, _ITEMS, _EDGES, _EDGES, types.uint64[:, ::1], types.uint64[:, ::1]))
def count(
    users: NDArray[np.int64],
    items: NDArray[np.int32],
    next_of_user: NDArray[np.int32],
    next_of_item: NDArray[np.int32],
    of_user: NDArray[np.uint64],
    of_item: NDArray[np.uint64],
) -> NDArray[np.int64]:
    """Numbers of reachable nodes, int64, shape (m,).

    A block is one sweep that counts which of its 64 W nodes are reached. Sets of a sweep before are left in place:
    one is read only where an edge leads to a node that this sweep has passed.

    Args:
        users: User of each node, shape (m,).
        items: Item of each node, shape (m,).
        next_of_user: As in `Cascade`.
        next_of_item: As in `Cascade`.
        of_user: What is reached from the last node seen of each user, one bit a node of the block, shape (U, W).
        of_item: Likewise by item, shape (N, W).
    """
    m, words = len(users), of_user.shape[1]
    scores = np.zeros(m, np.int64)
    for low in range(0, m, 64 * words):
        high = min(m, low + 64 * words)
        for node in range(high - 1, -1, -1):
            by_user, by_item = of_user[users[node]], of_item[items[node]]
            along_user, along_item = next_of_user[node] < high, next_of_item[node] < high
            if along_user and along_item:
                for w in range(words):
                    by_user[w] |= by_item[w]
            elif along_item:
                for w in range(words):
                    by_user[w] = by_item[w]
            elif not along_user:
                for w in range(words):
                    by_user[w] = 0
            if node >= low:
                by_user[(node - low) // 64] |= np.uint64(1) << np.uint64((node - low) % 64)
            reached = np.int64(0)
            for w in range(words):
                x = by_user[w]
                by_item[w] = x
                # The number of bits that are set, as compilers know it (Hacker's Delight, 5-1).
                x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
                x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
                x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
                reached += np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))
            scores[node] += reached
    return scores


@compiled(
    types.float64[::1](_USERS, _ITEMS, _EDGES, _EDGES, types.uint32[::1], types.uint32[:, ::1], types.uint32[:, ::1])
)
def sketch(
    users: NDArray[np.int64],
    items: NDArray[np.int32],
    next_of_user: NDArray[np.int32],
    next_of_item: NDArray[np.int32],
    ranks: NDArray[np.uint32],
    of_user: NDArray[np.uint32],
    of_item: NDArray[np.uint32],
) -> NDArray[np.float64]:
    """Estimates of the numbers of reachable nodes, float64, shape (m,).

    With r the k-th lowest of the ranks 0..m-1 that a set has, (k - 1) m / r is an unbiased estimate of its size
    (Haldane's estimator of inverse sampling).

    Args:
        users: User of each node, shape (m,).
        items: Item of each node, shape (m,).
        next_of_user: As in `Cascade`.
        next_of_item: As in `Cascade`.
        ranks: A random permutation of 0..m-1.
        of_user: The k lowest ranks of what is reached from the last node seen of each user, ascending, filled up with
            `NO_RANK` to the shape (U, k + 1); all `NO_RANK` before.
        of_item: Likewise by item, shape (N, k + 1).
    """
    m, k = len(users), of_user.shape[1] - 1
    scores = np.empty(m)
    merged = np.empty(k + 1, np.uint32)
    for node in range(m - 1, -1, -1):
        by_user, by_item = of_user[users[node]], of_item[items[node]]
        along_user, along_item = next_of_user[node] < m, next_of_item[node] < m
        n = 0
        if along_user and along_item and next_of_user[node] != next_of_item[node]:
            i, j = 0, 0
            while n < k:
                a, b = by_user[i], by_item[j]
                lowest = min(a, b)
                if lowest == NO_RANK:
                    break
                merged[n] = lowest
                i += a == lowest
                j += b == lowest
                n += 1
        elif along_user or along_item:
            source = by_user if along_user else by_item
            while n < k and source[n] != NO_RANK:
                merged[n] = source[n]
                n += 1
        # No path leads back to a node, so its rank is not among them.
        at, rank = n, ranks[node]
        while at > 0 and merged[at - 1] > rank:
            merged[at] = merged[at - 1]
            at -= 1
        merged[at] = rank
        n = min(n + 1, k)
        by_user[:n] = merged[:n]
        by_item[:n] = merged[:n]
        # What a chain of the item that ended left behind.
        i = n
        while by_item[i] != NO_RANK:
            by_item[i] = NO_RANK
            i += 1
        scores[node] = n if n < k else (k - 1) * m / merged[k - 1]
    return scores
