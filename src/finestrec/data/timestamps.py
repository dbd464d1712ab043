"""Times in any usual form -> integer ticks.

Numbers are told apart by the largest magnitude in the column:

==================  ============  =================
largest magnitude   read as       good until
==================  ============  =================
below 1e11          seconds       the year 5138
below 1e14          milliseconds  the year 5138
below 1e17          microseconds  the year 5138
from 1e17           nanoseconds   (kept as microseconds)
==================  ============  =================

Numbers need not count from 1970; small ones are seconds. Fractions are kept by a finer unit: seconds with
three decimals become milliseconds, with more become microseconds. Datetimes take the coarsest unit that holds
them all. Numbers of two units in one column are refused. The microsecond is the finest unit: what is finer is rounded
(floats) or cut off (integers, text and datetimes). Times without a zone are UTC.
"""

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.log import TimeUnit
from finestrec.data.places import Place

TICKS_PER_SECOND: dict[TimeUnit, int] = {"s": 1, "ms": 1_000, "us": 1_000_000}
SECONDS_BELOW = 10**11
"""Numbers below are seconds; a thousand times more, milliseconds; a million times more, microseconds."""

_HINT = "is not a time; expected seconds, milliseconds or microseconds, or ISO 8601 text such as 2024-01-31T12:00:00"
_CLOCKS = ("%H:%M:%S%.f", "%H:%M:%S%.f%#z", "%H:%M:%S%.f UTC", "%H:%M", "%H:%M%#z")
_FORMATS = ("%Y-%m-%d", *(f"%Y-%m-%d{between}{clock}" for clock in _CLOCKS for between in " T"))


def unit_by_magnitude(largest: int) -> TimeUnit | None:
    """The unit that numbers of this magnitude are read as; None for nanoseconds."""
    for unit, ticks in TICKS_PER_SECOND.items():
        if largest < SECONDS_BELOW * ticks:
            return unit
    return None


def is_time(text: str) -> bool:
    """Whether a text would be read as a time."""
    value = pl.Series([text.strip()])
    number = value.cast(pl.Float64, strict=False)[0]
    if number is not None:
        return math.isfinite(number)
    return _parse_iso(value).null_count() == 0


def to_ticks(column: pl.Series, place: Place) -> tuple[NDArray[np.int64], TimeUnit]:
    """Read a column of times.

    Args:
        column: Numbers, text, dates or datetimes, shape (n,).
        place: What error messages name.

    Returns:
        Ticks, shape (n,), and their unit.

    Raises:
        DataError: If a value is missing, not a time, or too far away; if the column's type is not a time.
    """
    place.refuse_where(column.is_null(), column, "is not a time; every interaction needs one")
    if isinstance(column.dtype, pl.Categorical | pl.Enum):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        return _from_text(column, place)
    if column.dtype.is_integer():
        return _from_integers(column, place)
    if column.dtype.is_decimal():
        return _from_floats(column.cast(pl.Float64), place)
    if column.dtype.is_float():
        return _from_floats(column, place)
    if isinstance(column.dtype, pl.Date | pl.Datetime):
        return _from_datetimes(column, column, place)
    raise place.refuse(f"is of type {column.dtype}, which {_HINT}")


def _from_text(column: pl.Series, place: Place) -> tuple[NDArray[np.int64], TimeUnit]:
    stripped = column.str.strip_chars()
    integers = stripped.cast(pl.Int64, strict=False)
    if integers.null_count() == 0:
        return _from_integers(integers, place)
    place.refuse_where(stripped == "", column, "is not a time; every interaction needs one")
    floats = stripped.cast(pl.Float64, strict=False)
    if floats[0] is not None:
        place.refuse_where(floats.is_null(), column, _HINT + " (the first row is a number, so all must be)")
        place.refuse_where(~floats.is_finite(), column, _HINT)
        return _from_floats(floats, place)
    parsed = _parse_iso(stripped)
    place.refuse_where(parsed.is_null(), column, _HINT)
    return _from_datetimes(parsed, column, place)


def _parse_iso(text: pl.Series) -> pl.Series:
    """Datetimes in microseconds and UTC, null where the text is not ISO 8601."""

    def parse(values: pl.Series, how: str) -> pl.Series:
        zone = "UTC" if how.endswith("%#z") else None
        parsed = values.str.to_datetime(how, time_unit="us", time_zone=zone, strict=False)
        return parsed.dt.replace_time_zone(None) if zone else parsed

    # The formats that fit the head of the column come first, so that a long column is mostly read once.
    head = text.head(100)
    formats = sorted(_FORMATS, key=lambda how: parse(head, how).null_count())
    parsed = parse(text, formats[0])
    for how in formats[1:]:
        rest = parsed.is_null().arg_true()
        if len(rest) == 0:
            break
        parsed = parsed.scatter(rest, parse(text.gather(rest), how))
    return parsed


def _from_integers(column: pl.Series, place: Place) -> tuple[NDArray[np.int64], TimeUnit]:
    if column.dtype not in (pl.Int64, pl.UInt32, pl.Int32):
        wide = column.cast(pl.Int64, strict=False)
        place.refuse_where(wide.is_null(), column, "is too large for a time")
        column = wide
    ticks = column.cast(pl.Int64).to_numpy()
    unit = unit_by_magnitude(max(-int(ticks.min()), int(ticks.max())))
    if unit != "s":
        _refuse_two_units(ticks.astype(np.float64), column, place)
    if unit is None:
        return ticks // 1000, "us"
    return ticks, unit


def _refuse_two_units(values: NDArray[np.float64], column: pl.Series, place: Place) -> None:
    """Refuse seconds among milliseconds, and the like: read in one unit they would lie in 1970.

    Told by numbers that in a finer unit would lie where the largest ones do, and by nothing between the two: times that
    are counted from a first event have numbers of all sizes.
    """
    magnitudes = np.abs(values)
    largest = magnitudes.max()
    least = magnitudes[magnitudes >= largest / 100].min()
    for factor in (1e3, 1e6, 1e9):
        if largest < SECONDS_BELOW * factor / 1e3:
            return
        is_coarse = (magnitudes * factor >= least / 4) & (magnitudes * factor <= 4 * largest)
        if not is_coarse.any():
            continue
        most = magnitudes[is_coarse].max()
        if not ((magnitudes > most) & (magnitudes < least)).any():
            why = "is of a coarser unit than other times of the column; bring all to one"
            place.refuse_where(pl.Series(is_coarse), column, why)


def _from_floats(column: pl.Series, place: Place) -> tuple[NDArray[np.int64], TimeUnit]:
    place.refuse_where(~column.is_finite(), column, _HINT)
    place.refuse_where(column.abs() >= 2.0**63, column, "is too large for a time")
    values = column.to_numpy()
    # A few units in the last place: the float nearest to 1700000000.123 is not exactly that.
    noise = 4 * np.spacing(np.abs(values)).astype(np.float64)
    values = values.astype(np.float64)
    if (values == np.rint(values)).all():
        return _from_integers(pl.Series(values.astype(np.int64)), place)
    unit = unit_by_magnitude(int(np.abs(values).max()))
    if unit != "s":
        _refuse_two_units(values, column, place)
    if unit is None:
        return np.rint(values / 1000).astype(np.int64), "us"
    if unit == "s":
        milliseconds = values * 1000
        if (np.abs(milliseconds - np.rint(milliseconds)) <= 1000 * noise).all():
            return np.rint(milliseconds).astype(np.int64), "ms"
    return np.rint(values * (1_000_000 // TICKS_PER_SECOND[unit])).astype(np.int64), "us"


def _from_datetimes(column: pl.Series, as_read: pl.Series, place: Place) -> tuple[NDArray[np.int64], TimeUnit]:
    if column.dtype == pl.Date:
        seconds = column.to_physical().cast(pl.Int64) * 86_400
        place.refuse_where(seconds.abs() >= SECONDS_BELOW, as_read, "is after the year 5138")
        return seconds.to_numpy(), "s"
    ticks = column.to_physical().to_numpy()
    unit: TimeUnit
    match column.dtype.time_unit:  # type: ignore[attr-defined]
        case "ns":
            ticks, unit = ticks // 1000, "us"
        case "us":
            unit = "us"
        case _:
            unit = "ms"
    seconds = pl.Series(ticks // TICKS_PER_SECOND[unit])
    place.refuse_where(seconds.abs() >= SECONDS_BELOW, as_read, "is after the year 5138")
    coarser: TimeUnit
    for coarser in ("s", "ms"):
        factor = TICKS_PER_SECOND[unit] // TICKS_PER_SECOND[coarser]
        if not (ticks % factor).any():
            return ticks // factor, coarser
    return ticks, unit
