"""The rows of an audit: one comparison of two lists of lists, with everything needed to read it alone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import polars as pl

from finestrec.stability.statistics import Interval

Regime = Literal["anchored-update", "authors-protocol", "unanchored", "floor"]

SCHEMA = 1


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
        instances: Which test instances: all, or each user's first.
        n_instances: How many.
        measures: Mean list similarity by printed name; None where it cannot be had.
        accuracy: MRR, Recall@10, NDCG@10 of the new side.
        reference_accuracy: The same of the reference side.
        ndcg_change: Relative change of NDCG@10, and its 95% interval by paired bootstrap over users.
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
    measures: dict[str, float | None]
    accuracy: dict[str, float | None]
    reference_accuracy: dict[str, float | None]
    ndcg_change: Interval | None
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
    lines = []
    for row in rows:
        line: dict[str, Any] = {}
        for key, value in row.items():
            if key in {"options", "notes"}:
                line[key] = json.dumps(value)
            elif isinstance(value, Mapping):
                line.update({f"{key}.{name}": inner for name, inner in value.items()})
            else:
                line[key] = value
        lines.append(line)
    return pl.DataFrame(lines, infer_schema_length=None)
