"""The audit: perturb the log, train again, compare (METHOD, sections 3 and 4).

Every training is a job with a key; jobs that several comparisons need are done once. For a seed s, a log D and a
perturbed log D'::

    retrain.D            E epochs on D: the incumbent
    retrain.D'           E epochs on D'                      anchored-update: compared with the incumbent
    warm_start.D'        F epochs from the incumbent         anchored-update: likewise; also on D
    finest.D'            F epochs, the incumbent's lists     anchored-update: likewise; also on D
    continue.D, .D'      E + F epochs                        authors-protocol, retrain: compared with one another
    finest.D             as above                            authors-protocol: compared with
    finest-follow.D'     from retrain.D', lists of retrain.D
    finest-own.D'        from retrain.D', its own lists      unanchored: compared with finest.D
    retrain.D.again      the same run twice                  floor same_seed
    retrain.D, seed t                                        floor other_seed
    retrain.D', seed t                                       anchored-update, retrain with other_seed
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path
from typing import Any, Literal, get_args

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.data.splits import Split
from finestrec.errors import DataError, OptionError
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.comparing import compare, ndcg_change
from finestrec.stability.jobs import Jobs, OnEvent
from finestrec.stability.results import StabilityAudit
from finestrec.stability.rows import AuditRow, Regime
from finestrec.stabilizers import Continue, FinestTuning, Fitter, Recipe, Strategy, stabilizer_type
from finestrec.training.progress import Progress
from finestrec.training.trained import TrainedModel

REGIMES: tuple[Regime, ...] = ("anchored-update", "authors-protocol")
METHODS = ("retrain", "warm_start", "finest")
_SAME_RUN = "D in place of D' repeats the same run"


def audit(
    split: Split,
    recipe: Recipe | Mapping[str, Fitter],
    *,
    perturbations: Sequence[Perturbation | str] = ("delete:random:0.001",),
    methods: Sequence[str] | None = None,
    regimes: Sequence[Regime] | None = None,
    seeds: Sequence[int] = (0,),
    floors: bool = True,
    instances: Literal["all", "first"] = "all",
    max_length: int = 50,
    folder: Path | None = None,
    data: str = "",
    on_event: OnEvent | None = None,
    progress: Callable[[str], Progress] | None = None,
) -> StabilityAudit:
    """Train on a log and on its perturbed versions, and report how far the lists moved.

    Args:
        split: The unperturbed log, split. Every model is judged on its test instances.
        recipe: A model of ours and its training; or, for any other model, a `Fitter` for each method, `retrain`
            among them. Those are audited in the regime anchored-update.
        perturbations: What is done to the training log, each for itself.
        methods: Names of `STABILIZERS`, by default all of them, or all fitters; `retrain` is always trained, because
            all others start from it.
        regimes: anchored-update, authors-protocol, unanchored; by default the first two, or the first for fitters.
        floors: Measure what the same seed and another seed change by themselves. With one seed this trains with
            the next one too.
        seeds: Each drives a whole set of runs, the perturbation included.
        instances: all test instances, or each user's first.
        max_length: Longest history of a test instance, for fitters; a recipe has its own.
        folder: Where finished trainings are kept; a rerun with the same arguments does what is missing.
        data: A name of the log, for the rows.
        on_event: Told in words what is done.
        progress: Makes the progress display of a training, given its name.

    Returns:
        The rows, with words and tables.

    Raises:
        OptionError: If a name is unknown.
        DataError: If there are no test instances.
        RunFolderError: If the folder holds trainings of other options.
    """
    if methods is None:
        methods = METHODS if isinstance(recipe, Recipe) else tuple(recipe)
    if regimes is None:
        regimes = REGIMES if isinstance(recipe, Recipe) else REGIMES[:1]
    parsed = [p if isinstance(p, Perturbation) else Perturbation.parse(p) for p in perturbations]
    for regime in regimes:
        if regime not in get_args(Regime) or regime == "floor":
            raise OptionError(f"unknown regime {regime!r}; known are anchored-update, authors-protocol, unanchored")
    fitters = _fitters(recipe, methods, regimes)
    if isinstance(recipe, Recipe):
        max_length = recipe.training.max_length
    if not seeds or len(set(seeds)) < len(seeds):
        raise OptionError(f"the seeds are {list(seeds)}; expected one or more different ones")
    test = split.held_out(max_length)
    if instances == "first":
        test = test.subset(test.is_first)
    if len(test) == 0:
        raise DataError("there are no test instances to compare lists on; use a split that holds something out")
    identity = {
        "log": split.train.fingerprint,
        "test": split.log.fingerprint,
        "instances": instances,
        **_options(recipe),
    }
    run = _Audit(
        split=split,
        test=test,
        recipe=recipe,
        fitters=fitters,
        perturbations=parsed,
        methods=methods,
        regimes=regimes,
        seeds=seeds,
        floors=floors,
        instances=instances,
        data=data,
        jobs=Jobs(folder, identity, on_event or (lambda _: None)),
        progress=progress,
    )
    return StabilityAudit(rows=list(run.rows()))


def _fitters(
    recipe: Recipe | Mapping[str, Fitter], methods: Sequence[str], regimes: Sequence[Regime]
) -> dict[str, Fitter]:
    if isinstance(recipe, Recipe):
        return {name: stabilizer_type(name)(recipe) for name in {*methods, "retrain"}}
    missing = {*methods, "retrain"} - recipe.keys()
    if missing:
        raise OptionError(f"no fitter for {', '.join(sorted(missing))}; given are {', '.join(recipe) or 'none'}")
    if list(regimes) != ["anchored-update"]:
        raise OptionError(f"fitters are audited in the regime anchored-update only, not in {', '.join(regimes)}")
    return dict(recipe)


def _options(recipe: Recipe | Mapping[str, Fitter]) -> dict[str, Any]:
    if not isinstance(recipe, Recipe):
        kind = type(recipe["retrain"])
        return {"model": f"{kind.__module__}.{kind.__qualname__}"}
    return {
        "model": recipe.model,
        "model_options": recipe.model_options.model_dump(mode="json"),
        "training": recipe.training.model_dump(mode="json"),
        "finest": recipe.finest.model_dump(mode="json"),
        "device": recipe.device.model_dump(mode="json"),
    }


@dataclass
class _Audit:
    split: Split
    test: Instances
    recipe: Recipe | Mapping[str, Fitter]
    fitters: dict[str, Fitter]
    perturbations: list[Perturbation]
    methods: Sequence[str]
    regimes: Sequence[Regime]
    seeds: Sequence[int]
    floors: bool
    instances: Literal["all", "first"]
    data: str
    jobs: Jobs
    progress: Callable[[str], Progress] | None
    _logs: dict[tuple[str, int], InteractionLog] = field(default_factory=dict)

    def rows(self) -> Iterator[AuditRow]:
        """Every row; the trainings of a seed are freed when its rows are made."""
        if self.floors:
            yield from self._other_seeds()
            self.jobs.forget()
        for seed in self.seeds:
            if self.floors and seed == self.seeds[0]:
                base, again = self._retrain(None, seed), self._retrain(None, seed, ".again")
                yield self._row("floor", "same_seed", None, seed, base, again)
            for perturbation in self.perturbations:
                for regime in self.regimes:
                    yield from self._regime(regime, perturbation, seed)
            self.jobs.forget()

    def _other_seeds(self) -> Iterator[AuditRow]:
        """The floor of another seed, and another seed together with the perturbation: what a team sees."""
        # A single seed is given a second one to be told from.
        pairs = list(permutations(self.seeds, 2)) or [(self.seeds[0], self.seeds[0] + 1)]
        for seed, other in pairs:
            base = self._retrain(None, seed)
            if seed < other:
                yield self._row("floor", "other_seed", None, seed, base, self._retrain(None, other), other)
            for perturbation in self.perturbations if "anchored-update" in self.regimes else []:
                key = self._retrain(perturbation, other)
                yield self._row("anchored-update", "retrain", perturbation, seed, base, key, other)

    def _regime(self, regime: Regime, perturbation: Perturbation, seed: int) -> Iterator[AuditRow]:
        base = self._retrain(None, seed)
        both: list[Perturbation | None] = [None, perturbation]
        # D in place of D' does not depend on the perturbation: one row for all of them.
        wanted = both if perturbation is self.perturbations[0] else both[1:]
        for new in wanted:
            for method in self.methods:
                if regime == "anchored-update":
                    if method == "retrain":
                        again = self.floors and new is None and seed == self.seeds[0]
                        key = self._retrain(new, seed, ".again" if again else "")
                        notes = [] if new or again else [_SAME_RUN]
                        yield self._row(regime, method, new, seed, base, key, notes=notes)
                    else:
                        yield self._row(regime, method, new, seed, base, self._tuned(method, new, seed))
                elif method == "retrain" and regime == "authors-protocol":
                    notes = [] if new else [_SAME_RUN]
                    old, key = (self._continued(log, seed) for log in (None, new))
                    yield self._row(regime, method, new, seed, old, key, notes=notes)
                elif method == "finest":
                    old = self._tuned(method, None, seed)
                    notes = [] if new else [_SAME_RUN]
                    key = self._followed(regime, new, seed) if new else old
                    yield self._row(regime, method, new, seed, old, key, notes=notes)

    # Trainings. Each returns the key of a job that is done.

    def _retrain(self, perturbation: Perturbation | None, seed: int, suffix: str = "") -> str:
        key = f"{_key('retrain', perturbation, seed)}{suffix}"
        return self._train(key, self.fitters["retrain"], perturbation, seed)

    def _tuned(self, method: str, perturbation: Perturbation | None, seed: int) -> str:
        base = self._retrain(None, seed)
        return self._train(_key(method, perturbation, seed), self.fitters[method], perturbation, seed, base)

    def _continued(self, perturbation: Perturbation | None, seed: int) -> str:
        base = self._retrain(perturbation, seed)
        fitter = Continue(self._ours)
        return self._train(_key("continue", perturbation, seed), fitter, perturbation, seed, base)

    def _followed(self, regime: Regime, perturbation: Perturbation, seed: int) -> str:
        base = self._retrain(perturbation, seed)
        if regime == "unanchored":
            fitter = FinestTuning(self._ours)
            return self._train(_key("finest-own", perturbation, seed), fitter, perturbation, seed, base)
        anchor = self.jobs.ranker(self._retrain(None, seed))
        assert isinstance(anchor, TrainedModel)
        fitter = FinestTuning(self._ours, anchor=anchor)
        return self._train(_key("finest-follow", perturbation, seed), fitter, perturbation, seed, base)

    @property
    def _ours(self) -> Recipe:
        assert isinstance(self.recipe, Recipe)  # other fitters take part in anchored-update only
        return self.recipe

    def _train(
        self, key: str, fitter: Fitter, perturbation: Perturbation | None, seed: int, incumbent: str | None = None
    ) -> str:
        if self.progress is not None and isinstance(fitter, Strategy):
            fitter = replace(fitter, progress=self.progress(key))
        base = None if incumbent is None else self.jobs.ranker(incumbent)
        return self.jobs.train(key, fitter, self._log(perturbation, seed), seed, base)

    def _log(self, perturbation: Perturbation | None, seed: int) -> InteractionLog:
        if perturbation is None:
            return self.split.train
        where = (str(perturbation), seed)
        if where not in self._logs:
            self._logs[where] = perturbation.apply(self.split.train, seed).log
        return self._logs[where]

    def _row(
        self,
        regime: Regime,
        method: str,
        perturbation: Perturbation | None,
        seed: int,
        old: str,
        new: str,
        other_seed: int | None = None,
        notes: Sequence[str] = (),
    ) -> AuditRow:
        def make() -> dict[str, Any]:
            before, after = (self.jobs.judged(key, self.test) for key in (old, new))
            comparison = compare(before, after, self.test)
            cost = self.jobs.cost(new)
            return AuditRow(
                regime=regime,
                method=method,
                model=_options(self.recipe)["model"],
                data=self.data,
                log_fingerprint=self.split.train.fingerprint,
                perturbation=str(perturbation) if perturbation else None,
                seed=seed,
                other_seed=other_seed,
                options=_options(self.recipe),
                instances=self.instances,
                n_instances=len(self.test),
                measures=comparison.means(),
                accuracy=after.accuracy(),
                reference_accuracy=before.accuracy(),
                ndcg_change=ndcg_change(before, after, self.test),
                seconds=cost["seconds"],
                peak_memory=int(cost["peak_memory"]),
                notes=[*comparison.notes, *notes],
            ).to_json()

        return AuditRow(**self.jobs.remembered(f"row.{regime}.{method}.{old}--{new}", make))


def _key(what: str, perturbation: Perturbation | None, seed: int) -> str:
    log = "D" if perturbation is None else str(perturbation).replace(":", "-").replace("%", "pct")
    return f"{what}.{log}.seed{seed}"
