"""Tables of users."""

from pathlib import Path

import polars as pl
import pytest

from finestrec.data.tables import open_file, open_frame
from finestrec.data.usertables import read_user_table
from finestrec.errors import DataError


def test_ids_stay_text_and_the_order_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text("age,userId,country\n30,007,DE\n41.5,8,\n")
    table = read_user_table(open_file(path))
    assert table.users.to_list() == ["007", "8"]
    assert table.properties.to_dicts() == [{"age": "30", "country": "DE"}, {"age": "41.5", "country": None}]
    assert table.is_text


@pytest.mark.parametrize("ending", ["tsv", "parquet"])
def test_integer_ids_of_either_kind_of_file(tmp_path: Path, ending: str) -> None:
    frame = pl.DataFrame({"user_id": [3, 1], "tier": ["a", "b"]})
    path = tmp_path / f"users.{ending}"
    if ending == "tsv":
        frame.write_csv(path, separator="\t")
    else:
        frame.write_parquet(path)
    table = read_user_table(open_file(path))
    assert table.users.to_list() == [3, 1]
    assert table.properties["tier"].to_list() == ["a", "b"]


def test_the_fingerprint_is_of_ids_and_values() -> None:
    def of(**columns: list[int]) -> str:
        table = read_user_table(open_frame(pl.DataFrame(columns)))
        first = table.fingerprint
        assert (first, table.properties.width) == (table.fingerprint, 1)
        return first

    prints = [of(user_id=[1, 2], a=[3, 4]), of(user_id=[2, 1], a=[3, 4]), of(user_id=[1, 2], a=[3, 5])]
    prints += [of(user_id=[1, 2], b=[3, 4])]
    assert len({*prints}) == 4
    assert of(user=[1, 2], a=[3, 4]) == prints[0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("users.csv", "person,a\n1,2\n", "no column looks like the user.* the columns are 'person', 'a'"),
        ("users.csv", "user_id\n1\n", "user ids and no other column"),
        ("users.csv", "user_id,a\n1,2\n,3\n", r"data row 2 \(line 3\), column 'user_id'"),
        ("users.csv", "user_id,a\n", "no rows"),
        ("users.csv", "user_id,a\n1,2\n1,3\n", "user 1 has more than one row"),
        ("users.xlsx", "1\n2\n", "files that end in '.xlsx' cannot be read"),
        ("users.parquet", "no parquet", "cannot be read as Parquet"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_user_table(open_file(tmp_path / name))
