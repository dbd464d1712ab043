"""What an audit has to do, as data: trainings, comparisons, and which needs which (METHOD, sections 3 and 4).

Every piece of work has a key, and one that several comparisons need is planned once. For a seed s, a log D and a
perturbed log D'::

    retrain.D            E epochs on D: the incumbent
    retrain.D'           E epochs on D'                      anchored-update: compared with the incumbent
    warm_start.D'        F epochs from the incumbent         anchored-update: likewise; also on D
    finest.D'            F epochs, the incumbent's lists     anchored-update: likewise; also on D
    continue.D, .D'      E + F epochs                        authors-protocol, unanchored, retrain: compared with one
                                                             another
    finest.D             as above                            authors-protocol: compared with
    finest.D'.follow     from retrain.D', lists of retrain.D
    finest.D'.own        from retrain.D', its own lists      unanchored: compared with finest.D
    bagging.D'           E epochs a model                    anchored-update: compared with the incumbent
    bagging.D, .D'.long  E + F epochs a model, as retrain    unanchored: compared with one another
    hysteresis.D'        retrain.D' and the incumbent        anchored-update: nothing is trained
    retrain.D.again      the same run twice                  floor same_seed
    retrain.D, seed t                                        floor other_seed
    retrain.D', seed t                                       anchored-update, retrain with other_seed

A night (append) is the other way round: D' is the training log that all others call D, and D a log of its own, cut
short. Floors and rows without a perturbation are those of the training log.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations

from finestrec.perturbation.spec import Perturbation
from finestrec.stability.rows import Regime
from finestrec.stabilizers import Kind

_SAME_RUN = "D in place of D' repeats the same run"


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        method: A METHOD of ours, or the name of a fitter; or continue.
        perturbation: Of the log that it is trained on, drawn by the seed; None for the training log. A night stands
            for the log before it.
        seed: Drives every stream.
        incumbent: Key of the training that it starts from, if any.
        anchor: Key of the training of which something is preserved, where that is not the incumbent.
        new: Key of the training whose model is served with the incumbent beside it, for policies of serving.
        long: Whether its models are trained for E + F epochs in place of E: beside what is fine-tuned after E.
        shared: Key of another training whose checkpoint is this one's too; see `Strategy.trained_as`.
        repeat: Tells apart what the rest does not: a repetition, another base, or the night after which it is.
    """

    method: str
    perturbation: Perturbation | None
    seed: int
    incumbent: str | None = None
    anchor: str | None = None
    new: str | None = None
    long: bool = False
    shared: str | None = None
    repeat: str = ""

    @property
    def key(self) -> str:
        """The name of its files."""
        long = ".long" if self.long else ""
        return f"{file_name(self.method)}.{_log_name(self.perturbation)}.seed{self.seed}{self.repeat}{long}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of what has to be done before."""
        return tuple(key for key in (self.incumbent, self.anchor, self.new, self.shared) if key is not None)


@dataclass(frozen=True)
class Comparison:
    """One row: the lists of two trainings, old and new, by their keys; see `AuditRow` for the rest."""

    regime: Regime
    method: str
    perturbation: Perturbation | None
    seed: int
    old: str
    new: str
    other_seed: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name of its file."""
        return f"row.{self.regime}.{file_name(self.method)}.{self.old}--{self.new}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of what has to be done before."""
        return (self.old, self.new)


Work = Training | Comparison


@dataclass(frozen=True)
class PlannedMethod:
    """What decides which trainings a method has.

    Attributes:
        kind: See `finestrec.stabilizers.base.Kind`.
        preserves: Whether something of an anchor is preserved, so that authors-protocol is defined.
        over: Of policies of serving: the method of the new model.
        trained_as: Another of the methods, before this one, whose trainings are this one's too.
    """

    kind: Kind
    preserves: bool = False
    over: str | None = None
    trained_as: str | None = None


@dataclass
class Plan:
    """All work of an audit.

    Attributes:
        works: By key, each after what it needs.
        comparisons: In the order of the rows.
    """

    works: dict[str, Work] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)

    def training(self, key: str) -> Training:
        """A training by its key."""
        work = self.works[key]
        assert isinstance(work, Training)
        return work

    def missing(self, done: Collection[str]) -> list[str]:
        """Keys of what is still to be done, in order: comparisons that are not done, and what they need."""
        wanted: set[str] = set()
        for key, work in reversed(self.works.items()):
            if key not in done and (isinstance(work, Comparison) or key in wanted):
                wanted |= {key, *work.needs}
        return [key for key in self.works if key in wanted and key not in done]

    def says_nothing_of(self, methods: Collection[str], regime: Regime) -> list[str]:
        """Methods that a regime does not define, such as policies of serving where there is no incumbent."""
        said = {comparison.method for comparison in self.comparisons if comparison.regime == regime}
        return [method for method in methods if method not in said]

    def dependents(self, key: str) -> list[str]:
        """Keys of all that needs a piece of work, directly or not."""
        found = {key}
        for other, work in self.works.items():
            if not found.isdisjoint(work.needs):
                found.add(other)
        return [other for other in self.works if other in found and other != key]


def plan(
    perturbations: Sequence[Perturbation],
    methods: Mapping[str, PlannedMethod],
    regimes: Sequence[Regime],
    seeds: Sequence[int],
    *,
    floors: bool,
    unchanged: bool = True,
) -> Plan:
    """What an audit with these arguments has to do; see `finestrec.stability.audit.audit`."""
    planner = _Planner(perturbations, methods, regimes, seeds, floors, unchanged)
    for comparison in planner.comparisons():
        planner.plan.works.setdefault(comparison.key, comparison)
        planner.plan.comparisons.append(comparison)
    return planner.plan


@dataclass
class _Planner:
    perturbations: Sequence[Perturbation]
    methods: Mapping[str, PlannedMethod]
    regimes: Sequence[Regime]
    seeds: Sequence[int]
    floors: bool
    unchanged: bool
    plan: Plan = field(default_factory=Plan)

    def comparisons(self) -> Iterator[Comparison]:
        """Every row, after the trainings that it needs."""
        if self.floors:
            yield from self._other_seeds()
        for seed in self.seeds:
            if self.floors and seed == self.seeds[0]:
                base, again = self._retrain(None, seed), self._retrain(None, seed, ".again")
                yield Comparison("floor", "same_seed", None, seed, base, again)
            for perturbation in self.perturbations:
                for regime in self.regimes:
                    yield from self._regime(regime, perturbation, seed)

    def _other_seeds(self) -> Iterator[Comparison]:
        """The floor of another seed, and another seed together with the perturbation: what a team sees."""
        # A single seed is given a second one to be told from.
        pairs = list(permutations(self.seeds, 2)) or [(self.seeds[0], self.seeds[0] + 1)]
        for seed, other in pairs:
            base = self._retrain(None, seed)
            if seed < other:
                yield Comparison("floor", "other_seed", None, seed, base, self._retrain(None, other), other)
            for perturbation in self.perturbations if "anchored-update" in self.regimes else []:
                before, after = sides(perturbation)
                pair = (self._retrain(before, seed), self._retrain(after, other))
                yield Comparison("anchored-update", "retrain", perturbation, seed, *pair, other)

    def _regime(self, regime: Regime, perturbation: Perturbation, seed: int) -> Iterator[Comparison]:
        both: list[Perturbation | None] = [None, perturbation]
        # D in place of D' does not depend on the perturbation: one row for all of them.
        for change in both if self.unchanged and perturbation is self.perturbations[0] else both[1:]:
            before, after = sides(change)
            notes = () if change else (_SAME_RUN,)
            for method, how in self.methods.items():
                if regime == "anchored-update":
                    yield self._anchored(method, how, change, seed)
                    continue
                pair = self._pair(method, how, regime, before, after, seed)
                if pair is not None:
                    yield Comparison(regime, method, change, seed, *pair, notes=notes)

    def _pair(
        self,
        method: str,
        how: PlannedMethod,
        regime: Regime,
        before: Perturbation | None,
        after: Perturbation | None,
        seed: int,
    ) -> tuple[str, str] | None:
        """Both sides of authors-protocol or unanchored; None where the regime says nothing about the method."""
        if method == "retrain":
            return self._continued(before, seed), self._continued(after, seed)
        if how.kind == "served":  # there is no incumbent
            return None
        if regime == "authors-protocol" and not how.preserves:
            return None
        if how.kind == "cold":
            old, new = (self._add(Training(method, log, seed, long=True)) for log in (before, after))
            return old, new
        old = self._tuned(method, before, before, seed)
        return old, old if before is after else self._followed(method, regime, before, after, seed)

    def _anchored(self, method: str, how: PlannedMethod, change: Perturbation | None, seed: int) -> Comparison:
        before, after = sides(change)
        base = self._retrain(before, seed)
        if method != "retrain":
            if how.kind == "cold":
                new = self._add(Training(method, after, seed))
            elif how.kind == "served":
                new = self._served(method, how, before, after, seed)
            else:
                new = self._tuned(method, before, after, seed)
            return Comparison("anchored-update", method, change, seed, base, new)
        again = self.floors and change is None and seed == self.seeds[0]
        new = self._retrain(after, seed, ".again" if again else "")
        notes = () if change or again else (_SAME_RUN,)
        return Comparison("anchored-update", method, change, seed, base, new, notes=notes)

    # Trainings. Each is planned unless it is, and gives its key.

    def _retrain(self, log: Perturbation | None, seed: int, repeat: str = "") -> str:
        return self._add(Training("retrain", log, seed, repeat=repeat))

    def _tuned(self, method: str, before: Perturbation | None, log: Perturbation | None, seed: int) -> str:
        repeat = _after(before) if log is None else ""
        return self._add(Training(method, log, seed, incumbent=self._retrain(before, seed), repeat=repeat))

    def _continued(self, log: Perturbation | None, seed: int) -> str:
        return self._add(Training("continue", log, seed, incumbent=self._retrain(log, seed)))

    def _followed(
        self, method: str, regime: Regime, before: Perturbation | None, log: Perturbation | None, seed: int
    ) -> str:
        base = self._retrain(log, seed)
        if regime == "unanchored":
            return self._add(Training(method, log, seed, base, repeat=".own"))
        anchor = self._retrain(before, seed)
        return self._add(Training(method, log, seed, base, anchor, repeat=f".follow{_after(before)}"))

    def _served(
        self, method: str, how: PlannedMethod, before: Perturbation | None, log: Perturbation | None, seed: int
    ) -> str:
        base = self._retrain(before, seed)
        assert how.over is not None
        new = self._retrain(log, seed) if how.over == "retrain" else self._tuned(how.over, before, log, seed)
        repeat = _after(before) if log is None else ""
        return self._add(Training(method, log, seed, base, new=new, repeat=repeat))

    def _add(self, training: Training) -> str:
        how = self.methods.get(training.method)
        if how is not None and how.trained_as is not None:
            training = replace(training, shared=self._add(replace(training, method=how.trained_as)))
        return self.plan.works.setdefault(training.key, training).key


def sides(perturbation: Perturbation | None) -> tuple[Perturbation | None, Perturbation | None]:
    """What D and D' are as the log of a `Training`; without a perturbation both are the training log."""
    return (perturbation, None) if perturbation is not None and perturbation.kind == "append" else (None, perturbation)


def file_name(method: str) -> str:
    """A METHOD in file names."""
    return method.replace(":", "-")


def _after(night: Perturbation | None) -> str:
    return "" if night is None else f".after-{night.key}"


def _log_name(perturbation: Perturbation | None) -> str:
    """A log in file names."""
    return "D" if perturbation is None else perturbation.key
