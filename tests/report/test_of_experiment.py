"""The page of an experiment: what stands in it, of results that are written by hand."""

import re
from dataclasses import replace

import pytest

from finestrec.report.of_experiment import experiment_page
from finestrec.stability.sweeps import Sweep
from finestrec.stability.tradeoffs import SHOWN, Line, Panel, Tradeoffs


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "lower": mean - 0.01, "upper": mean + 0.01}


def line(method: str, overlap: float, kept: float | None = None, **more: object) -> Line:
    values: dict[str, object] = {
        "method": method,
        "family": method.partition(":")[0],
        "strength": None,
        "measures": {name: interval(0.4 if name == "NDCG@10" else overlap) for name in SHOWN},
        "seeds": {name: {"lower": overlap, "upper": overlap} for name in SHOWN},
        "ndcg_change": interval(-0.02),
        "equally_accurate": False,
        "on_front": False,
        "beaten_by": [],
        "kept_gain": None if kept is None else interval(kept),
        "against": None,
        "seconds": 12.0,
        "peak_memory": 3_000_000,
        "seconds_ratio": 1.5,
        "memory_ratio": None,
    }
    return Line(**{**values, **more})  # type: ignore[arg-type]


@pytest.fixture
def panel() -> Panel:
    slices = [
        {"slice": "activity", "group": group, "users": 3, "method": method, "measure": measure} | interval(0.25)
        for group in ("1 to 4", "5 to 9")
        for method in ("retrain", "finest:weight=1", "finest:weight=3")
        for measure in ("NDCG@10", "FRBO(p=0.9)@10")
    ]
    return Panel(
        regime="anchored-update",
        perturbation="append:cut:1",
        seeds=2,
        n_users=1234,
        lines=[
            line("retrain", 0.5, 1.0, beaten_by=["finest:weight=1", "finest:weight=3"], equally_accurate=True),
            line("finest:weight=1", 0.6, 0.75, beaten_by=["finest:weight=3"]),
            line("finest:weight=3", 0.7, 0.5, on_front=True),
        ],
        hypervolumes={"retrain": interval(0.0), "finest": interval(0.0125)},  # type: ignore[dict-item]
        gain=interval(0.04),  # type: ignore[arg-type]
        gain_note=None,
        baseline=None,
        sweeps=[Sweep("weight", ["finest:weight=1", "finest:weight=3"], [1.0, 3.0])],
        cold_start=slices,
    )


def cells(page: str, first: str) -> list[list[str]]:
    return [row.strip("| ").split(" | ") for row in page.splitlines() if row.startswith(f"| `{first}` |")]


def test_a_panel_has_its_methods_its_areas_its_sweeps_and_its_groups(panel: Panel) -> None:
    page, pictures = experiment_page("A *title*", [Tradeoffs("log", "lrurec", [panel], [])], {})
    assert page.startswith("# A \\*title\\*\n")
    assert "### anchored-update, `append:cut:1`\n\n1,234 users with test interactions, 2 seeds." in page
    assert "changes NDCG@10 of the incumbent by +4.0% [+3.0%, +5.0%]" in page
    whole, sweep, seeds, group = cells(page, "finest:weight=1")
    assert whole[1:4] == ["0.4000 [0.3900, 0.4100]", "0.6000 [0.5900, 0.6100]", "0.6000 [0.5900, 0.6100]"]
    assert whole[5:] == [
        "-2.0% [-3.0%, -1.0%]",
        "no",
        "",
        "`finest:weight=3`",
        "75.0% [74.0%, 76.0%]",
        "12.0 (x 1.50)",
        "3.0",
    ]
    assert sweep == ["`finest:weight=1`", "1.0", "0.6000 [0.5900, 0.6100]", "0.4000 [0.3900, 0.4100]"]
    assert seeds == ["`finest:weight=1`", "0.6000 to 0.6000", "0.6000 to 0.6000"]
    assert group == ["`finest:weight=1`", "0.250 / 0.250", "0.250 / 0.250"]
    # Beaten by two: the one of more overlap is named.
    assert cells(page, "retrain")[0][8] == "`finest:weight=3` and 1 more"
    assert cells(page, "finest:weight=3")[0][7] == "**yes**"
    # The larger area comes first.
    areas = re.findall(r"^\| `(\w+)` \| (\d) \| ([\d.]+) \[", page, flags=re.MULTILINE)
    assert areas == [("finest", "2", "12.50"), ("retrain", "1", "0.00")]
    assert set(re.findall(r"pictures/(.+?)\.svg", page)) == set(pictures)
    assert len(pictures) == 2


def test_what_a_baseline_is_beaten_by_stands_in_a_table_of_its_own(panel: Panel) -> None:
    against = {"FRBO(p=0.9)@10": interval(0.012), "NDCG@10": interval(-0.004)}
    lines = [each if each.method == "retrain" else replace(each, against=against) for each in panel.lines]  # type: ignore[arg-type]
    page, _ = experiment_page(
        "t", [Tradeoffs("log", "lrurec", [replace(panel, lines=lines, baseline="retrain")], [])], {}
    )
    _, beside, *_ = cells(page, "finest:weight=1")
    assert beside == ["`finest:weight=1`", "+0.0120 [+0.0020, +0.0220]", "-0.40% [-1.40%, +0.60%]"]
    assert "Against `retrain`, paired" in page


def test_what_could_not_be_had_is_said(panel: Panel) -> None:
    lines = [replace(each, kept_gain=None, ndcg_change=None, equally_accurate=None) for each in panel.lines]
    without = replace(panel, lines=lines, hypervolumes=None, gain_note="retraining is not shown to gain", sweeps=[])
    page, pictures = experiment_page(
        "t", [Tradeoffs("log", "lrurec", [without], [])], {"log-lstm": "the loss is <NaN>"}
    )
    assert "- **log\\-lstm failed**: the loss is \\<NaN\\>" in page
    assert "retraining is not shown to gain." in page
    assert "kept gain" not in page
    assert "Hypervolume" not in page
    assert cells(page, "retrain")[0][5:7] == ["n/a", "n/a"]
    assert pictures == {}


def test_perturbations_that_differ_in_one_word_have_a_table_of_all_methods(panel: Panel) -> None:
    specs = ["delete:random:0.001", "insert:random:0.001"]
    panels = [replace(panel, perturbation=spec) for spec in specs]
    of = Tradeoffs("log", "lrurec", panels, [Sweep("kind", specs, ["delete", "insert"])])
    page, pictures = experiment_page("t", [of], {})
    table = page[page.index("by `kind` of the perturbation") :]
    assert [row[:2] for method in ("retrain", "finest:weight=3") for row in cells(table, method)] == [
        ["`retrain`", "delete"],
        ["`retrain`", "insert"],
        ["`finest:weight=3`", "delete"],
        ["`finest:weight=3`", "insert"],
    ]
    assert any("by-kind" in name for name in pictures)
