"""What the measures of a report mean, in a sentence each."""

from collections.abc import Iterable
from typing import Final

from finestrec.errors import OptionError
from finestrec.measures.names import parse_measure

SIMILARITIES: Final = ("RBO(p=0.9)", "FRBO(p=0.9)@10", "Jaccard@10", "AverageOverlap@all")
"""What a page shows of models that rank the whole catalogue."""
_FAMILIES: Final = {
    "RBO": "rank-biased overlap, extrapolated (Webber, Moffat, Zobel 2010, Eq. 32): the expected overlap of two lists"
    " for a reader who goes on to the next rank with probability p. 1: the same list.",
    "RBOtruncated": "rank-biased overlap summed to the depth shown: a lower bound, below 1 even for the same list.",
    "FRBO": "rank-biased overlap of the first ranks, divided by its largest value (Betello et al. 2024). 1: the same"
    " list.",
    "AverageOverlap": "mean share of items in common over all depths. 1: the same list; over a whole catalogue"
    " two random orders have about 0.5.",
    "Jaccard": "items in both lists over items in either. 1: the same items.",
    "Turnover": "share of a list's items that were not in the list before. 0: the same items.",
    "Top1Change": "share of lists whose first item is another one. 0: none.",
}
_ACCURACY: Final = {
    "MRR": "mean of 1 / rank of the item that came next. 1: always first.",
    "Recall": "share of lists whose first ranks hold the item that came next.",
    "NDCG": "1 / log2(1 + rank) of the item that came next if it is in the first ranks, else 0; mean over lists.",
}


def definitions(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Name and meaning of measures, in their order.

    Raises:
        OptionError: If a name is not a measure's.
    """
    return tuple((name, _definition(name)) for name in dict.fromkeys(names))


def _definition(name: str) -> str:
    family = name.partition("(")[0].partition("@")[0]
    if family in _ACCURACY:
        return _ACCURACY[family]
    parse_measure(name)
    if family not in _FAMILIES:
        raise OptionError(f"the measure {name!r} has no definition; known are {', '.join((*_FAMILIES, *_ACCURACY))}")
    return _FAMILIES[family]
