"""Words by hand."""

from dataclasses import replace

import pytest

from finestrec.stability.differences import Difference
from finestrec.stability.findings import Finding
from finestrec.stability.words import counted, deed, of_ten, probability, verdict


@pytest.mark.parametrize(
    ("spec", "change", "words"),
    [
        ("delete:random:0.001", {"removed": 103}, "Deleting 103 of 103,598 interactions"),
        ("delete:casper:1", {"removed": 1}, "Deleting 1 of 103,598 interactions (chosen by casper)"),
        ("replace:random:5", {"removed": 5, "added": 5}, "Replacing 5 of 103,598 interactions"),
        ("insert:random:1", {"added": 1}, "Inserting 1 interaction into 103,598"),
        ("insert:latest:2:item=popular", {"added": 2}, "Inserting 2 interactions into 103,598 (chosen by latest)"),
        ("delete:user:1", {"removed": 9, "erased_users": 1}, "Erasing 1 user (9 of 103,598 interactions)"),
        ("delete:item:2", {"removed": 1200, "erased_items": 2}, "Taking down 2 items (1,200 of 103,598 interactions)"),
        ("append:cut:7", {"added": 4000}, "Adding 4,000 interactions to 103,598"),
    ],
)
def test_deeds(spec: str, change: dict[str, float], words: str) -> None:
    assert deed(spec, {"interactions": 103_598, "removed": 0, "added": 0, **change}) == words


def test_numbers_with_nouns_and_intervals() -> None:
    assert counted(1, "user") == "1 user"
    assert counted(0, "user") == "0 users"
    assert counted(12_345.4, "user") == "12,345 users"
    assert of_ten({"mean": 0.25, "lower": 0.241, "upper": 0.26}) == "2.5 (2.4 to 2.6)"
    assert of_ten({"mean": 0.02, "lower": 0.016, "upper": 0.1}) == "0.20 (0.16 to 1.0)"
    assert of_ten({"mean": 0.0, "lower": 0.0, "upper": 0.0}) == "0.0 (0.0 to 0.0)"
    assert probability(0.0009) == "p < 0.001"
    assert probability(0.04567) == "p = 0.046"


@pytest.mark.parametrize(
    ("mean", "p", "words"),
    [
        (
            -0.14,
            0.0005,
            "0.50 (0.40 to 0.60) of 10 changed, 1.4 fewer (1.3 to 1.5; p < 0.001, corrected for 4 comparisons)"
            " than retraining",
        ),
        (0.14, 0.02, "1.4 more (1.3 to 1.5; p = 0.020, corrected for 4 comparisons) than retraining"),
        (0.005, 0.3, "not shown to differ (-0.05 to 0.15; p = 0.300, corrected for 4 comparisons) from retraining"),
    ],
)
def test_a_method_beside_retraining(mean: float, p: float, words: str) -> None:
    of = {"mean": 0.05, "lower": 0.04, "upper": 0.06}
    finding = Finding(
        regime="anchored-update",
        method="finest",
        perturbation="delete:random:1",
        seeds=1,
        n_users=9,
        measures={"Turnover@10": of["mean"]},
        intervals={"Turnover@10": {"lower": of["lower"], "upper": of["upper"]}},
        ndcg_change={"mean": -0.001, "lower": -0.009, "upper": 0.002},
        seconds=0.0,
    )
    values = {"mean": mean, "lower": mean - 0.01, "upper": mean + 0.01, "p": p, "p_corrected": p}
    beside = Difference("anchored-update", "delete:random:1", "finest", "retrain", 1, {"Turnover@10": values}, None, 4)
    said = verdict([finding], [beside])
    assert words in said
    assert said.endswith("at equal accuracy (NDCG@10 -0.1%, 95% interval -0.9% to +0.2%, against the incumbent).")
    worse = replace(finding, ndcg_change={"mean": -0.001, "lower": -0.011, "upper": 0.002})
    assert "but accuracy is not shown to be equal" in verdict([worse], [beside])
    assert "NDCG" not in verdict([replace(finding, ndcg_change=None)], [beside])
