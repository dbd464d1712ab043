"""The rows of an audit: one comparison of two lists of lists, with everything needed to read it alone."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypedDict

import polars as pl

from finestrec.stability.statistics import Interval

Regime = Literal["anchored-update", "authors-protocol", "unanchored", "floor"]

SCHEMA = 1


class Bounds(TypedDict):
    """Of a 95% interval."""

    lower: float
    upper: float


LogChange = dict[str, float]
"""What a perturbation did to a training log, as counts (means over seeds, where several are taken together):
`interactions` of the log before; `removed` and `added` ones (a replaced one is both); `users` with interactions before;
`touched_users`, whose interactions are not the same any more; of those `erased_users`, who have none left; and
`erased_items`."""


@dataclass(frozen=True)
class AuditRow:
    """One comparison.

    Attributes:
        regime: Which protocol of METHOD, section 3; rows of different regimes are never compared.
        method: retrain, warm_start, finest, ...; for floors same_seed or other_seed.
        model: Name of the model.
        data: Name of the log.
        log_fingerprint: Of the unperturbed training log.
        perturbation: The SPEC, or None where D stands in place of D'.
        seed: Of the reference side.
        other_seed: Of the new side, where it is another one.
        options: Everything that steered the training.
        instances: Which test instances: all, or each user's first. Those of erased users and of targets that were taken
            down are left out of everything below.
        n_instances: How many.
        n_users: Of how many users.
        measures: Mean list similarity by printed name; None where it cannot be had.
        intervals: 95% bounds of the measures and of `accuracy`, users resampled.
        quantiles: Deciles p10 to p90 over users of their mean similarity; p50 is the median.
        accuracy: MRR, Recall@10, NDCG@10 of the new side.
        reference_accuracy: The same of the reference side.
        ndcg_change: Relative change of NDCG@10, and its 95% interval by paired bootstrap over users.
        log_change: What the perturbation did to the training log; None without one.
        comparison: Names the table of the instances in the audit's folder: jobs/COMPARISON.parquet.
        seconds: Epochs of the last training of the new side; what it started from is not counted again, nor are
            reference lists.
        peak_memory: Largest resident memory while it was trained, in bytes.
        notes: Why a value is None, and what else a reader has to know.
    """

    regime: Regime
    method: str
    model: str
    data: str
    log_fingerprint: str
    perturbation: str | None
    seed: int
    other_seed: int | None
    options: dict[str, Any]
    instances: Literal["all", "first"]
    n_instances: int
    n_users: int
    measures: dict[str, float | None]
    intervals: dict[str, Bounds]
    quantiles: dict[str, dict[str, float]]
    accuracy: dict[str, float | None]
    reference_accuracy: dict[str, float | None]
    ndcg_change: Interval | None
    log_change: LogChange | None
    comparison: str
    seconds: float
    peak_memory: int
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def rows_to_json(rows: list[AuditRow]) -> dict[str, Any]:
    """The document of results.json."""
    return {"schema": SCHEMA, "rows": [row.to_json() for row in rows]}


def rows_to_frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows in JSON's terms, one line each: nested values as columns such as "accuracy.MRR"; options, notes as text."""
    lines = [
        dict(_flat({**row, **{key: json.dumps(row[key]) for key in ("options", "notes") if key in row}}))
        for row in rows
    ]
    return pl.DataFrame(lines, infer_schema_length=None)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
