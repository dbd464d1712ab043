"""The search for a method's strength in a run folder: on the lists that the run would serve."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from finestrec.config import Config
from finestrec.data.files import write_aside
from finestrec.errors import OptionError
from finestrec.runs.comparing import compare_served
from finestrec.runs.folder import SEARCH, RunFolder
from finestrec.runs.night import Night
from finestrec.runs.run import Run, kept_by
from finestrec.stability.gate import Check, judged
from finestrec.stability.search import Found, Measured, Probe, Search, Validation, open_strength
from finestrec.stabilizers import stabilizer


@dataclass(frozen=True)
class Limits:
    """What a stabilized run has to keep.

    Attributes:
        budget: Conditions of the lists that are served, each a check that fails where it is not held.
        max_accuracy_loss: The largest relative loss of NDCG@10 that stability may cost.
    """

    budget: tuple[Check, ...] = ()
    max_accuracy_loss: float | None = None

    def decide(self, method: str, config: Config) -> bool:
        """Whether they decide the strength of a METHOD, or are only held against what it makes.

        Raises:
            OptionError: If a loss of accuracy is limited where there is no strength to search for.
        """
        if open_strength(method, config.recipe) is not None:
            return bool(self.budget) or self.max_accuracy_loss is not None
        if self.max_accuracy_loss is not None:
            raise OptionError(
                f"the method {method!r} has no strength to search for, or names it itself, and so cannot keep to a"
                " largest loss of accuracy"
            )
        return False


@dataclass(frozen=True)
class Searcher:
    """Finds the strength that limits ask for; probes of an interrupted search are not repeated.

    Attributes:
        folder: Of the new run, entered by the caller.
        incumbent: The run before.
        night: The later log.
        method: A METHOD that leaves its strength open.
        limits: What is asked for.
        on_event: Told in words how it goes.
    """

    folder: RunFolder
    incumbent: Run
    night: Night
    method: str
    limits: Limits
    on_event: Callable[[str], None]

    def found(self) -> Found:
        """Search.

        Raises:
            TrainingError: If a loss is NaN or infinite.
        """
        path, limit = self.folder.path / SEARCH, self.limits.max_accuracy_loss
        earlier = [Probe(**values) for values in json.loads(path.read_text())] if path.is_file() else []
        config = self.folder.config
        recipe = config.recipe
        checkpoint = self.folder.path / f"checkpoint.{SEARCH}.safetensors"
        validation = Validation(
            recipe, self.night.train, config.seed, self.incumbent.trained, config.lists.k, checkpoint
        )
        if limit is not None:
            self.on_event("accuracy is told from a run without the last tenth of each history, which is trained first")
        by_budget = bool(self.limits.budget)
        look = self._served if by_budget else _Affordable(validation)
        search = Search(self.method, recipe, look, None if by_budget else limit, earlier)

        def keep(probe: Probe) -> None:
            write_aside(path, json.dumps([asdict(each) for each in search.probes], indent=1) + "\n")
            self.on_event(f"probe: {probe.sentence()}")

        search.on_probe = keep
        found = search.run()
        if by_budget and limit is not None:
            loss = _Affordable(validation)(found.method, found.strength).accuracy_loss
            assert loss is not None
            found = replace(found, accuracy_loss=loss, met=found.met and loss <= limit)
        validation.clear()
        self.on_event(found.sentence())
        return found

    def _served(self, method: str, strength: float) -> Probe:
        """Whether the lists that the run would serve hold the budget."""
        config, stored = self.folder.config, self.night.stored
        strategy = stabilizer(method, config.recipe)
        # The training of the run itself, where the strength acts after it.
        checkpoint = self.folder.checkpoint if strategy.strength_is_free else None
        trained = strategy.trainer.fit(self.night.train, config.seed, self.incumbent.trained, checkpoint=checkpoint)
        run = Run.of(self.folder.path, config, stored, trained, kept_by(strategy, self.incumbent, stored))
        verdicts = judged(compare_served(self.incumbent, run, run.served()), self.limits.budget)
        values = {_term(verdict.check): verdict.value for verdict in verdicts}
        missed = [verdict.by for verdict in verdicts if verdict.failed]
        return Probe(strength, values, not missed, None, max(missed, default=0.0))


def _term(check: Check) -> str:
    """What a condition is about, e.g. lower(Jaccard@10)."""
    return check.text.rpartition(check.op)[0].strip()


@dataclass
class _Affordable:
    """What a strength costs."""

    validation: Validation
    plain: Measured | None = None

    def __call__(self, method: str, strength: float) -> Probe:
        if self.plain is None:
            self.plain = self.validation.plain(method.rpartition("=")[0] + "=0")
        found = self.validation(method) if strength else self.plain
        return Probe(strength, {}, True, found.loss(self.plain), overlap=found.overlap)
