"""Next-item losses, as pure functions of scores: over the whole catalogue, or against sampled negatives.

Each is a sum over positions, 0 for none of them, so that shares of a batch add up to the batch.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from finestrec.errors import OptionError
from finestrec.randomness import hashed


def softmax_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the next item over the whole catalogue.

    Args:
        scores: Shape (P, N).
        targets: Item indices, shape (P,).

    Returns:
        A scalar, 0 or more.
    """
    return F.cross_entropy(scores, targets, reduction="sum")


def bce_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Binary cross-entropy of the next item against sampled ones (Kang, McAuley, ICDM 2018, Eq. 7).

    Args:
        positive: Scores of the next items, shape (P,).
        negative: Scores of sampled items, shape (P, M).

    Returns:
        The sum over positions of -log sigmoid(s+) - sum over m of log(1 - sigmoid(s-_m)), a scalar, 0 or more.
    """
    return F.softplus(-positive).sum() + F.softplus(negative).sum()


def sampled_softmax_loss(positive: Tensor, negative: Tensor, n_items: int) -> Tensor:
    """Cross-entropy of the next item over itself and sampled ones (Bengio, Senecal, 2008).

    Args:
        positive: Scores of the next items, shape (P,).
        negative: Scores of items drawn uniformly among the others, shape (P, M).
        n_items: N. Each sampled item stands for (N - 1) / M items, so that the sum of the exponentials is the
            catalogue's on average; with every other item sampled once this is `softmax_loss`.

    Returns:
        A scalar, 0 or more.
    """
    corrected = negative + math.log((n_items - 1) / negative.shape[1])
    return (torch.logsumexp(torch.cat([positive[:, None], corrected], 1), 1) - positive).sum()


def gbce_loss(positive: Tensor, negative: Tensor, n_items: int, calibration: float) -> Tensor:
    """Generalised binary cross-entropy (Petrov, Macdonald, RecSys 2023, https://arxiv.org/abs/2308.07192, Eq. 14).

    Args:
        positive: Scores of the next items, shape (P,).
        negative: Scores of items drawn uniformly among the others, shape (P, M).
        n_items: N; M / (N - 1) is the sampling rate alpha.
        calibration: t, 0 to 1: at 0 it is binary cross-entropy, at 1 its scores are calibrated as probabilities.

    Returns:
        The sum over positions of -(beta * log sigmoid(s+) + sum over m of log(1 - sigmoid(s-_m))) / (M + 1) with
        beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha), a scalar, 0 or more.
    """
    n_sampled = negative.shape[1]
    alpha = n_sampled / (n_items - 1)
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    return (beta * F.softplus(-positive).sum() + F.softplus(negative).sum()) / (n_sampled + 1)


def negatives(
    ids: NDArray[np.int64], targets: NDArray[np.int64], n_items: int, count: int, seed: int, epoch: int
) -> NDArray[np.int64]:
    """Items drawn uniformly among all but the target, for each instance.

    Drawn from the stream "negatives" by the id of the interaction that the instance predicts, so an instance that an
    edit removes changes the negatives of no other one. New interactions, of the id -1, are told apart by their place.

    Args:
        ids: Interaction ids of the targets, shape (P,).
        targets: The next items, shape (P,).
        n_items: N, at least 2.
        count: M, items an instance, with replacement.
        seed: The run's seed.
        epoch: The epoch, from 0.

    Returns:
        Item indices, shape (P, M).

    Raises:
        OptionError: If there is no other item.
    """
    if n_items < 2:
        raise OptionError("the catalogue has one item, so there is none to sample; use training.loss=softmax")
    keys = np.where(ids >= 0, ids, -2 - np.arange(len(ids)))
    draws = hashed((keys[:, None] * count + np.arange(count)).ravel(), seed, "negatives", epoch)
    drawn = (draws % np.uint64(n_items - 1)).astype(np.int64).reshape(len(ids), count)
    return drawn + (drawn >= targets[:, None])
