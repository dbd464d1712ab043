"""The evidence of docs/results: audits on two real logs, and parity with the authors' code.

Parts by name: LOG-MODEL is LRURec or LSTM in full; ``models:LOG-MODEL`` each of the five models with fewer epochs, in
one table; ``selectors:...`` models under every kind and selector of perturbation, in one table; ``parity``.

``python -m benchmarks.evidence --out runs/evidence [PART ...]`` runs the parts and writes their tables. Each part keeps
its finished trainings in a folder of its own, so the command can be stopped at any moment and started again, and two
parts can run side by side. Results depend on the number of threads in their last bits, so it is fixed to one.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import torch

from finestrec.data.files import write_aside
from finestrec.data.sources import read_log
from finestrec.data.splits import split
from finestrec.models import MODELS
from finestrec.stability.audit import audit
from finestrec.stability.markdown import table
from finestrec.stability.results import Finding, StabilityAudit
from finestrec.stability.rows import AuditRow
from finestrec.stabilizers import Recipe
from finestrec.stabilizers.finest import AUTHORS_PRESETS

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared/data"
RESULTS = ROOT / "docs/results"
SPEC = "delete:random:0.001"
MEASURES = ("RBO(p=0.9)", "FRBO(p=0.9)@10", "Jaccard@10", "AverageOverlap@all", "MRR", "Recall@10", "NDCG@10")


@dataclass(frozen=True)
class Part:
    """One audit.

    Attributes:
        log: Name of a file of the data folder.
        model: Name of the model.
        seeds: Seeds, in the order in which they are run.
        epochs: E and F.
        finest: Options of FINEST besides its epochs.
        regimes: Of METHOD, section 3.
        perturbations: What is done to the training log.
        methods: What is compared.
    """

    log: str
    model: str
    seeds: tuple[int, ...]
    epochs: tuple[int, int] = (15, 10)
    finest: dict[str, Any] = field(default_factory=dict)
    regimes: tuple[Any, ...] = ("anchored-update", "authors-protocol")
    perturbations: tuple[str, ...] = (SPEC,)
    methods: tuple[str, ...] = ("retrain", "warm_start", "finest")


_SHORT: dict[str, Any] = {"epochs": (10, 5), "regimes": ("anchored-update",)}
_SELECTED: dict[str, Any] = {"epochs": (5, 3), "regimes": ("anchored-update",), "methods": ("retrain", "finest")}
_SELECTORS = ("random", "earliest", "latest", "casper", "influence")
_EVERY = tuple(f"{kind}:{name}:0.001" for kind in ("delete", "replace", "insert") for name in _SELECTORS)
_WHOLE = ("delete:user:1", "delete:user:10", "delete:item:1", "delete:item:10", "append:cut:1")
_TWO = ("delete:random:0.001", "delete:casper:0.001")

PARTS = {
    "reddit-lrurec": Part("reddit", "lrurec", (0, 1, 2)),
    "foursquare-lrurec": Part("foursquare", "lrurec", (0, 1)),
    "reddit-lstm": Part("reddit", "lstm", (0, 1, 2)),
    "foursquare-lstm": Part("foursquare", "lstm", (0, 1)),
    **{
        f"models:{log}-{model}": Part(log, model, seeds, **_SHORT)
        for log, seeds in (("reddit", (0, 1)), ("foursquare", (0,)))
        for model in MODELS
    },
    "selectors:reddit-lrurec": Part("reddit", "lrurec", (0,), **_SELECTED, perturbations=(*_EVERY, *_WHOLE)),
    "selectors:reddit-sasrec": Part("reddit", "sasrec", (0, 1, 2), **_SELECTED, perturbations=_TWO),
    "selectors:foursquare-lrurec": Part("foursquare", "lrurec", (0, 1, 2), **_SELECTED, perturbations=_TWO),
    "selectors:foursquare-sasrec": Part("foursquare", "sasrec", (0, 1, 2), **_SELECTED, perturbations=_TWO),
    "parity": Part("reddit", "lrurec", (0, 1, 2), (8, 6), AUTHORS_PRESETS["lrurec"], ("authors-protocol",)),
}


def run(name: str, out: Path) -> StabilityAudit:
    """Run a part, or what is missing of it."""
    part = PARTS[name]
    began = time.monotonic()
    recipe = Recipe.of(
        part.model, training={"epochs": part.epochs[0]}, finest={**part.finest, "epochs": part.epochs[1]}
    )
    result = audit(
        split(read_log(DATA / f"{part.log}.tsv", min_length=10)),
        recipe,
        perturbations=part.perturbations,
        methods=part.methods,
        regimes=part.regimes,
        seeds=part.seeds,
        folder=out / name.replace(":", "-"),
        data=part.log,
        on_event=lambda text: print(f"{name} {time.monotonic() - began:6.0f} s: {text}", flush=True),
    )
    group, _, rest = name.rpartition(":")
    text = json.dumps(_brief(result), indent=1) + "\n"
    if group:
        (RESULTS / group).mkdir(exist_ok=True)
        write_aside(RESULTS / group / f"{rest}.json", text)
        write_aside(RESULTS / group / "README.md", overview(group))
        write_aside(RESULTS / group / f"{rest}-slices.md", slices(name, result))
    else:
        write_aside(RESULTS / f"{name}.json", text)
        write_aside(RESULTS / f"{name}.md", page(name, result))
    return result


def _brief(result: StabilityAudit) -> dict[str, Any]:
    document = result.to_json()
    options = document["rows"][0]["options"]
    return {**document, "options": options, "rows": [{**row, "options": None} for row in document["rows"]]}


def overview(group: str) -> str:
    """One table of all parts of a group that are there, anchored-update."""
    lines = [
        f"# {group}",
        "",
        f"Made by `python -m benchmarks.evidence {group}`: anchored-update, one thread; means over seeds, 95% intervals"
        " over users and seeds in brackets. `D` is the log as it is; the last column is seconds of an epoch, beside"
        " other work. The JSON files beside this page have every value.",
        "",
        "| log | model | epochs | seeds | method | perturbation | "
        + " | ".join(MEASURES)
        + " | NDCG@10 change | s/epoch |",
        "|---" * (len(MEASURES) + 8) + "|",
    ]
    verdicts = []
    for name, part in PARTS.items():
        file = RESULTS / group / f"{name.rpartition(':')[2]}.json"
        if not name.startswith(f"{group}:") or not file.is_file():
            continue
        document = json.loads(file.read_text())
        rows = [{**row, "options": document["options"]} for row in document["rows"]]
        result = StabilityAudit.from_json({**document, "rows": rows})
        start = f"| {part.log} | {part.model} | {part.epochs[0]} + {part.epochs[1]} | {len(part.seeds)}"
        lines += [f"{start} | {_cells(finding, part.epochs)}" for finding in result.findings]
        verdicts += [
            "",
            f"## {part.model} on {part.log}.tsv",
            "",
            *(f"- {text}" for text in result.verdict().split("\n")),
        ]
    return "\n".join([*lines, *verdicts, ""])


def slices(name: str, result: StabilityAudit) -> str:
    """Who is unstable: Jaccard@10 of groups of instances, methods side by side, for each perturbation."""
    part = PARTS[name]
    lines = [
        f"# Who is unstable: {part.model} on {part.log}.tsv",
        "",
        f"Made by `python -m benchmarks.evidence {name}`: Jaccard@10 with the incumbent's lists, anchored-update; 95%"
        " intervals over users and seeds in brackets. Popularity and target rank are of the item that came next.",
    ]
    found = result.tables["slices"].filter(
        pl.col("regime") == "anchored-update", pl.col("measure") == "Jaccard@10", pl.col("method").is_in(part.methods)
    )
    cell = pl.struct("mean", "lower", "upper").map_elements(
        lambda of: "{mean:.3f} [{lower:.3f}, {upper:.3f}]".format(**of), return_dtype=pl.String
    )
    for perturbation in part.perturbations:
        wide = (
            found.filter(pl.col("perturbation") == perturbation)
            .with_columns(cell=cell)
            .pivot("method", index=["slice", "group"], values="cell", maintain_order=True)
        )
        lines += ["", f"## {perturbation}", "", *table(wide.columns, [[str(v) for v in row] for row in wide.rows()])]
    return "\n".join(lines)


def _cells(finding: Finding, epochs: tuple[int, int]) -> str:
    cells = []
    for name in MEASURES:
        mean, bounds = finding.measures[name], finding.intervals.get(name)
        span = f" [{bounds['lower']:.3f}, {bounds['upper']:.3f}]" if bounds else ""
        cells.append("n/a" if mean is None else f"{mean:.3f}{span}")
    change = finding.ndcg_change
    words = f"{change['mean']:+.1%} [{change['lower']:+.1%}, {change['upper']:+.1%}]" if change else "n/a"
    floor = "floor: " if finding.regime == "floor" else ""
    log = finding.perturbation or "D"
    base, tuning = epochs
    seconds = finding.seconds / (tuning if finding.method.startswith(("warm_start", "finest")) else base)
    return f"{floor}{finding.method} | {log} | " + " | ".join(cells) + f" | {words} | {seconds:.1f} |"


def page(name: str, result: StabilityAudit) -> str:
    """The page of one part."""
    part = PARTS[name]
    first = result.rows[0]
    lines = [
        f"# {part.model} on {part.log}.tsv: {SPEC}",
        "",
        f"Made by `python -m benchmarks.evidence {name}`. {first.n_instances:,} test instances, {part.epochs[0]} epochs"
        f" and {part.epochs[1]} of fine-tuning, seeds {', '.join(map(str, part.seeds))}, one thread. Means over seeds;"
        " in brackets the lowest and highest seed. Every value of every seed is in the JSON beside this page.",
        "",
    ]
    findings = result.findings
    for regime in ("floor", *part.regimes):
        lines += [f"## {regime}", "", "| method | log | " + " | ".join(MEASURES) + " | NDCG@10 change | seconds |"]
        lines += ["|---" * (len(MEASURES) + 4) + "|"]
        lines += [_line(f, _rows(result, f)) for f in findings if f.regime == regime]
        lines += [""]
    excess = result.excess_over_seed_noise
    if excess:
        lines += ["## Excess over seed noise", "", "Mean over seeds s != t of sim(D_s, D_t) - sim(D_s, D'_t):"]
        lines += [", ".join(f"{key} {value:+.4f}" for key, value in each["measures"].items()) + "." for each in excess]
        lines += [""]
    return "\n".join([*lines, result.verdict(), ""])


def _rows(result: StabilityAudit, finding: Finding) -> list[AuditRow]:
    alone = "other seed" not in finding.method
    return [
        row
        for row in result.rows
        if row.regime == finding.regime
        and row.method == finding.method.removesuffix(", other seed")
        and row.perturbation == finding.perturbation
        and (row.regime == "floor" or (row.other_seed is None) == alone)
    ]


def _line(finding: Finding, rows: list[AuditRow]) -> str:
    cells = []
    for name in MEASURES:
        values = [{**row.measures, **row.accuracy}[name] for row in rows]
        known = [value for value in values if value is not None]
        mean = finding.measures[name]
        spread = f" ({min(known):.3f}..{max(known):.3f})" if len(known) > 1 else ""
        cells.append("n/a" if mean is None else f"{mean:.4f}{spread}")
    change = finding.ndcg_change
    words = f"{change['mean']:+.2%} [{change['lower']:+.2%}, {change['upper']:+.2%}]" if change else "n/a"
    log = finding.perturbation or "D"
    return f"| {finding.method} | {log} | " + " | ".join(cells) + f" | {words} | {finding.seconds:.0f} |"


def _parts(name: str, groups: set[str]) -> list[str]:
    return [part for part in PARTS if part.startswith(f"{name}:")] if name in groups else [name]


def main() -> None:
    """Run the parts that were asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"any of {', '.join(PARTS)}, or models, selectors; default: all")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/evidence")
    arguments = parser.parse_args()
    groups = {name.rpartition(":")[0] for name in PARTS} - {""}
    asked = [part for name in arguments.parts for part in _parts(name, groups)]
    unknown = set(asked) - PARTS.keys()
    if unknown:
        parser.error(f"unknown parts {', '.join(sorted(unknown))}; known are {', '.join(PARTS)}")
    torch.set_num_threads(1)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in asked or PARTS:
        print(run(name, arguments.out).verdict(), flush=True)


if __name__ == "__main__":
    main()
