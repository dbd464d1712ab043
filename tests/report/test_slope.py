from finestrec.report.slope import COLUMN, GAP, ROW, slope
from finestrec.report.summary import ShownList


def test_lines_join_an_item_with_itself() -> None:
    picture = slope([ShownList("before", ("a", "b", "c")), ShownList("after", ("c", "x", "a"))])
    # a: rank 1 to 3, c: rank 3 to 1; b left and x entered, so they have no line.
    assert [(y1, y2) for _, y1, _, y2 in picture.lines] == [(37, 37 + 2 * ROW), (37 + 2 * ROW, 37)]
    assert all(x2 == COLUMN + GAP - 8 for _, _, x2, _ in picture.lines)
    fates = {(entry.full, entry.rank, entry.x): entry.fate for entry in picture.entries}
    assert fates["b", 2, 0] == "left"
    assert fates["x", 2, COLUMN + GAP] == "entered"
    assert fates["a", 1, 0] == fates["a", 3, COLUMN + GAP] == fates["c", 3, 0] == "kept"


def test_three_lists_are_told_against_the_first() -> None:
    picture = slope([ShownList("before", ("a",)), ShownList("retrain", ("b",)), ShownList("finest", ("a",))])
    assert [entry.fate for entry in picture.entries] == ["left", "entered", "kept"]
    assert picture.width == 3 * COLUMN + 2 * GAP
    assert picture.lines == ()


def test_long_items_are_cut_and_kept_whole_beside_it() -> None:
    (entry,) = slope([ShownList("before", ("x" * 100,))]).entries
    assert len(entry.text) == 24
    assert entry.full == "x" * 100


def test_lists_of_nothing_make_a_picture() -> None:
    assert slope([ShownList("before", ()), ShownList("after", ("a",))]).lines == ()
