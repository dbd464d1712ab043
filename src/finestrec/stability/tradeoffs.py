"""What stability costs: the methods of an audit beside one another, in one regime and under one perturbation.

All methods are resampled together, users and seeds, so that intervals of what compares two of them are paired. Rows of
different regimes are never compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.errors import DataError
from finestrec.stability.findings import EQUAL_ACCURACY_MARGIN, Finding, LoadTable, equally_accurate, grouped
from finestrec.stability.frontier import hypervolume, on_front
from finestrec.stability.instances import Quantities, headline
from finestrec.stability.results import StabilityAudit
from finestrec.stability.rows import AuditRow, Bounds, Regime
from finestrec.stability.statistics import LEVEL, BootstrapMeans, Interval, bootstrap_means, interval
from finestrec.stability.sweeps import Sweep, family, method_sweeps, perturbation_sweeps, scheme, strength_of
from finestrec.stabilizers import Recipe

OVERLAP: Final = "FRBO(p=0.9)@10"
ACCURACY: Final = "NDCG@10"
SHOWN: Final = (ACCURACY, OVERLAP, "Jaccard@10", "RBO(p=0.9)")
LEAST_ACCURACY: Final = 0.95
"""Of hypervolumes: a method that keeps less of retraining's NDCG@10 adds nothing."""
COLD_START: Final = ("activity", "popularity")
"""The slices that tell users and items with few interactions from others."""
_RETRAIN, _WARM_START = "retrain", "warm_start"


@dataclass(frozen=True)
class Line:
    """A method at one strength.

    Attributes:
        method: The METHOD.
        family: It without its strength.
        strength: The value of the option that buys stability; None where there is none.
        measures: NDCG@10 of the new lists; overlap with the reference side's.
        seeds: Lowest and highest seed of each measure.
        ndcg_change: NDCG@10 relative to that of retraining on the same D', not to that of the reference side; None if
            retraining has not one hit.
        equally_accurate: Whether that is above -1% with its interval.
        on_front: Whether no other method has as much NDCG@10 and overlap, and more of one.
        beaten_by: Methods of more overlap, the interval of the difference apart from 0, at equal accuracy: their
            NDCG@10 relative to this one's is above -1% with its interval. Not corrected for the number of pairs.
        kept_gain: Plasticity, see `Panel.gain`: the share of it that the method has as well.
        against: Of an experiment with a baseline: overlap less the baseline's, and NDCG@10 relative to the baseline's,
            both paired; None for the baseline itself, and where it has not one hit or is not of the regime.
        seconds: Of the last training of the new side, mean over seeds.
        peak_memory: In bytes, the largest over seeds.
        seconds_ratio: Over those of warm start; None if that was not audited.
        memory_ratio: Likewise.
    """

    method: str
    family: str
    strength: float | None
    measures: dict[str, Interval]
    seeds: dict[str, Bounds]
    ndcg_change: Interval | None
    equally_accurate: bool | None
    on_front: bool
    beaten_by: list[str]
    kept_gain: Interval | None
    against: dict[str, Interval] | None
    seconds: float
    peak_memory: int
    seconds_ratio: float | None
    memory_ratio: float | None


@dataclass(frozen=True)
class Panel:
    """All methods of an audit in one regime, under one perturbation.

    Attributes:
        regime: As in the rows.
        perturbation: The SPEC.
        seeds: How many.
        n_users: Users with test instances.
        lines: In the order of the audit.
        hypervolumes: Of each `scheme`: what its strengths dominate of the plane of NDCG@10, relative to retraining's,
            and overlap, above 0.95 of retraining's NDCG@10 and an overlap of 0. None if retraining has not one hit.
        gain: For a night in anchored-update: NDCG@10 of retraining less that of the incumbent, relative to it. Of a
            method the kept share is (NDCG@10 - incumbent's) / (retraining's - incumbent's).
        gain_note: Why no kept shares are given; None where they are.
        baseline: A method that each is compared with beside retraining, or None.
        sweeps: Methods that differ in one option.
        cold_start: slice, group, users, method and measure of each slice in `COLD_START`, with mean, lower and upper.
    """

    regime: Regime
    perturbation: str
    seeds: int
    n_users: int
    lines: list[Line]
    hypervolumes: dict[str, Interval] | None
    gain: Interval | None
    gain_note: str | None
    baseline: str | None
    sweeps: list[Sweep]
    cold_start: list[dict[str, Any]]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Panel":
        """Read what `dataclasses.asdict` gave."""
        lines, of = [Line(**line) for line in values["lines"]], [Sweep(**sweep) for sweep in values["sweeps"]]
        return cls(**{**values, "lines": lines, "sweeps": of})


@dataclass(frozen=True)
class Tradeoffs:
    """What stability costs on one log with one model.

    Attributes:
        data: Name of the log.
        model: Name of the model.
        panels: One a regime and perturbation.
        sweeps: Perturbations that differ in one setting.
    """

    data: str
    model: str
    panels: list[Panel]
    sweeps: list[Sweep]

    @classmethod
    def of(cls, audit: StabilityAudit, load: LoadTable, recipe: Recipe, baseline: str | None = None) -> "Tradeoffs":
        """Of an audit.

        Args:
            audit: With retraining among its methods, and its table of slices.
            load: Gives the table of a row's instances.
            recipe: Of the audit.
            baseline: A method of the audit that each is compared with beside retraining.
        """
        found = _panels(audit, load, recipe, baseline)
        changes = list(dict.fromkeys(panel.perturbation for panel in found))
        return cls(audit.rows[0].data, audit.rows[0].model, found, perturbation_sweeps(changes))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Tradeoffs":
        """Read what `dataclasses.asdict` gave."""
        panels, of = (
            [Panel.from_json(panel) for panel in values["panels"]],
            [Sweep(**each) for each in values["sweeps"]],
        )
        return cls(**{**values, "panels": panels, "sweeps": of})


def _panels(audit: StabilityAudit, load: LoadTable, recipe: Recipe, baseline: str | None) -> list[Panel]:
    groups = {key: rows for key, rows in grouped(audit.rows).items() if key[0] != "floor" and key[2] is not None}
    findings = {(each.regime, each.method, each.perturbation): each for each in audit.findings}
    found = []
    for regime, method, perturbation in groups:
        if method != _RETRAIN or perturbation is None:
            continue
        members = {
            name: rows
            for (other, name, change), rows in groups.items()
            if (other, change) == (regime, perturbation) and rows[0].other_seed is None
        }
        here = {name: findings[regime, name, perturbation] for name in members}
        found.append(_panel(members, here, _Joint.of(members, load), recipe, audit.tables["slices"], baseline))
    return found


@dataclass(frozen=True)
class _Joint:
    """Overlap and accuracy of all methods, and the incumbent's accuracy, in the same resamples.

    Attributes:
        methods: Names.
        overlap: Shape (1 + resamples, methods); first the means themselves.
        accuracy: Likewise.
        incumbent: NDCG@10 of retraining's reference side, shape (1 + resamples,).
    """

    methods: list[str]
    overlap: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    incumbent: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Mapping[str, Sequence[AuditRow]], load: LoadTable) -> "_Joint":
        first: Quantities | None = None
        parts: list[list[NDArray[np.float64]]] = []
        for name, of in rows.items():
            found = Quantities([headline(load(row)) for row in of])
            first = first or found
            for one, other in zip(first.tables, found.tables, strict=True):
                if not one["interaction_id"].equals(other["interaction_id"]):
                    raise DataError(f"{name} was judged on other test instances than {next(iter(rows))}")
            wanted = [OVERLAP, ACCURACY] + ([f"old {ACCURACY}"] if name == _RETRAIN else [])
            columns = [found.names.index(column) for column in wanted]
            parts.append([values[:, columns] for values in found.values])
        assert first is not None
        means = bootstrap_means([np.hstack(seed) for seed in zip(*parts, strict=True)], first.users)
        return cls.split(list(rows), means)

    @classmethod
    def split(cls, methods: list[str], means: BootstrapMeans) -> "_Joint":
        """By what the columns are: overlap and accuracy of each method, after retraining's the incumbent's accuracy."""
        columns = np.concatenate([means.means[:, :], means.draws[:, 0]])
        at = 2 * methods.index(_RETRAIN) + 2
        pairs = np.delete(columns, at, axis=1)
        return cls(methods, pairs[:, 0::2], pairs[:, 1::2], columns[:, at])

    def accuracy_of(self, method: str) -> NDArray[np.float64]:
        """One method's, shape (1 + resamples,)."""
        return self.accuracy[:, self.methods.index(method)]

    @property
    def relative(self) -> NDArray[np.float64] | None:
        """NDCG@10 over retraining's, as `accuracy`; NaN in resamples without a hit, None without any."""
        base = self.accuracy_of(_RETRAIN)[:, None]
        return None if base[0] == 0 else 1 + _change(self.accuracy, base)

    def against(self, method: str, baseline: str) -> dict[str, Interval] | None:
        """See `Line`."""
        if baseline == method or baseline not in self.methods:
            return None
        one, other = self.methods.index(method), self.methods.index(baseline)
        base = self.accuracy[:, other]
        if base[0] == 0:
            return None
        more = self.overlap[:, one] - self.overlap[:, other]
        return {OVERLAP: _interval(more), ACCURACY: _interval(_change(self.accuracy[:, one], base))}

    def beaten_by(self, number: int) -> list[str]:
        """See `Line`."""
        more = self.overlap - self.overlap[:, [number]]
        base = self.accuracy[:, [number]]
        if base[0] == 0:
            return []
        change = _change(self.accuracy, base)
        lower = [np.nanquantile(draws[1:], (1 - LEVEL) / 2, axis=0) for draws in (more, change)]
        beats = (lower[0] > 0) & (lower[1] > -EQUAL_ACCURACY_MARGIN)
        return [method for method, is_better in zip(self.methods, beats, strict=True) if is_better]


def _panel(
    rows: Mapping[str, Sequence[AuditRow]],
    findings: Mapping[str, Finding],
    joint: _Joint,
    recipe: Recipe,
    slices: pl.DataFrame,
    baseline: str | None,
) -> Panel:
    first = findings[_RETRAIN]
    assert first.perturbation is not None
    gain, note = _gain(joint, first)
    relative = joint.relative
    front = on_front(np.stack([joint.accuracy[0], joint.overlap[0]], axis=1))
    lines = []
    for number, (method, of) in enumerate(rows.items()):
        change = None if relative is None else _interval(relative[:, number] - 1)
        seconds, memory = findings[method].seconds, max(row.peak_memory for row in of)
        lines.append(
            Line(
                method=method,
                family=family(method),
                strength=strength_of(method, recipe),
                measures={name: _measure(findings[method], name) for name in SHOWN},
                seeds={name: _span([_value(row, name) for row in of]) for name in SHOWN},
                ndcg_change=change,
                equally_accurate=equally_accurate(change),
                on_front=bool(front[number]),
                beaten_by=joint.beaten_by(number),
                kept_gain=_kept(joint, method) if gain is not None and note is None else None,
                against=None if baseline is None else joint.against(method, baseline),
                seconds=seconds,
                peak_memory=memory,
                seconds_ratio=_ratio(seconds, [row.seconds for row in rows.get(_WARM_START, [])]),
                memory_ratio=_ratio(memory, [max((row.peak_memory for row in rows.get(_WARM_START, [])), default=0)]),
            )
        )
    return Panel(
        regime=first.regime,
        perturbation=first.perturbation,
        seeds=first.seeds,
        n_users=first.n_users,
        lines=lines,
        hypervolumes=None if relative is None else _hypervolumes(joint, relative),
        gain=gain,
        gain_note=note,
        baseline=baseline,
        sweeps=method_sweeps(list(rows), recipe),
        cold_start=_cold_start(slices, first.regime, first.perturbation, list(rows)),
    )


def _hypervolumes(joint: _Joint, relative: NDArray[np.float64]) -> dict[str, Interval]:
    schemes = [scheme(method) for method in joint.methods]
    # Not retraining's overlap: with coupled streams it keeps more after a deletion than most of what is compared.
    reference = np.array([LEAST_ACCURACY, 0.0])
    points = np.stack([relative, joint.overlap], axis=2)
    found = {}
    for name in dict.fromkeys(schemes):
        own = [number for number, other in enumerate(schemes) if other == name]
        found[name] = _interval(hypervolume(points[:, own], reference))
    return found


def _gain(joint: _Joint, first: Finding) -> tuple[Interval | None, str | None]:
    """What retraining on a night's log gains, relative to the incumbent; and why no share of it can be given."""
    assert first.perturbation is not None
    if first.regime != "anchored-update" or not first.perturbation.startswith("append:"):
        return None, "plasticity is of a night (append) in the regime anchored-update"
    if joint.incumbent[0] == 0:
        return None, f"the incumbent's {ACCURACY} is 0"
    gain = _interval(_change(joint.accuracy_of(_RETRAIN), joint.incumbent))
    if gain["lower"] > 0:
        return gain, None
    span = f"{gain['mean']:+.1%}, {gain['lower']:+.1%} to {gain['upper']:+.1%}"
    return gain, f"retraining is not shown to gain {ACCURACY} from the night ({span}), so there is no share to keep"


def _kept(joint: _Joint, method: str) -> Interval:
    gain = joint.accuracy_of(_RETRAIN) - joint.incumbent
    return _interval((joint.accuracy_of(method) - joint.incumbent) / np.where(gain > 0, gain, np.nan))


def _change(values: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relative to a base; NaN where that has not one hit. Differences are divided, so that no change is exactly 0."""
    return (values - base) / np.where(base > 0, base, np.nan)


def _interval(values: NDArray[np.float64]) -> Interval:
    """Of an estimate and, behind it, its resamples."""
    return interval(float(values[0]), values[1:])


def _measure(found: Finding, name: str) -> Interval:
    mean = found.measures[name]
    assert mean is not None  # models of ours rank the whole catalogue, and test instances have targets
    return {"mean": mean, **found.intervals[name]}


def _value(row: AuditRow, name: str) -> float:
    value = {**row.measures, **row.accuracy}[name]
    assert value is not None
    return value


def _span(values: Sequence[float]) -> Bounds:
    return {"lower": min(values), "upper": max(values)}


def _ratio(value: float, base: Sequence[float]) -> float | None:
    return value / fmean(base) if base and fmean(base) > 0 else None


def _cold_start(slices: pl.DataFrame, regime: str, perturbation: str, methods: Sequence[str]) -> list[dict[str, Any]]:
    kept = slices.filter(
        (pl.col("regime") == regime)
        & (pl.col("perturbation") == perturbation)
        & pl.col("method").is_in(methods)
        & pl.col("slice").is_in(COLD_START)
        & pl.col("measure").is_in((ACCURACY, OVERLAP))
    )
    return kept.drop("regime", "perturbation", "instances").to_dicts()
