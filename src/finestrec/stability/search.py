"""The strength of a method that a budget asks for, found on validation interactions.

A budget in the user's units says how stable lists have to be (`Jaccard@10 >= 0.8`), or how much accuracy may be given
for it (1%). The first asks for the weakest strength that holds it, the second for the strongest. Either is an edge of a
monotone condition: it is bracketed by factors of `STEP` (or halves, where the strength ends at 1) and then bisected.

Every probe trains on the new log without the last tenth of each history and looks at lists there, so nothing is chosen
on test interactions. A probe is as expensive as the method, but where the strength acts after the training: then all of
them share one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
from pydantic.fields import FieldInfo

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.data.splits import validation_split
from finestrec.errors import OptionError
from finestrec.measures.accuracy import ndcg
from finestrec.measures.names import Measure, MeasureKind, parse_measure
from finestrec.options import Options
from finestrec.ranking import TopLists
from finestrec.stability.gate import OPERATORS, Check
from finestrec.stabilizers import Ranker, Recipe, stabilizer
from finestrec.training.trained import TrainedModel

STEP: Final = 4.0
"""Factor between the strengths that look for the edge."""
MOST_STEPS: Final = 4
"""Steps in one direction before the edge is given up."""
HALVINGS: Final = 3
"""Steps of the bisection; the edge is then known to a factor of 4^(1/8), about 1.19."""
DEPTH_OF_ACCURACY: Final = 10


@dataclass(frozen=True)
class Probe:
    """What a strength came to on the validation interactions.

    Attributes:
        strength: 0 is the method without any.
        measures: Of the budget, means over users, by printed name.
        ndcg: NDCG@10.
        accuracy_loss: Relative loss of NDCG@10 against strength 0; negative for a gain.
    """

    strength: float
    measures: dict[str, float]
    ndcg: float
    accuracy_loss: float

    def sentence(self) -> str:
        """In words."""
        found = [f"{name} {value:.4g}" for name, value in self.measures.items()]
        return ", ".join([f"strength {self.strength:.4g}: NDCG@10 {-self.accuracy_loss:+.2%} against none", *found])


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    Attributes:
        method: The METHOD with the strength that was found.
        strength: Its strength.
        met: Whether the probe of this strength holds the budget and the limit.
        probes: All that were tried, by strength.
    """

    method: str
    strength: float
    met: bool
    probes: list[Probe]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Found":
        """Read what `to_json` gave."""
        return cls(**{**document, "probes": [Probe(**values) for values in document["probes"]]})

    @property
    def probe(self) -> Probe:
        """That of the strength that was found."""
        return next(probe for probe in self.probes if probe.strength == self.strength)

    def sentence(self) -> str:
        """In words."""
        how = "found" if self.met else "no strength within reach holds the budget; the nearest is"
        return f"{how} {self.method} in {len(self.probes)} probes on validation interactions ({self.probe.sentence()})"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def open_strength(method: str, recipe: Recipe) -> str | None:
    """The option that trades accuracy for stability, where a METHOD has one and does not name its value itself."""
    strength = stabilizer(method, recipe).strength
    return None if any(each.startswith(f"{strength}=") for each in method.split(":")[1:]) else strength


def searchable(budget: Sequence[Check]) -> tuple[Check, ...]:
    """The conditions that can be searched for: plain similarities and changes of lists.

    The others (bounds, slices, lost users, ...) need more than a probe has.
    """
    plain = [check for check in budget if not (check.bound or check.excess or check.part)]
    return tuple(check for check in plain if check.measure.partition("(")[0].partition("@")[0] in get_args(MeasureKind))


@dataclass
class Search:
    """Looks for the strength.

    Attributes:
        method: A METHOD that does not name its strength.
        recipe: Model and training.
        log: The new training interactions.
        seed: Drives every stream.
        incumbent: What the method starts from.
        before: What was served before, over the catalogue of `log`; the incumbent itself where it has not grown.
        budget: `searchable` conditions, each a check that fails; see `finestrec.stability.gate.parse_budget`.
        max_accuracy_loss: Largest relative loss of NDCG@10 against strength 0, or None.
        probes: Earlier ones, which are not repeated.
        on_probe: Told of each new probe.
        checkpoint: Where the one training is kept of a method whose strength acts after it; every probe trains anew
            without it.
    """

    method: str
    recipe: Recipe
    log: InteractionLog
    seed: int
    incumbent: TrainedModel
    before: Ranker
    budget: Sequence[Check] = ()
    max_accuracy_loss: float | None = None
    probes: list[Probe] = field(default_factory=list)
    on_probe: Callable[[Probe], None] = lambda _: None
    checkpoint: Path | None = None

    def __post_init__(self) -> None:
        if not self.budget and self.max_accuracy_loss is None:
            raise OptionError("there is no budget to search for: give a condition or a largest loss of accuracy")
        name = open_strength(self.method, self.recipe)
        if name is None:
            raise OptionError(f"the method {self.method!r} has no strength to search for, or names it itself")
        self._name = name
        # A tenth of today's histories, not of those of the log that today's was made from.
        held_out = validation_split(replace(self.log, origin=None))
        self._train = held_out.train
        self._instances: Instances = held_out.held_out(self.recipe.training.max_length)
        self._measures = {check.measure: parse_measure(check.measure) for check in self.budget}
        depths = [measure.depth(self.log.n_items) for measure in self._measures.values()]
        self._depth = max([*depths, DEPTH_OF_ACCURACY])
        self._old: TopLists | None = None

    def run(self) -> Found:
        """Probe until the edge is found.

        Raises:
            TrainingError: If a probe's loss is NaN or infinite.
        """
        # From plain to frozen lists a budget is first missed and then held; accuracy is affordable until it is not.
        strength = self._edge(self._holds if self.budget else self._affordable, first=bool(self.budget))
        probe = self._probe(strength)
        return Found(
            method=self._named(strength),
            strength=strength,
            met=self._holds(probe) and self._affordable(probe),
            probes=sorted(self.probes, key=lambda each: each.strength),
        )

    def _holds(self, probe: Probe) -> bool:
        return not any(OPERATORS[c.op](probe.measures[c.measure], c.threshold) for c in self.budget)

    def _affordable(self, probe: Probe) -> bool:
        return self.max_accuracy_loss is None or probe.accuracy_loss <= self.max_accuracy_loss

    def _edge(self, condition: Callable[[Probe], bool], *, first: bool) -> float:
        """The strength next to the edge of a condition that holds from there on (`first`) or up to there.

        The strength nearest to it where there is no edge within reach.
        """
        weak, strong = 0.0, self._start
        if condition(self._probe(weak)) == first:
            return weak
        for _ in range(MOST_STEPS):
            if condition(self._probe(strong)) == first:
                break
            weak, strong = strong, self._stronger(strong)
        else:
            return weak
        for _ in range(HALVINGS):
            middle = self._between(weak, strong)
            if condition(self._probe(middle)) == first:
                strong = middle
            else:
                weak = middle
        return strong if first else weak

    @property
    def _option(self) -> FieldInfo:
        options: Options = stabilizer(self.method, self.recipe).options
        return type(options).model_fields[self._name]

    @property
    def _bound(self) -> float:
        """The largest strength, or infinity."""
        bounds = [getattr(part, "le", None) or getattr(part, "lt", None) for part in self._option.metadata]
        return next((float(bound) for bound in bounds if bound is not None), math.inf)

    @property
    def _start(self) -> float:
        return self._bound / 2 if math.isfinite(self._bound) else float(self._option.default) / STEP

    def _stronger(self, strength: float) -> float:
        return strength * STEP if math.isinf(self._bound) else (strength + self._bound) / 2

    def _between(self, weak: float, strong: float) -> float:
        if math.isfinite(self._bound):
            return (weak + strong) / 2
        # Towards 0 a geometric mean never comes down.
        return math.sqrt(weak * strong) if weak else strong / STEP

    def _named(self, strength: float) -> str:
        return f"{self.method}:{self._name}={strength:.4g}"

    def _probe(self, strength: float) -> Probe:
        known = next((probe for probe in self.probes if probe.strength == strength), None)
        if known is not None:
            return known
        # The probe is of the strength as it is written.
        strategy = stabilizer(self._named(strength), self.recipe)
        checkpoint = self.checkpoint if strategy.strength_is_free else None
        ranker = strategy.fit(self._train, self.seed, self.incumbent, checkpoint=checkpoint)
        new = ranker.rank(self._instances, self._depth)
        if self._old is None:
            self._old = self.before.rank(self._instances, self._depth)
        accuracy = float(ndcg(new.target_ranks, DEPTH_OF_ACCURACY).mean())
        plain = self._probe(0.0).ndcg if strength else accuracy
        probe = Probe(
            strength=strength,
            measures={name: self._mean(measure, self._old, new) for name, measure in self._measures.items()},
            ndcg=accuracy,
            accuracy_loss=1 - accuracy / plain if plain else 0.0,
        )
        self.probes.append(probe)
        self.on_probe(probe)
        return probe

    def _mean(self, measure: Measure, old: TopLists, new: TopLists) -> float:
        """Mean over users of the means over their instances."""
        values = measure(old.items, new.items)
        known = np.isfinite(values)
        _, user, counts = np.unique(self._instances.users[known], return_inverse=True, return_counts=True)
        return float((np.bincount(user, values[known]) / counts).mean())
