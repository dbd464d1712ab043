"""Checks of the parameters that the measures share."""

import math
import operator

from finestrec.errors import OptionError


def checked_p(p: float) -> float:
    """The persistence p as a float.

    Raises:
        OptionError: If p is not strictly between 0 and 1.
    """
    value = float(p)
    if not (math.isfinite(value) and 0.0 < value < 1.0):
        raise OptionError(
            f"p is {p}; it must lie strictly between 0 and 1, e.g. 0.9 (its limit 1 is the average overlap)"
        )
    return value


def checked_k(k: int) -> int:
    """The cut-off k as an int.

    Raises:
        OptionError: If k is not a whole number of 1 or more.
    """
    try:
        value = operator.index(k)
    except TypeError:
        raise OptionError(f"k is {k!r}; it must be a whole number, 1 or more") from None
    if value < 1:
        raise OptionError(f"k is {k}; it must be 1 or more")
    return value
