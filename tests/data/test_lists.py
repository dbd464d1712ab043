"""Tables of users."""

from pathlib import Path

import polars as pl
import pytest

from finestrec.data.lists import read_user_table
from finestrec.errors import DataError


def test_ids_stay_text_and_numbers_become_numbers(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text("age,user_id,country\n30,007,DE\n41.5,8,\n")
    table = read_user_table(path, pl.String())
    assert table.to_dicts() == [
        {"age": 30.0, "user_id": "007", "country": "DE"},
        {"age": 41.5, "user_id": "8", "country": None},
    ]


@pytest.mark.parametrize("ending", ["tsv", "parquet"])
def test_integer_ids_of_either_kind_of_file(tmp_path: Path, ending: str) -> None:
    frame = pl.DataFrame({"user_id": [3, 1], "tier": ["a", "b"]})
    path = tmp_path / f"users.{ending}"
    if ending == "tsv":
        frame.write_csv(path, separator="\t")
    else:
        frame.write_parquet(path)
    assert read_user_table(path, pl.Int64()).equals(frame)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("users.csv", "user,a\n1,2\n", "has no column user_id; its columns are user, a"),
        ("users.csv", "user_id,a\n1,2\n,3\n", "row 1: the user has no id"),
        ("users.csv", "user_id,a\n1,2\nx,3\n", "the user id 'x' is not an integer"),
        ("users.txt", "1\n2\n", "is read from .parquet, .csv or .tsv"),
        ("users.parquet", "no parquet", "cannot be read"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_user_table(tmp_path / name, pl.Int64())


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        read_user_table(tmp_path / "users.csv", pl.Int64())
