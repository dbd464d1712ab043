import numpy as np
import pytest

from finestrec.errors import OptionError
from finestrec.measures import overlap
from finestrec.measures.names import Measure, parse_measure

A = np.array([[0, 1, 2, 3, 4], [5, 6, 7, 8, -1]])
B = np.array([[1, 0, 5, 3, 9], [5, 7, -1, -1, -1]])

PRINTED = {
    "RBO(p=0.9)": lambda: overlap.rbo_extrapolated(A, B, 0.9),
    "RBO(p=0.9)@3": lambda: overlap.rbo_extrapolated(A[:, :3], B[:, :3], 0.9),
    "RBOtruncated(p=0.9)@3": lambda: overlap.rbo_truncated(A[:, :3], B[:, :3], 0.9),
    "FRBO(p=0.9)@3": lambda: overlap.frbo(A, B, 0.9, 3),
    "AverageOverlap@all": lambda: overlap.average_overlap(A, B),
    "AverageOverlap@3": lambda: overlap.average_overlap(A[:, :3], B[:, :3]),
    "Jaccard@3": lambda: overlap.jaccard(A, B, 3),
    "Turnover@3": lambda: overlap.turnover(A, B, 3),
    "Top1Change": lambda: overlap.top1_change(A, B),
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_name_computes_what_it_says_and_is_printed_as_it_was_read(name):
    measure = parse_measure(name)
    assert measure.name == str(measure) == name
    assert measure(A, B).tolist() == PRINTED[name]().tolist()
    assert parse_measure(measure.name) == measure
    assert measure.is_change == name.startswith("T")


def test_spellings_of_one_measure():
    assert parse_measure(" FRBO( p = 0.90 )@010 ") == Measure("FRBO", p=0.9, k=10)
    assert Measure("Jaccard", k=np.int64(10)).name == "Jaccard@10"
    assert Measure("RBO", p=np.float32(0.5)).name == "RBO(p=0.5)"


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("RBO(p=0.9)", 394),
        ("FRBO(p=0.9)@10", 10),
        ("AverageOverlap@all", 952),
        ("Jaccard@2000", 952),
        ("Top1Change", 1),
    ],
)
def test_ranks_that_a_measure_needs(name, depth):
    assert parse_measure(name).depth(952) == depth


@pytest.mark.parametrize(
    "name",
    [
        "rbo(p=0.9)", "RBO", "RBO@10", "RBO(0.9)", "RBO(p=0.9)@all", "RBOtruncated(p=0.9)", "FRBO(p=0.9)", "FRBO@10",
        "AverageOverlap", "AverageOverlap(p=0.9)@10", "Jaccard", "Jaccard@all", "Jaccard(p=0.9)@10", "Turnover",
        "Top1Change@1", "Kendall@10", "", "NDCG@10", "Jaccard@-1", "Jaccard@10 < 0.7",
    ],
)  # fmt: skip
def test_unknown_names_list_the_choices(name):
    with pytest.raises(OptionError, match=r"the choices are RBO\(p=0\.9\), .*, Top1Change"):
        parse_measure(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("RBO(p=1)", "strictly between 0 and 1"),
        ("RBO(p=nan)", "strictly between 0 and 1"),
        ("FRBO(p=x)@10", "p is 'x'"),
        ("Jaccard@0", "k is 0"),
    ],
)
def test_parameters_out_of_range(name, message):
    with pytest.raises(OptionError, match=message):
        parse_measure(name)
