"""What is known of users: one row a user, with a column of ids and others to slice results by."""

import hashlib
from dataclasses import dataclass

import polars as pl

from finestrec.data.columns import LIST_SYNONYMS, required_column
from finestrec.data.identifiers import read_ids
from finestrec.data.places import shown
from finestrec.data.tables import Table
from finestrec.errors import DataError


@dataclass(frozen=True, eq=False)
class UserTable:
    """Properties of users.

    Attributes:
        source: Of what file or frame, for messages.
        is_text: Whether that was a text file, whose values have no type.
        users: Raw ids, each once, shape (n,).
        properties: The other columns, n rows.
    """

    source: str
    is_text: bool
    users: pl.Series
    properties: pl.DataFrame

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when any value does."""
        table = self.users.alias("user_id").to_frame().hstack(self.properties)
        return hashlib.blake2b(table.write_csv().encode(), digest_size=8).hexdigest()


def read_user_table(table: Table) -> UserTable:
    """Users and what is known of them.

    Args:
        table: A column of user ids, and others.

    Raises:
        DataError: If there is no column of ids or no other one, there are no rows, a user has no id or two rows, or a
            column is of lists.
    """
    at = required_column(table.names, LIST_SYNONYMS["user"], "user", table.source)
    others = [where for where in range(len(table.names)) if where != at]
    if not others:
        raise DataError(f"{table.source} has user ids and no other column; expected columns to slice by")
    column, *properties = table.read([at, *others])
    if len(column) == 0:
        raise DataError(f"{table.source} has columns but no rows; expected one row a user")
    users = read_ids(column, table.place(at))
    if users.n_unique() < len(users):
        user = users.filter(users.is_duplicated())[0]
        raise DataError(f"{table.source}: user {shown(user)} has more than one row; expected one row a user")
    for where, values in zip(others, properties, strict=True):
        if values.dtype.is_nested():
            raise table.place(where).refuse(f"is of type {values.dtype}; expected text, numbers or dates")
    named = [values.alias(table.names[where]) for where, values in zip(others, properties, strict=True)]
    return UserTable(table.source, table.is_text, users, pl.DataFrame(named))
