"""What happens to lists and accuracy when every night begins where the last one ended.

Run as ``python -m benchmarks.many_nights [--model NAME] [--log FILE] [--out DIR]``. The first model is trained on what
was there before the first night; then each method makes each night's model from its own model of the night before, and
retraining makes it from nothing. All models are asked for the same test instances. Overlap is of two nights in a row;
accuracy is told beside cold retraining's on the same log, and the kept gain is the share of what retraining has
gained by the last night. One seed, one thread. A method that is finished stays in DIR, and another run goes on with
the next one.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.machine import header
from benchmarks.training import REDDIT
from finestrec.data.log import TICKS_PER_DAY, InteractionLog
from finestrec.data.sequences import Instances
from finestrec.data.sources import read_log
from finestrec.data.splits import split
from finestrec.measures.accuracy import ndcg
from finestrec.measures.overlap import frbo, jaccard
from finestrec.perturbation.edits import edit
from finestrec.stability.statistics import Interval, bootstrap_means, interval
from finestrec.stabilizers import Recipe, stabilizer
from finestrec.training.trained import TrainedModel

METHODS = (
    "retrain",
    "warm_start",
    "finest",
    "annealed",
    "annealed:alpha=0.1",
    "annealed:alpha=0.2",
    "interpolation:alpha=0.5",
)


def evenings(train: InteractionLog, nights: int, hours: float) -> list[InteractionLog]:
    """The log before the first night and after each of them; the last one is whole."""
    age = (train.times.max() - train.times) / TICKS_PER_DAY[train.time_unit] * 24
    return [edit(train, "delete", np.flatnonzero(age < hours * left)).log for left in range(nights, -1, -1)]


def nightly(
    method: str, before: TrainedModel, logs: list[InteractionLog], test: Instances, recipe: Recipe
) -> dict[str, NDArray[np.float64]]:
    """Overlap of each two nights in a row, shape (nights, n), and accuracy, shape (1 + nights, n)."""
    lists = before.rank(test, 10)
    found: dict[str, list[NDArray[np.float64]]] = {"FRBO": [], "Jaccard": [], "NDCG": [ndcg(lists.target_ranks, 10)]}
    for log in logs:
        now = stabilizer(method, recipe).fit(log, 0, None if method == "retrain" else before)
        served = now.rank(test, 10)
        found["FRBO"].append(frbo(lists.items, served.items, 0.9, 10))
        found["Jaccard"].append(jaccard(lists.items, served.items, 10))
        found["NDCG"].append(ndcg(served.target_ranks, 10))
        before, lists = now, served
    return {name: np.stack(values) for name, values in found.items()}


def table(found: dict[str, dict[str, NDArray[np.float64]]], users: NDArray[np.int64]) -> None:
    """Print overlap, and accuracy over retraining's after each night, as a Markdown table."""
    nights = len(found["retrain"]["FRBO"])
    of = found["retrain"]["NDCG"]
    print(f"retraining gains {of[-1].mean() / of[0].mean() - 1:+.1%} NDCG@10 in {nights} nights")
    columns = [
        "method",
        "FRBO(p=0.9)@10",
        "Jaccard@10",
        "kept gain",
        *(f"NDCG@10 after {n + 1}" for n in range(nights)),
    ]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for method, values in found.items():
        means = bootstrap_means([np.stack([values["FRBO"].mean(0), values["NDCG"][-1], of[-1], of[0]], 1)], [users])
        draws = np.concatenate([means.means, means.draws[:, 0]])
        change = draws[:, 1] / draws[:, 2] - 1
        kept = (draws[:, 1] - draws[:, 3]) / (draws[:, 2] - draws[:, 3])
        changes = [f"{a.mean() / b.mean() - 1:+.1%}" for a, b in zip(values["NDCG"][1:], of[1:], strict=True)]
        cells = [f"`{method}`", _with_bounds(means.interval(0), ".3f"), f"{values['Jaccard'].mean():.3f}"]
        cells += [_with_bounds(interval(kept[0], kept[1:]), ".0%"), *changes[:-1]]
        print("| " + " | ".join([*cells, _with_bounds(interval(change[0], change[1:]), "+.1%")]) + " |")


def _with_bounds(value: Interval, form: str) -> str:
    return f"{value['mean']:{form}} [{value['lower']:{form}}, {value['upper']:{form}}]"


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, default=REDDIT)
    parser.add_argument("--model", default="lrurec")
    parser.add_argument("--nights", type=int, default=6)
    parser.add_argument("--hours", type=float, default=12.0)
    parser.add_argument("--epochs", type=int, nargs=2, default=(10, 5), help="of cold training and of fine-tuning")
    parser.add_argument("--methods", nargs="*", default=METHODS, help="beside retrain")
    parser.add_argument("--out", type=Path, default=Path("runs/many-nights"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    header()
    parts = split(read_log(arguments.log, min_length=10))
    logs, test = evenings(parts.train, arguments.nights, arguments.hours), parts.held_out(50)
    training, tuning = arguments.epochs
    recipe = Recipe.of(arguments.model, training={"epochs": training}, finest={"epochs": tuning})
    folder = arguments.out / "-".join(
        str(each) for each in (arguments.log.stem, arguments.model, arguments.nights, arguments.hours, training, tuning)
    )
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    first: TrainedModel | None = None
    for method in dict.fromkeys(["retrain", *arguments.methods]):
        file = folder / f"{method.replace(':', '-')}.npz"
        if not file.exists():
            first = first or stabilizer("retrain", recipe).fit(logs[0], 0)
            whole = file.with_suffix(".part")
            with whole.open("wb") as out:
                np.savez(out, **nightly(method, first, logs[1:], test, recipe))
            whole.rename(file)
        found[method] = dict(np.load(file))
        print(f"{method} done", flush=True)
    shares = ", ".join(f"{len(log) / len(parts.train):.0%}" for log in logs)
    print(f"\n{arguments.model}, {arguments.log.name}: nights of {arguments.hours:g} hours, {shares} of the log")
    table(found, test.users)


if __name__ == "__main__":
    main()
