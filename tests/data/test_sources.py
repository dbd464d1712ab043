import gzip
import os

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_log import check_invariants, rows_of, slow_read

from finestrec.data.alignment import align
from finestrec.data.log import InteractionLog
from finestrec.data.sources import log_from_frame, read_log, write_log
from finestrec.errors import DataError

ROWS = [("u1", "a", 30), ("u2", "b", 10), ("u1", "b", 10), ("u1", "a", 30)]
EXPECTED = [("u1", "b", 10, 2), ("u1", "a", 30, 0), ("u1", "a", 30, 3), ("u2", "b", 10, 1)]


def table(separator: str = ",", header: str | None = "user,item,timestamp", end: str = "\n") -> str:
    lines = [] if header is None else [header.replace(",", separator)]
    lines += [separator.join(map(str, row)) for row in ROWS]
    return end.join(lines) + end


# Files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.csv", table()),
        ("log.CSV", table()),
        ("log.csv", table(end="\r\n")),
        ("log.csv", "\ufeff" + table()),
        ("log.csv", table().rstrip("\n")),
        ("log.csv", table() + "\n\n"),
        ("log.csv", table(";")),
        ("log.csv", table(header=None)),
        ("log.csv", table(header="User ID, Item ID, Time")),
        ("log.csv", table(header="visitorId,productId,DateTime")),
        ("log.csv", 'item,ts,"uid",rating\n' + "".join(f'{i},{t},"{u}",\n' for u, i, t in ROWS)),
        ("log.tsv", table("\t")),
        ("log.tsv", table("\t", header=None)),
        ("log.txt", table("\t")),
        ("log.txt", table(",")),
        ("log.csv.gz", gzip.compress(table().encode())),
        ("log.tsv.gz", gzip.compress(table("\t", header=None).encode())),
        (
            "log.inter",
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
            + "".join(f"{u}\t{i}\t3.5\t{t}\n" for u, i, t in ROWS),
        ),
    ],
)
def test_the_same_log_in_many_files(write, name, content):
    log = read_log(write(name, content))
    check_invariants(log)
    assert rows_of(log) == EXPECTED
    assert log.time_unit == "s"


def test_compressed_with_zstandard(tmp_path):
    import pyarrow

    with pyarrow.CompressedOutputStream(str(tmp_path / "log.csv.zst"), "zstd") as file:
        file.write(table().encode())
    assert rows_of(read_log(str(tmp_path / "log.csv.zst"))) == EXPECTED
    with pyarrow.CompressedOutputStream(str(tmp_path / "bad.csv.zst"), "zstd") as file:
        file.write(b"user,item,timestamp\n1,2,x\n")
    with pytest.raises(DataError, match=r"data row 1, column 'timestamp': 'x' is not a time"):
        read_log(tmp_path / "bad.csv.zst")


def test_text_ids_are_kept_as_they_stand(write):
    log = read_log(write("log.csv", "user,item,timestamp\n u ,007,1\nu,7,2\n"))
    assert {(user, item) for user, item, *_ in rows_of(log)} == {(" u ", "007"), ("u", "7")}


def test_parquet_keeps_its_types(tmp_path):
    frame = pl.DataFrame(ROWS, schema=["user_id", "item_id", "timestamp"], orient="row")
    frame.with_columns(extra=pl.lit(1)).write_parquet(tmp_path / "log.parquet")
    assert rows_of(read_log(tmp_path / "log.parquet")) == EXPECTED
    text = pl.DataFrame({"user": ["1", "01"], "item": ["7", "8"], "time": [1, 2]})
    text.write_parquet(tmp_path / "text.parquet")
    assert read_log(tmp_path / "text.parquet").vocabulary.items.to_list() == ["7", "8"]


def test_columns_named_by_options(write):
    path = write("log.csv", "time,who,user,what\n5,3,x,9\n")
    log = read_log(path, user="who", item="what", timestamp="time")
    assert rows_of(log) == [(3, 9, 5, 0)]
    path = write("log.inter", "who:token\twhat:token\twhen:float\n3\t9\t5\n")
    assert rows_of(read_log(path, user="who", item="what", timestamp="when")) == [(3, 9, 5, 0)]


def test_columns_of_a_headerless_file_named_by_position(write):
    path = write("u.tsv", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n")
    with pytest.raises(DataError, match=r"u\.tsv has 4 columns and no header line.*timestamp='column_4'"):
        read_log(path)
    assert rows_of(read_log(path, timestamp="column_4")) == [(186, 302, 891717742, 1), (196, 242, 881250949, 0)]


def test_whether_there_is_a_header_can_be_said(write):
    path = write("odd.csv", "user,item,timestamp\nb,c,2\n")
    with pytest.raises(DataError, match=r"data row 1 \(line 1\), column 'column_3': 'timestamp' is not a time"):
        read_log(path, header=False)
    path = write("data.csv", "user,item,5\nb,c,2\n")
    assert len(read_log(path)) == 2  # the third field is a time: no header
    with pytest.raises(DataError, match="no column looks like the timestamp"):
        read_log(path, header=True)


def test_a_path_is_a_name_and_not_a_pattern(tmp_path):
    (tmp_path / "a[1]*.csv").write_text(table())
    (tmp_path / "a1.csv").write_text("nonsense")
    assert rows_of(read_log(tmp_path / "a[1]*.csv")) == EXPECTED


def test_min_length_applies_before_the_vocabulary_is_frozen(write):
    log = read_log(write("log.csv", table() + "u2,c,99\n"), min_length=3)
    assert log.vocabulary.users.to_list() == ["u1"]
    assert log.vocabulary.items.to_list() == ["a", "b"]


# Ids --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["10", "9", "-3"], [-3, 9, 10]),
        (["007", "7"], ["007", "7"]),
        (["0", "-0"], ["-0", "0"]),
        (["+7", "7"], ["+7", "7"]),
        (["7", "x"], ["7", "x"]),
        ([" 7", "8 "], [7, 8]),
        ([" a", "a"], [" a", "a"]),
        (["12.0", "3.0"], [3, 12]),
        (["12.5", "3.0"], ["12.5", "3.0"]),
        (["1.0", "1"], ["1", "1.0"]),
        (["1e3", "5"], ["1e3", "5"]),
        (["18446744073709551615", "5"], ["18446744073709551615", "5"]),
        (["é", "z", "Z", "𝄞", "￿"], ["Z", "z", "é", "￿", "𝄞"]),
        (["nan", "null"], ["nan", "null"]),
        (['"a,b"', '"c\nd"', '"e""f"'], ["a,b", "c\nd", 'e"f']),
        (['5" a 6" nail'], ['5" a 6" nail']),
    ],
)
def test_ids_of_text_files(write, written, read):
    path = write("log.csv", "user,item,timestamp\n" + "".join(f"{value},i,5\n" for value in written))
    assert read_log(path).vocabulary.users.to_list() == read


@pytest.mark.parametrize(
    ("given_ids", "read"),
    [
        (pl.Series([3, 1, 3], dtype=pl.UInt8), [1, 3]),
        (pl.Series([3.0, 1.0, 3.0]), [1, 3]),
        (pl.Series(["b", "a", "b"], dtype=pl.Categorical), ["a", "b"]),
        (pl.Series(["b", "a", "b"], dtype=pl.Enum(["b", "a"])), ["a", "b"]),
        (pl.Series(["3", "1", "3"]), ["1", "3"]),
    ],
)
def test_ids_of_frames_keep_their_type(given_ids, read):
    log = log_from_frame(pl.DataFrame({"user": given_ids, "item": given_ids, "time": [1, 2, 3]}))
    assert log.vocabulary.users.to_list() == log.vocabulary.items.to_list() == read


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (pl.Series([1, None]), r"row 1 \(counted from 0\), column 'item': nothing \(null\) is not an id"),
        (pl.Series([1.0, float("nan")]), "nan is not an id"),
        (pl.Series([1.0, 2.5]), r"row 1 .*2\.5 is not an id; ids are integers or text"),
        (pl.Series([1.0, 2.0**60]), "has lost digits as a float"),
        (pl.Series(["a", ""]), "row 1 .*'' is not an id"),
        (pl.Series(["a", "  "]), "row 1 .*'  ' is not an id"),
        (pl.Series([1, 2**64 - 1], dtype=pl.UInt64), "18446744073709551615 does not fit into 64 bits"),
        (pl.Series([True, False]), "column 'item': is of type Boolean; ids are integers or text"),
        (pl.Series([[1], [2]]), r"is of type List\(Int64\)"),
    ],
)
def test_ids_that_frames_cannot_have(ids, message):
    with pytest.raises(DataError, match=message):
        log_from_frame(pl.DataFrame({"user": [1, 2], "item": ids, "time": [1, 2]}))


# Times ------------------------------------------------------------------------------------------------------

UTC_NOON = 1_706_702_400  # 2024-01-31T12:00:00Z


@pytest.mark.parametrize(
    ("written", "ticks", "unit"),
    [
        (["5", "-7"], [5, -7], "s"),
        ([" 5", "7 "], [5, 7], "s"),
        (["99999999999"], [99_999_999_999], "s"),
        (["100000000000"], [100_000_000_000], "ms"),
        (["1706702400000"], [1_706_702_400_000], "ms"),
        (["1706702400000000"], [1_706_702_400_000_000], "us"),
        (["1706702400000000789"], [1_706_702_400_000_000], "us"),
        (["5.0", "1e3"], [5, 1000], "s"),
        (["1706702400.25", "1706702401"], [1_706_702_400_250, 1_706_702_401_000], "ms"),
        (["1706702400.123"], [1_706_702_400_123], "ms"),
        (["1706702400.123456"], [1_706_702_400_123_456], "us"),
        (["0.1234567"], [123_457], "us"),
        (["1706702400000.5"], [1_706_702_400_000_500], "us"),
        (["2024-01-31"], [UTC_NOON - 43_200], "s"),
        (["2024-01-31T12:00:00", "2024-01-31 12:00", "2024-01-31"], [UTC_NOON, UTC_NOON, UTC_NOON - 43_200], "s"),
        (["2024-01-31T12:00:00Z", "2024-01-31T14:00:00+02:00", "2024-01-31 10:30:00-0130"], [UTC_NOON] * 3, "s"),
        (["2024-01-31 12:00:00 UTC", "2024-01-31T12:00Z"], [UTC_NOON] * 2, "s"),
        (["2024-01-31T12:00:00.5"], [UTC_NOON * 1000 + 500], "ms"),
        (["2024-01-31T12:00:00.000007Z"], [UTC_NOON * 1_000_000 + 7], "us"),
        (["1969-12-31T23:59:59.5"], [-500], "ms"),
    ],
)
def test_times_of_text_files(write, written, ticks, unit):
    path = write("log.csv", "user,item,timestamp\n" + "".join(f"{at},i,{t}\n" for at, t in enumerate(written)))
    log = read_log(path)
    assert (log.times.tolist(), log.time_unit) == (ticks, unit)


@pytest.mark.parametrize(
    ("times", "ticks", "unit"),
    [
        (pl.Series([5, 7], dtype=pl.UInt16), [5, 7], "s"),
        (pl.Series([5.0, 7.0], dtype=pl.Float32), [5, 7], "s"),
        # One unit, counted from the first event, and from 1970 with a clock that stood at 0.
        (pl.Series([60_000, 120_000_000_000]), [60_000, 120_000_000_000], "ms"),
        (pl.Series([2**n for n in range(40)]), [2**n for n in range(40)], "ms"),
        (pl.Series([0, 1_700_000_000_000]), [0, 1_700_000_000_000], "ms"),
        (pl.Series([5.25, 7.0], dtype=pl.Float32), [5250, 7000], "ms"),
        (pl.Series(["5.25", "7"]).cast(pl.Decimal(10, 2)), [5250, 7000], "ms"),
        (pl.Series([19_753, 0]).cast(pl.Date), [19_753 * 86_400, 0], "s"),
        (pl.Series([5_000, 7_000]).cast(pl.Datetime("ms")), [5, 7], "s"),
        (pl.Series([5_000_001, 7_000_000]).cast(pl.Datetime("us")), [5_000_001, 7_000_000], "us"),
        (pl.Series([5_001_000, 7_000_000]).cast(pl.Datetime("us", "Europe/Berlin")), [5_001, 7_000], "ms"),
        (pl.Series([5_000_000_999, 7_000_000_000]).cast(pl.Datetime("ns")), [5, 7], "s"),
        (pl.Series(["2024-01-31", "1970-01-01"], dtype=pl.Categorical), [UTC_NOON - 43_200, 0], "s"),
    ],
)
def test_times_of_frames(times, ticks, unit):
    log = log_from_frame(pl.DataFrame({"user": range(len(times)), "item": 1, "time": times}))
    assert (log.times.tolist(), log.time_unit) == (ticks, unit)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (pl.Series([5, None]), r"row 1 \(counted from 0\), column 'time': nothing \(null\) is not a time"),
        (pl.Series([5.0, float("nan")]), "row 1 .*nan is not a time"),
        (pl.Series([5.0, float("inf")]), "row 1 .*inf is not a time"),
        (pl.Series([5.0, 1e300]), "1e.300 is too large for a time"),
        (pl.Series([5, 2**64 - 1], dtype=pl.UInt64), "too large for a time"),
        (pl.Series([5, 7]).cast(pl.Duration("us")), "is of type Duration"),
        (pl.Series([True, False]), "is of type Boolean, which is not a time"),
        (pl.Series(["2024-01-31", "9999-12-31"]), "'9999-12-31' is after the year 5138"),
        (pl.Series([1_700_000_000_000, 1_700_000_001]), "row 1 .*1700000001 is of a coarser unit than other times"),
        (pl.Series([1_600_000_000, 1_700_000_000_000_000]), "1600000000 is of a coarser unit than other times"),
        (pl.Series([1.7e9 + 0.5, 1.6e12 + 0.5]), "1700000000.5 is of a coarser unit than other times"),
        (pl.Series([1_700_000_000_000, 650_000_000]), "650000000 is of a coarser unit than other times"),
        (pl.Series([1_700_000_000_000, -1, 1_600_000_000]), "1600000000 is of a coarser unit than other times"),
        (pl.Series([1_700_000_000_000_000, 1_700_000_000_000, 1_600_000_000]), "1700000000000 is of a coarser unit"),
    ],
)
def test_times_that_frames_cannot_have(times, message):
    with pytest.raises(DataError, match=message):
        log_from_frame(pl.DataFrame({"user": range(len(times)), "item": 1, "time": times}))


# What cannot be read ----------------------------------------------------------------------------------------

HEAD = "user,item,timestamp\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", "", r"log\.csv is empty"),
        ("log.csv", "\n\n", r"log\.csv: the first line is blank"),
        ("log.csv", HEAD, r"log\.csv has columns but no rows"),
        ("log.csv", HEAD + "\n\n", "has columns but no rows"),
        ("log.csv", HEAD + "1,2,3\n,2,3\n", r"log\.csv, data row 2 \(line 3\), column 'user': nothing \(null\)"),
        ("log.csv", HEAD + '1,2,3\n1,"",3\n', r"data row 2 \(line 3\), column 'item': '' is not an id"),
        ("log.csv", HEAD + "1,2,3\n1, ,3\n", r"column 'item': ' ' is not an id"),
        ("log.csv", HEAD + "1,2,3\nnan,2,3\n", r"\(line 3\), column 'user': 'nan' is not an id among integers"),
        ("log.csv", "1,2,3\n1,2,\n", r"data row 2 \(line 2\), column 'column_3': nothing \(null\) is not a time"),
        ("log.csv", HEAD + "1,2,3\n1,2,x\n1,2,y\n", r"\(line 3\), .*'x' is not a time; .*\(1 more rows like it\)"),
        ("log.csv", HEAD + "1,2,nan\n", "'nan' is not a time"),
        ("log.csv", HEAD + "1,2,2024-13-31\n", "'2024-13-31' is not a time; expected seconds"),
        ("log.csv", HEAD + "1,2,2024-01-31\n1,2,77\n", r"\(line 3\), column 'timestamp': '77' is not a time"),
        ("log.csv", HEAD + "1,2,77\n1,2,2024-01-31\n", r"'2024-01-31' is not a time.*first row is a number"),
        ("log.csv", HEAD + "1,2,3\n\n1,2,3\n", r"data row 2 \(line 3\)"),
        ("log.csv", HEAD + "1,2,3\n1,2\n", r"data row 2 \(line 3\), column 'timestamp': nothing"),
        ("log.csv", HEAD + "1,2,3\n1,2,3,4\n", r"log\.csv, line 3: more fields than the 3 of the first line"),
        ("log.csv.gz", gzip.compress((HEAD + "1,2,3\n1,2,3,4\n").encode()), r"line 3: more fields"),
        ("log.csv", HEAD + '1,2,3\n"x,2,3\n', "a quotation mark is not closed"),
        ("log.csv", HEAD + '1,5" nail,3\n1,6" nail,3\n1,x,3\n', "a quotation mark .*stands inside a field"),
        ("log.csv", HEAD + "1,2\n1,2,3\n", r"data row 1 \(line 2\), column 'timestamp': nothing"),
        ("log.csv", HEAD + "\n1,2,3\n", r"data row 1 \(line 2\)"),
        ("log.csv", 'user,item,timestamp,text\n1,2,3,"a\nb"\n1,2,x,c\n', r"data row 2 \(line 4\), .*'x' is not a time"),
        ("log.csv", "a,b,c\n1,2,3\n", r"looks like the user .* columns are 'a', 'b', 'c'\. .*option 'user'"),
        ("log.csv", "user,item\n1,2\n", r"no column looks like the timestamp .*'timestamp', 'time' or 'date'"),
        ("log.csv", "1,2\n3,4\n", "has 2 columns and no header line"),
        ("log.csv", "1\n3\n", "has 1 column and no header line"),
        ("log.csv", "user,uid,item,time\n1,2,3,4\n", r"user could be any of the columns 'user', 'uid'; name one"),
        ("log.csv", "user,item,time,time\n1,2,3,4\n", "timestamp could be any of the columns 'time', 'time'"),
        ("log.csv", b"user,item,time\nJos\xe9,2,3\n", r"log\.csv is not UTF-8 text; convert it"),
        ("log.csv", "user,item,time\n1,2,3\n".encode("utf-16"), "is not UTF-8 text"),
        ("log.csv", b"\x7fELF\x00\x00\x01", "is not UTF-8 text"),
        ("log.csv", b"PAR1....PAR1", r"is a Parquet file; let its name end in \.parquet"),
        ("log.tsv", table(), "has 1 column|looks like the user"),
        ("log.csv.gz", gzip.compress(table().encode())[:30], r"log\.csv\.gz cannot be read"),
        ("log.parquet", "user,item,time\n", r"log\.parquet cannot be read as Parquet"),
        ("log.parquet", b"", "cannot be read as Parquet"),
        ("log.xlsx", "user,item,time\n", r"files that end in '\.xlsx' cannot be read; known are \.csv, \.tsv"),
        ("log", table(), "files that end in 'nothing' cannot be read"),
        ("log.parquet.gz", b"", "cannot be read; known are"),
    ],
)
def test_bad_files_are_refused_in_a_sentence(write, name, content, message):
    with pytest.raises(DataError, match=message):
        read_log(write(name, content))


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(DataError, match=r"there is no file .*nowhere.csv"):
        read_log(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="is a directory; name a file in it"):
        read_log(tmp_path)


def test_options_that_name_no_column(write):
    path = write("log.csv", table())
    with pytest.raises(DataError, match="no column is called 'who'; the columns are 'user', 'item', 'timestamp'"):
        read_log(path, user="who")
    with pytest.raises(DataError, match="'item' is named as both user and item"):
        read_log(path, user="item")


def test_things_that_are_no_frames():
    with pytest.raises(DataError, match="expected a pandas or polars frame, found list"):
        log_from_frame([1, 2])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="the frame has columns but no rows"):
        log_from_frame(pl.DataFrame({"user": [], "item": [], "time": []}))
    with pytest.raises(DataError, match="the frame: no column looks like the user"):
        log_from_frame(pl.DataFrame({"a": [1], "item": [1], "time": [1]}))


# pandas -----------------------------------------------------------------------------------------------------


def test_a_pandas_frame_is_read_by_position_and_not_edited():
    frame = pd.DataFrame(ROWS, columns=["user", "item", "timestamp"], index=[9, 3, 3, 0])
    frame["other"] = [object(), 1, "x", None]
    before = frame.copy(deep=True)
    log = InteractionLog.from_frame(frame)
    assert rows_of(log) == EXPECTED
    pd.testing.assert_frame_equal(frame, before)
    frame["timestamp"] = 0
    assert rows_of(log) == EXPECTED


def test_a_numpy_column_of_the_caller_stays_writeable():
    times = np.array([3, 1, 2])
    log_from_frame(pl.DataFrame({"user": [1, 1, 1], "item": [1, 2, 3], "time": times}))
    assert times.flags.writeable
    frame = pd.DataFrame({"user": [1, 1, 1], "item": [1, 2, 3], "time": times})
    log_from_frame(frame)
    frame.loc[0, "time"] = 7


@pytest.mark.parametrize(
    ("column", "read"),
    [
        (pd.Series([5, 3], dtype="int32"), [3, 5]),
        (pd.Series([5, 3], dtype="Int64"), [3, 5]),
        (pd.Series([5, 3], dtype=object), [3, 5]),
        (pd.Series(["b", "a"], dtype=object), ["a", "b"]),
        (pd.Series(["b", "a"], dtype="category"), ["a", "b"]),
        (pd.Series([5, 3], dtype="category"), [3, 5]),
    ],
)
def test_pandas_ids(column, read):
    log = log_from_frame(pd.DataFrame({"user": column, "item": [1, 2], "date": ["2024-01-31", "2024-02-01"]}))
    assert log.vocabulary.users.to_list() == read


def test_pandas_datetimes_and_column_numbers():
    times = pd.to_datetime(pd.Series(["2024-01-31 13:00", "2024-01-31 14:00"])).dt.tz_localize("Europe/Berlin")
    frame = pd.DataFrame({0: [1, 2], 1: ["a", "b"], 2: times})
    assert log_from_frame(frame, user="0", item="1", timestamp="2").times.tolist() == [UTC_NOON, UTC_NOON + 3600]
    with pytest.raises(DataError, match=r"row 1 .*column 'time': nothing"):
        log_from_frame(pd.DataFrame({"user": [1, 2], "item": [1, 2], "time": [times[0], pd.NaT]}))


def test_ids_of_a_text_file_are_read_as_those_of_an_earlier_log(tmp_path):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("user,item,time\n1,7,1\n1,x9,2\n2,10,3\n")
    second.write_text("user,item,time\n1,7,1\n2,10,3\n")
    stored = read_log(first)
    alone, like = read_log(second), read_log(second, like=stored)
    assert (alone.vocabulary.items.to_list(), like.vocabulary.items.to_list()) == ([7, 10], ["10", "7"])
    assert like.vocabulary.users.to_list() == [1, 2]
    with pytest.raises(DataError, match="item ids are integers"):
        align(alone, stored)
    assert align(like, stored).interaction_ids.tolist() == [0, 2]
    typed = tmp_path / "typed.parquet"
    pl.read_csv(second).write_parquet(typed)
    assert read_log(typed, like=stored).vocabulary.items.to_list() == [7, 10]  # has types of its own


def test_pandas_columns_of_mixed_values():
    with pytest.raises(DataError, match="column 'user', row 1: 'a' is of type str; the column begins with 1"):
        log_from_frame(pd.DataFrame({"user": pd.Series([1, "a"], dtype=object), "item": [1, 2], "time": [1, 2]}))


# Writing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["log.csv", "log.tsv", "log.parquet"])
def test_written_in_the_order_of_the_log(tmp_path, name):
    path = tmp_path / name
    path.write_text("an older file")
    write_log(log_from_frame(pl.DataFrame(ROWS, schema=["user", "item", "time"], orient="row")), path)
    if name == "log.parquet":
        frame = pl.read_parquet(path)
        assert frame.drop_in_place("interaction_id").to_list() == [1, 2, 0, 3]
    else:
        frame = pl.read_csv(path, separator="\t" if name == "log.tsv" else ",")
    assert frame.columns == ["user_id", "item_id", "timestamp"]
    assert frame.rows() == [("u2", "b", 10), ("u1", "b", 10), ("u1", "a", 30), ("u1", "a", 30)]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_places_that_cannot_be_written(tmp_path):
    log = log_from_frame(pl.DataFrame(ROWS, schema=["user", "item", "time"], orient="row"))
    with pytest.raises(DataError, match=r"written as \.csv, \.tsv or \.parquet, not as '\.json'"):
        write_log(log, tmp_path / "log.json")
    with pytest.raises(DataError, match="there is no folder"):
        write_log(log, tmp_path / "nowhere" / "log.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="is a directory"):
        write_log(log, tmp_path / "folder.csv")
    if os.geteuid():  # root may write anywhere
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(DataError, match="cannot be written"):
            write_log(log, tmp_path / "closed" / "log.csv")


# Round trips ------------------------------------------------------------------------------------------------

# Ends in a letter, so that no column of a text file looks like integers.
TEXT_ID = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4).map(lambda t: t + "x")
INTEGER_ID = st.integers(-(2**63), 2**63 - 1)
SECONDS = st.integers(-(10**11) + 1, 10**11 - 1)
SHORT_FLOATS = st.integers(-(10**13), 10**13).map(lambda us: us / 10**6)


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    size = draw(st.integers(1, 20))

    def column(values: st.SearchStrategy) -> list:
        return draw(st.lists(values, min_size=size, max_size=size))

    pool = draw(st.sampled_from([TEXT_ID, INTEGER_ID, st.integers(0, 3)]))
    return pl.DataFrame(
        {
            "user": column(draw(st.sampled_from([TEXT_ID, INTEGER_ID, st.integers(0, 3)]))),
            "item": column(pool),
            "time": column(draw(st.sampled_from([SECONDS, st.integers(0, 3), SHORT_FLOATS]))),
        },
        strict=False,
    )


def microseconds(log: InteractionLog) -> list[int]:
    return [time * {"s": 10**6, "ms": 10**3, "us": 1}[log.time_unit] for time in log.times.tolist()]


@given(frames())
def test_frame_to_log_to_frame(frame):
    log = log_from_frame(frame)
    check_invariants(log)
    back = log.to_frame().sort("interaction_id")
    assert back["user_id"].to_list() == frame["user"].to_list()
    assert back["item_id"].to_list() == frame["item"].to_list()
    instants = np.array(microseconds(log))[np.argsort(log.interaction_ids)]
    assert instants.tolist() == [round(time * 10**6) for time in frame["time"].to_list()]


@given(frames(), st.sampled_from([".csv", ".tsv", ".parquet"]))
@settings(deadline=None)
def test_log_to_file_to_log(tmp_path_factory, frame, ending):
    log = log_from_frame(frame)
    path = tmp_path_factory.mktemp("round") / f"log{ending}"
    write_log(log, path)
    again = read_log(path)
    assert microseconds(again) == microseconds(log)
    assert again.items.tolist() == log.items.tolist()
    assert again.offsets.tolist() == log.offsets.tolist()
    assert again.vocabulary.users.to_list() == log.vocabulary.users.to_list()
    assert again.vocabulary.items.to_list() == log.vocabulary.items.to_list()
    assert again.order().tolist() == log.order().tolist()


# Real logs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "min_length", "users", "interactions", "items"),
    [
        ("reddit.tsv", 1, 8_640, 134_489, 966),
        ("reddit.tsv", 10, 4_675, 113_219, 952),
        ("foursquare.tsv", 1, 2_321, 194_105, 5_596),
        ("foursquare.tsv", 10, 2_106, 192_602, 5_596),
    ],
)
def test_real_logs_have_their_published_sizes(real_log, name, min_length, users, interactions, items):
    summary = read_log(real_log(name), min_length=min_length).summary()
    assert (summary.users, summary.interactions, summary.items) == (users, interactions, items)


def test_a_real_log_agrees_with_the_obvious_implementation(real_log):
    path = real_log("reddit.tsv")
    rows = [tuple(int(field) for field in line.split("\t")) for line in path.read_text().splitlines()]
    log = read_log(path, min_length=10)
    assert rows_of(log) == slow_read(rows, 10)
    assert 0.77 < read_log(path).summary().repeat_share < 0.79
