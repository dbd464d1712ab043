"""Which column of an input is the user, the item and the time."""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal, NamedTuple, get_args

from finestrec.data.places import shown
from finestrec.data.timestamps import is_time
from finestrec.errors import DataError

Role = Literal["user", "item", "timestamp"]
ROLES: tuple[Role, ...] = get_args(Role)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Compared in lower case without punctuation: "User ID", "userId" and "user_id:token" are all "userid".
SYNONYMS: dict[Role, frozenset[str]] = {
    "user": _words(
        "user userid uid username visitor visitorid customer customerid client clientid member memberid"
        " reviewer reviewerid account accountid"
    ),
    "item": _words(
        "item itemid iid product productid movie movieid article articleid track trackid song songid asin"
        " business businessid venue venueid poi poiid sku book bookid video videoid game gameid news newsid"
        " subreddit"
    ),
    "timestamp": _words(
        "timestamp timestamps time datetime date ts unixtime unixtimestamp unixreviewtime eventtime"
        " createdat createdutc utc"
    ),
}
LIST_SYNONYMS: dict[str, frozenset[str]] = {
    "user": SYNONYMS["user"],
    "item": SYNONYMS["item"],
    "rank": _words("rank position"),
    "score": _words("score prediction"),
}
"""As RecTools (user_id, item_id, score, rank), LensKit (user, item, or user_id, item_id, rank, score) and RecBole
(user_id:token, ...) write lists. Together with "items" for a column of whole lists."""
_RECBOLE_TYPE = re.compile(r":(token|float|token_seq|float_seq)$")
_POSITION = re.compile(r"column_([1-9]\d*)$")


class Columns(NamedTuple):
    """Positions of the three columns, from 0."""

    user: int
    item: int
    timestamp: int


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", _RECBOLE_TYPE.sub("", name.strip()).lower())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(shown(name) for name in names[:20]) + (", ..." if len(names) > 20 else "")


def _candidates(names: Sequence[str], role: Role, wanted: str | None) -> list[int]:
    if wanted is None:
        return [at for at, name in enumerate(names) if _plain(name) in SYNONYMS[role]]
    exact = [at for at, name in enumerate(names) if name == wanted]
    return exact or [at for at, name in enumerate(names) if _RECBOLE_TYPE.sub("", name.strip()) == wanted]


def find_columns(names: Sequence[str], wanted: Mapping[Role, str | None], source: str) -> Columns:
    """The three columns among named ones.

    Args:
        names: Column names in the order of the input.
        wanted: Names that the caller gave; None where the synonyms decide.
        source: What the error messages call the input.

    Raises:
        DataError: If a column is missing, if two could be meant, or if one is meant twice.
    """
    found: dict[Role, int] = {}
    for role in ROLES:
        candidates = _candidates(names, role, wanted[role])
        if not candidates:
            asked = wanted[role]
            missing = (
                f"no column is called {asked!r}"
                if asked is not None
                else f"no column looks like the {role} (expected a name like {_examples(role)})"
            )
            raise DataError(
                f"{source}: {missing}; the columns are {_listed(names)}. Name the right one with the option"
                f" {role!r} (--set data.{role}=NAME); if the file has no header line and its columns are user, item,"
                " timestamp, say header=False (--set data.header=false)"
            )
        if len(candidates) > 1:
            raise DataError(
                f"{source}: the {role} could be any of the columns"
                f" {_listed([names[at] for at in candidates])}; name one with the option {role!r}"
                f" (--set data.{role}=NAME)"
            )
        found[role] = candidates[0]
    for first, second in combinations(ROLES, 2):
        if found[first] == found[second]:
            raise DataError(
                f"{source}: column {names[found[first]]!r} is named as both {first} and {second};"
                f" correct one of the options {first!r} and {second!r}"
            )
    return Columns(**found)


def _examples(role: Role) -> str:
    return {
        "user": "'user', 'user_id' or 'uid'",
        "item": "'item', 'item_id' or 'product_id'",
        "timestamp": "'timestamp', 'time' or 'date'",
    }[role]


def recognised_column(names: Sequence[str], known: frozenset[str], what: str, source: str) -> int | None:
    """Position of the column whose name is a synonym, or None.

    Args:
        names: Column names in the order of the input.
        known: Synonyms, in lower case without punctuation.
        what: What the column holds, for the error.
        source: What the error message calls the input.

    Raises:
        DataError: If there are several.
    """
    found = [at for at, name in enumerate(names) if _plain(name) in known]
    if len(found) > 1:
        raise DataError(
            f"{source}: the {what} could be any of the columns {_listed([names[at] for at in found])}; keep one of them"
        )
    return found[0] if found else None


def required_column(names: Sequence[str], known: frozenset[str], what: str, source: str) -> int:
    """Position of the column whose name is a synonym.

    Raises:
        DataError: If there is none, or several.
    """
    found = recognised_column(names, known, what, source)
    if found is None:
        raise DataError(
            f"{source}: no column looks like the {what}; expected a name like {what}_id, and a line of names at the top"
            f" of a text file; the columns are {_listed(names)}"
        )
    return found


def positional_columns(width: int, wanted: Mapping[Role, str | None], source: str) -> Columns:
    """The three columns of a file without a header: user, item, timestamp, or `column_1`, ... as named.

    Raises:
        DataError: If there are not exactly three columns and the caller named none.
    """
    if any(name is not None for name in wanted.values()):
        defaults: dict[Role, str] = {"user": "column_1", "item": "column_2", "timestamp": "column_3"}
        return find_columns(
            [f"column_{at + 1}" for at in range(width)],
            {role: wanted[role] or defaults[role] for role in ROLES},
            source,
        )
    if width != 3:
        raise DataError(
            f"{source} has {width} column{'s' * (width != 1)} and no header line; without a header the three"
            " columns user, item, timestamp are expected. Check the separator, add a header line, or name"
            " columns by position, e.g. timestamp='column_4'"
        )
    return Columns(0, 1, 2)


def has_header(fields: Sequence[str], wanted: Mapping[Role, str | None]) -> bool:
    """Whether the first row of a text file names the columns.

    Names that the caller gave decide. Else three fields of which the third is a time are data, and a row with
    any recognised name is a header; a row with numbers is data and a row of unknown words is a header.
    """
    given = [name for name in wanted.values() if name is not None]
    if given:
        return any(name in fields for name in given) or not all(_POSITION.match(name) for name in given)
    if len(fields) == 3 and is_time(fields[2]):
        return False
    if any(_candidates(fields, role, None) for role in ROLES):
        return True
    return not any(is_time(field) for field in fields)
