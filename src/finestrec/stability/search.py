"""The strength of a method that a budget asks for.

A budget in the user's units says how stable lists have to be (`Jaccard@10 >= 0.8`), or how much accuracy may be given
for it (1%). The first asks for the weakest strength that holds it; the second for the most stable that is affordable.
Either begins at an edge of a condition that is taken to be monotone in the strength: it is bracketed in steps (`Scale`)
and then bisected. More strength need not be more stability, though: of the strengths that are affordable the one whose
lists move least is taken. A probe is as expensive as the method, but where the strength acts after the training: then
all of them share one.

Lists need no targets, so a budget of stability is looked at where it has to hold, on the lists that would be served.
Accuracy needs them, and is measured on validation interactions: nothing is chosen on test. Nor is it measured on what
the incumbent was trained on, for whatever is close to such an incumbent looks accurate there.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic.fields import FieldInfo

from finestrec.data.log import InteractionLog
from finestrec.data.splits import validation_split
from finestrec.errors import DataError, OptionError
from finestrec.measures.accuracy import ndcg
from finestrec.measures.names import Measure
from finestrec.options import Options
from finestrec.stabilizers import BeforeGrowth, Recipe, Retrain, TwoModels, stabilizer
from finestrec.training.trained import TrainedModel

STEP: Final = 4.0
"""Factor between the strengths that look for the edge."""
MOST_STEPS: Final = 4
"""Steps before the largest strength is tried, if there is one, and the edge given up."""
HALVINGS: Final = 3
"""Steps of the bisection; the edge is then known to a factor of 4^(1/8), about 1.19."""
NEXT_TO_AN_END: Final = 1 / 8
"""Up to this share of its range from 0, or from its largest value, a default is next to that end."""
DEPTH: Final = 10
"""Ranks that accuracy and overlap are of."""
OVERLAP: Final = Measure("FRBO", p=0.9, k=DEPTH)


@dataclass(frozen=True)
class Scale:
    """The strengths that look for the edge.

    Where there is no largest one, or the default is next to 0, they grow by factors of `STEP` around the default. Where
    the default is next to the largest, as the decay of an average is, what is missing to it shrinks by such
    factors. Else, or by a default of 0, it is halved.

    Attributes:
        default: The option's.
        largest: Or infinity.
        is_legal: Whether the largest may be taken itself.
    """

    default: float
    largest: float
    is_legal: bool

    @classmethod
    def of(cls, option: FieldInfo) -> "Scale":
        """That of an option by its bounds."""
        for part in option.metadata:
            for name in ("le", "lt"):
                if getattr(part, name, None) is not None:
                    return cls(float(option.default), float(getattr(part, name)), is_legal=name == "le")
        return cls(float(option.default), math.inf, is_legal=False)

    @property
    def _grows(self) -> bool:
        return 0 < self.default <= NEXT_TO_AN_END * self.largest

    @property
    def _shrinks(self) -> bool:
        return not self._grows and self.largest - self.default <= NEXT_TO_AN_END * self.largest

    def steps(self) -> list[float]:
        """Outwards, above 0; the largest strength is the last where it is legal."""
        factors = [STEP**power for power in range(-1, MOST_STEPS - 1)]
        if self._grows:
            steps = [self.default * factor for factor in factors]
        elif self._shrinks:
            steps = [self.largest - (self.largest - self.default) / factor for factor in factors]
        else:
            steps = [self.largest * (1 - 2.0**-power) for power in range(1, MOST_STEPS + 1)]
        within = [step for step in steps if step < self.largest]
        return [*within, self.largest] if self.is_legal else within

    def written(self, strength: float) -> str:
        """To four digits, of what is missing to the largest where that shrinks: 0.99996 is not 1."""
        if self._shrinks:
            return f"{self.largest - float(f'{self.largest - strength:.4g}'):.12g}"
        return f"{strength:.4g}"

    def between(self, weak: float, strong: float) -> float:
        """The middle of two strengths, weak < strong."""
        if self._grows:
            return _middle(strong, weak)
        if self._shrinks:
            return self.largest - _middle(self.largest - weak, self.largest - strong)
        return (weak + strong) / 2


def _middle(high: float, low: float) -> float:
    """The geometric mean; towards 0 it would never come down."""
    return math.sqrt(low * high) if low else high / STEP


@dataclass(frozen=True)
class Probe:
    """What a strength came to.

    Attributes:
        strength: 0 is the method without any.
        budget: What was compared with a threshold, e.g. of "Jaccard@10"; empty where accuracy is searched for.
        holds: Whether all conditions do.
        accuracy_loss: Relative loss of NDCG@10 against strength 0, negative for a gain; None where it is not searched
            for.
        shortfall: By how much the condition that is furthest from it is missed; 0 where all hold.
        overlap: FRBO(p=0.9)@10 with the incumbent's lists; None where accuracy is not searched for.
    """

    strength: float
    budget: dict[str, float]
    holds: bool
    accuracy_loss: float | None
    shortfall: float = 0.0
    overlap: float | None = None

    def sentence(self) -> str:
        """In words."""
        return ", ".join([f"strength {self.strength:.12g}", *self.came_to(self.accuracy_loss)])

    def came_to(self, accuracy_loss: float | None) -> list[str]:
        """In words, without its strength."""
        words = [f"{name} {value:.4g}" for name, value in self.budget.items()]
        if accuracy_loss is not None:
            words.append(f"validation NDCG@{DEPTH} {0 - accuracy_loss:+.2%} against strength 0")
        if self.overlap is not None:
            words.append(f"{OVERLAP.name} {self.overlap:.4f} with the incumbent's")
        return words


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    Attributes:
        method: The METHOD with the strength that was found.
        strength: Its strength.
        met: Whether it holds the budget, and the limit of accuracy.
        probes: All that were tried, by strength.
        accuracy_loss: As in a probe; also where a budget was searched for and the loss limited.
    """

    method: str
    strength: float
    met: bool
    probes: list[Probe]
    accuracy_loss: float | None

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
        if self.met:
            how = "found"
        elif self.probe.holds:
            how = "what holds the budget costs more accuracy than it may:"
        else:
            how = "no strength within reach holds the budget; the nearest is"
        words = ", ".join(self.probe.came_to(self.accuracy_loss))
        return f"{how} {self.method} in {len(self.probes)} probes ({words})"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def open_strength(method: str, recipe: Recipe) -> str | None:
    """The option that trades accuracy for stability, where a METHOD has one and does not name its value itself."""
    strength = stabilizer(method, recipe).strength
    return None if any(each.startswith(f"{strength}=") for each in method.split(":")[1:]) else strength


@dataclass
class Search:
    """Looks for the strength.

    Attributes:
        method: A METHOD that leaves its strength open.
        recipe: Model and training.
        look: Tries a METHOD of a strength.
        max_accuracy_loss: Look for the most stable that loses no more; None to look for the weakest that holds the
            budget.
        probes: Earlier ones, which are not repeated.
        on_probe: Told of each new probe.
    """

    method: str
    recipe: Recipe
    look: Callable[[str, float], Probe]
    max_accuracy_loss: float | None = None
    probes: list[Probe] = field(default_factory=list)
    on_probe: Callable[[Probe], None] = lambda _: None

    def __post_init__(self) -> None:
        name = open_strength(self.method, self.recipe)
        if name is None:
            raise OptionError(f"the method {self.method!r} has no strength to search for, or names it itself")
        self._name = name

    def run(self) -> Found:
        """Probe until the edge is found.

        Raises:
            TrainingError: If a probe's loss is NaN or infinite.
        """
        strength = self._edge()
        if self.max_accuracy_loss is not None:
            strength = max(filter(self._is_met, self.probes), key=_stability, default=self._probe(strength)).strength
        probe = self._probe(strength)
        return Found(
            method=self._named(probe.strength),
            strength=probe.strength,
            met=self._is_met(probe),
            probes=sorted(self.probes, key=lambda each: each.strength),
            accuracy_loss=probe.accuracy_loss,
        )

    def _is_met(self, probe: Probe) -> bool:
        if self.max_accuracy_loss is None:
            return probe.holds
        assert probe.accuracy_loss is not None
        return probe.accuracy_loss <= self.max_accuracy_loss

    def _edge(self) -> float:
        """The strength next to the edge, on the side that is met; the nearest to it where none is within reach."""
        # From plain to frozen lists a budget is first missed and then held; accuracy is affordable until it is not.
        met_beyond = self.max_accuracy_loss is None
        weak, scale = 0.0, self._scale
        for strong in (0.0, *scale.steps()):
            if self._is_met(self._probe(strong)) == met_beyond:
                break
            weak = strong
        else:
            # Of methods that do not draw lists towards the incumbent's the strongest need not be the nearest.
            nearest = min(self.probes, key=lambda each: (each.shortfall, each.strength))
            return nearest.strength if met_beyond else weak
        if strong == 0:
            return strong
        for _ in range(HALVINGS):
            middle = scale.between(weak, strong)
            if self._is_met(self._probe(middle)) == met_beyond:
                strong = middle
            else:
                weak = middle
        return strong if met_beyond else weak

    @cached_property
    def _scale(self) -> Scale:
        options: Options = stabilizer(self.method, self.recipe).options
        return Scale.of(type(options).model_fields[self._name])

    def _named(self, strength: float) -> str:
        return f"{self.method}:{self._name}={self._scale.written(strength)}"

    def _probe(self, strength: float) -> Probe:
        strength = float(self._scale.written(strength))
        known = next((probe for probe in self.probes if probe.strength == strength), None)
        if known is not None:
            return known
        probe = self.look(self._named(strength), strength)
        self.probes.append(probe)
        self.on_probe(probe)
        return probe


def _stability(probe: Probe) -> tuple[float, float]:
    """How little the lists of a probe move; of equal ones the weakest is taken."""
    assert probe.overlap is not None
    return probe.overlap, -probe.strength


@dataclass(frozen=True)
class Measured:
    """What a method does where nothing was trained on.

    Attributes:
        accuracy: NDCG@10, the mean over all held-out interactions.
        overlap: FRBO(p=0.9)@10 with the incumbent's lists at each user's first of them, where its lists would be shown.
    """

    accuracy: float
    overlap: float

    def loss(self, plain: "Measured") -> float:
        """Relative loss of accuracy against another one, whose accuracy is not 0."""
        return 1 - self.accuracy / plain.accuracy


@dataclass
class Validation:
    """Accuracy and overlap on the last tenth of each history, which neither a method nor its incumbent was trained on.

    Attributes:
        recipe: Model and training.
        log: The new training interactions.
        seed: Drives every stream.
        incumbent: What the method would start from. A stand-in takes its place: E epochs on the incumbent's log without
            that tenth.
        shown: Length of the lists that are served.
        checkpoint: Where a training is kept whose strength acts after it, and beside it that of the stand-in; they are
            repeated without it.
    """

    recipe: Recipe
    log: InteractionLog
    seed: int
    incumbent: TrainedModel
    shown: int
    checkpoint: Path | None = None

    def __post_init__(self) -> None:
        # A tenth of today's histories, not of those of the log that today's was made from.
        held_out = validation_split(replace(self.log, origin=None))
        self._train = held_out.train
        self._instances = held_out.held_out(self.recipe.training.max_length)

    @cached_property
    def _stand_in(self) -> TrainedModel:
        log, training = self.incumbent.log, Retrain(self.recipe)
        is_known = ~np.isin(log.interaction_ids, self._instances.ids)
        return training.fit(log.keep(is_known), self.incumbent.seed, checkpoint=self._beside)

    @property
    def _beside(self) -> Path | None:
        return None if self.checkpoint is None else self.checkpoint.with_suffix(".incumbent.safetensors")

    def plain(self, method: str) -> Measured:
        """That of a METHOD without strength.

        Raises:
            DataError: If its accuracy is 0.
            TrainingError: If the loss is NaN or infinite.
        """
        found = self(method)
        if found.accuracy == 0:
            raise DataError(
                f"without stability the method has an NDCG@{DEPTH} of 0 on the {len(self._instances):,} validation"
                " interactions, so no loss of accuracy can be told: train longer or with more data, or ask for --budget"
                " alone"
            )
        return found

    def __call__(self, method: str) -> Measured:
        """Train a METHOD, and ask it.

        Raises:
            TrainingError: If the loss is NaN or infinite.
        """
        strategy = stabilizer(method, self.recipe)
        checkpoint = self.checkpoint if strategy.strength_is_free else None
        incumbent = None if strategy.kind == "cold" else self._stand_in
        trained = strategy.fit(self._train, self.seed, incumbent, checkpoint=checkpoint)
        if isinstance(trained, TwoModels):
            trained = trained.as_served(self._instances, self.shown)
        found = trained.rank(self._instances, DEPTH)
        is_first = self._instances.is_first
        return Measured(
            accuracy=float(ndcg(found.target_ranks, DEPTH).mean()),
            overlap=float(OVERLAP(self._shown, found.items[is_first]).mean()),
        )

    @cached_property
    def _shown(self) -> NDArray[np.int32]:
        """The incumbent's lists at each user's first instance; items that it does not know are in none of them."""
        before = BeforeGrowth.of(self.recipe, self._stand_in, self._train.n_items)
        return before.rank(self._instances.subset(self._instances.is_first), DEPTH).items

    def clear(self) -> None:
        """Remove what was kept."""
        for path in (self.checkpoint, self._beside):
            if path is not None:
                path.unlink(missing_ok=True)
