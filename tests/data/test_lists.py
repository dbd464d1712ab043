"""Files of ids: the same users however a team writes them."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from finestrec.data.lists import read_ids_file
from finestrec.errors import DataError

INTEGERS, TEXT = pl.Int64(), pl.String()


def of(path: Path, content: str | bytes, dtype: pl.DataType = INTEGERS) -> tuple[list[object], list[object]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    known, foreign = read_ids_file(path, dtype, "user_id")
    return known.to_list(), foreign.to_list()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("u.txt", "7\n12\n\n7\n"),
        ("u", "7\n12\n"),
        ("u.csv", "7\n12\n"),
        ("u.csv", "\n7\n12\n"),
        ("u.csv", "user_id\n7\n12\n"),
        ("u.csv", "\ufeffuser_id\r\n7\r\n12\r\n"),
        ("u.csv", '"plan","userId"\n"free",7\n"paid",12\n'),
        ("u.csv", "user_id;item_id;timestamp\n7;1;2020-01-01\n12;1;2020-01-01\n"),
        ("u.tsv", "item_id\tuser_id\n1\t7\n2\t12\n3\t7\n"),
        ("u.inter", "user_id:token\titem_id:token\n7\t1\n12\t1\n"),
        ("u.csv.gz", gzip.compress(b"user_id,x\n7,1\n12,1\n")),
        ("u.csv.gz", gzip.compress(b"7\n12\n")),
        ("u.csv", "user_id,x\n7.0,1\n,1\n12.0,1\n"),
    ],
)
def test_the_same_users_in_every_format(name: str, content: str | bytes, tmp_path: Path) -> None:
    assert of(tmp_path / name, content) == ([7, 12], [])
    assert of(tmp_path / name, content, TEXT)[0] in (["7", "12"], ["7.0", "12.0"])


def test_what_cannot_be_an_id_among_integers_is_foreign_and_taken_for_no_other(tmp_path: Path) -> None:
    assert of(tmp_path / "u.csv", "user_id\n7\n007\n1.5\nabc\n7.0\n") == ([7], ["007", "1.5", "abc", "7.0"])
    assert of(tmp_path / "u.csv", "user_id\n7.0\n007.0\n") == ([], ["7.0", "007.0"])
    pl.DataFrame({"user_id": [7.0, 1.5, None]}).write_parquet(tmp_path / "u.parquet")
    known, foreign = read_ids_file(tmp_path / "u.parquet", INTEGERS, "user_id")
    assert (known.to_list(), foreign.to_list()) == ([7], ["1.5"])


def test_a_line_is_an_id_whatever_is_in_it(tmp_path: Path) -> None:
    assert of(tmp_path / "u.txt", "smith, john\ndoe;\n", TEXT) == (["smith, john", "doe;"], [])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("u.csv", b"", "names no users; expected one id a line, or a column user_id"),
        ("u.csv", b"user_id\n", "names no users"),
        ("u.csv", b"user_id,userId2,uid\n1,2,3\n", None),
        ("u.txt", b"\xff\xfe\x00", "is not UTF-8 text"),
        ("u.csv.gz", gzip.compress(b"1,2\n3,4\n"), "has no column user_id"),
        ("u.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_what_is_no_file_of_users(name: str, content: bytes, words: str | None, tmp_path: Path) -> None:
    if words is None:  # the exact name is the one, whatever else could be meant
        assert of(tmp_path / name, content) == ([1], [])
        return
    with pytest.raises(DataError, match=words):
        of(tmp_path / name, content)
    with pytest.raises(DataError, match="there is no file"):
        read_ids_file(tmp_path / "none", INTEGERS, "user_id")
