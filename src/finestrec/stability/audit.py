"""The audit: perturb the log, train again, compare (METHOD, sections 3 and 4).

`plan` says what there is to do, `work` how a piece of it is done, `engines` and `clusters` where, `grid` in which
order, and `jobs` keeps what came of it. `arguments` refuses what cannot be done. Here rows are made.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from finestrec.data.splits import Split
from finestrec.data.tables import open_source
from finestrec.data.usertables import UserTable, read_user_table
from finestrec.errors import DataError, OptionError
from finestrec.models import model_name
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.arguments import check_perturbations, check_types, check_what, instances_of
from finestrec.stability.clusters import RayCluster
from finestrec.stability.engines import Engine, InProcess, WorkerProcesses, check_factories, check_model_factory
from finestrec.stability.fitters import fitter_identity, fitter_name
from finestrec.stability.grid import Grid, JobsProgress, OnEvent
from finestrec.stability.jobs import JobTable
from finestrec.stability.plan import Comparison, PlannedMethod, plan
from finestrec.stability.results import StabilityAudit
from finestrec.stability.rows import AuditRow, Regime
from finestrec.stability.slices import table_slices
from finestrec.stability.work import Factory, Workbench
from finestrec.stabilizers import Fitter, Policy, Recipe, stabilizer

if TYPE_CHECKING:
    from finestrec.data.tables import Source

REGIMES: tuple[Regime, ...] = ("anchored-update", "authors-protocol")
METHODS = ("retrain", "warm_start", "finest")
EngineName = Literal["local", "ray"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)


def audit(
    split: Split,
    recipe: Recipe | Mapping[str, Fitter | Factory],
    *,
    perturbations: Sequence[Perturbation | str] = ("delete:random:0.001",),
    methods: Sequence[str] | None = None,
    regimes: Sequence[Regime] | None = None,
    seeds: Sequence[int] = (0,),
    floors: bool = True,
    unchanged: bool = True,
    instances: Literal["all", "first"] = "all",
    max_length: int = 50,
    folder: str | os.PathLike[str] | None = None,
    data: str = "",
    users: "UserTable | Source | None" = None,
    jobs: int | None = None,
    engine: EngineName = "local",
    on_event: OnEvent | None = None,
    progress: JobsProgress | None = None,
) -> StabilityAudit:
    """Train on a log and on its perturbed versions, and report how far the lists moved.

    Each training and each comparison is a job. What is finished is kept, a job that fails does not stop the others,
    and the rows do not depend on where jobs ran, but for the number of threads that one has.

    Args:
        split: The unperturbed log, split. Every model is judged on its test instances.
        recipe: A model and its training; or, for any other model, a `Fitter` for each method, `retrain`
            among them, or a class or function of no arguments that makes it. Those are audited in the regime
            anchored-update.
        perturbations: What is done to the training log, each for itself. append:cut:DAYS is a night: D ends that many
            days before the training log does, and D' is the training log.
        methods: METHODs, as `stabilizer` takes them; by default retraining, warm start and FINEST, or all fitters.
            `retrain` is always trained, because all others start from it.
        regimes: anchored-update, authors-protocol, unanchored; by default the first two, or the first for fitters.
        floors: Measure what the same seed and another seed change by themselves. With one seed this trains with
            the next one too.
        unchanged: Compare every method with D in place of D' as well, which costs most methods a training more.
        seeds: Each drives a whole set of runs, the perturbation included.
        instances: all test instances, or each user's first.
        max_length: Longest input, of test instances and where cascades are looked for, for fitters; a recipe has its
            own.
        folder: Where finished trainings are kept, by default for the time of the call only; a rerun with the same
            arguments does what is missing. What fitters return is not kept, only what came of the comparisons; a fitter
            counts as another one when its repr or the file that it stands in has changed.
        data: A name of the log, for the rows.
        users: A file or a frame, one row a user: user_id, and others that the results are sliced by as well; or what
            was read of one.
        jobs: How many jobs at a time. By default one, in this process; with the engine ray as many as it has CPUs for.
            Several run in spawned processes, each with one thread where the recipe says nothing else: a script then
            calls this under `if __name__ == "__main__":`, and fitters are given by what makes them.
        engine: local, or ray: on the Ray cluster of RAY_ADDRESS, or of this machine alone. All machines have to see
            `folder` under the same path.
        on_event: Told in words what is done.
        progress: Told how far the jobs are.

    Returns:
        The rows, with words and tables.

    Raises:
        OptionError: If a name is unknown, a perturbation does not fit the log, or fitters cannot be made in other
            processes.
        DataError: If there are no test instances, or the table of users cannot be joined.
        RunFolderError: If the folder holds trainings of other options, or of another version.
        JobsFailedError: If jobs failed, after all others were done.
    """
    check_types(split, recipe, perturbations, methods, regimes, seeds)
    asked_for = methods or ()
    if methods is None:
        methods = METHODS if isinstance(recipe, Recipe) else tuple(recipe)
    if regimes is None:
        regimes = REGIMES if isinstance(recipe, Recipe) else REGIMES[:1]
    parsed = [p if isinstance(p, Perturbation) else Perturbation.parse(p) for p in perturbations]
    check_what(recipe, methods, regimes, seeds, instances)
    place = _Place(engine, jobs, None if folder is None else Path(folder))
    recipe, threads = place.fitted(recipe)
    if isinstance(recipe, Recipe):
        max_length = recipe.training.max_length
    test = instances_of(split, instances, max_length)
    if len(test) == 0:
        raise DataError("there are no test instances to compare lists on; use a split that holds something out")
    check_perturbations(parsed, split, seeds, instances, max_length)
    known = users if users is None or isinstance(users, UserTable) else read_user_table(open_source(users, "users"))
    slices = None if known is None else table_slices(known, split.log.vocabulary)
    what = plan(parsed, _planned(recipe, methods), regimes, seeds, floors=floors, unchanged=unchanged)
    tell: OnEvent = on_event or (lambda _: None)
    for regime in regimes:
        silent = what.says_nothing_of(asked_for, regime)
        if silent:
            tell(f"{regime} does not define {', '.join(silent)}: there are no rows of it")
    with place.entered() as path:
        identity = _identity(split, instances, recipe, threads)
        identity["users"] = None if known is None else known.fingerprint
        fitters = None
        if not isinstance(recipe, Recipe) and place.folder is not None:
            fitters = {method: fitter_identity(recipe[method]) for method in {"retrain", *methods}}
        table = JobTable(path, identity, fitters)
        bench = Workbench(what, split, test, recipe, path, max_length, threads, slices)
        grid = Grid(what, table, bench, tell, progress or JobsProgress())
        grid.run(lambda: place.engine_for(bench))
        common = {
            "model": _options(recipe)["model"],
            "data": data,
            "options": _options(recipe),
            "instances": instances,
        }
        bases = {change: change.base(split.train) if change else split.train for change in (None, *parsed)}
        rows = [
            _row(each, table, {**common, "log_fingerprint": bases[each.perturbation].fingerprint})
            for each in what.comparisons
        ]
        return StabilityAudit.of(rows, lambda row: table.table(row.comparison))


def _planned(recipe: Recipe | Mapping[str, Fitter | Factory], methods: Sequence[str]) -> dict[str, PlannedMethod]:
    if not isinstance(recipe, Recipe):
        return dict.fromkeys(methods, PlannedMethod("tuned"))
    planned: dict[str, PlannedMethod] = {}
    first: dict[str, str] = {}
    for method in methods:
        strategy = stabilizer(method, recipe)
        over = strategy.options.over if isinstance(strategy, Policy) else None
        other = first.setdefault(strategy.trained_as, method) if strategy.kind == "tuned" else method
        planned[method] = PlannedMethod(strategy.kind, strategy.preserves, over, None if other == method else other)
    return planned


@dataclass(frozen=True)
class _Place:
    """Where the jobs run and what they leave stands."""

    engine: EngineName
    jobs: int | None
    folder: Path | None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise OptionError(f"unknown engine {self.engine!r}; known are {', '.join(ENGINES)}")
        if self.jobs is not None and self.jobs < 1:
            raise OptionError(f"jobs is {self.jobs}; at least one job at a time is needed")
        if self.engine == "ray" and self.folder is None:
            raise OptionError("the engine ray needs a folder that all machines of the cluster see")

    @property
    def _is_elsewhere(self) -> bool:
        return self.engine == "ray" or (self.jobs or 1) > 1

    def fitted(
        self, recipe: Recipe | Mapping[str, Fitter | Factory]
    ) -> tuple[Recipe | Mapping[str, Fitter | Factory], int | None]:
        """The recipe as it runs here, and the threads of a job; None leaves torch's number as it is.

        Raises:
            OptionError: If it cannot.
        """
        if not isinstance(recipe, Recipe):
            if self._is_elsewhere:
                check_factories(recipe)
            return recipe, 1 if self._is_elsewhere else None
        if not self._is_elsewhere:
            return recipe, recipe.device.threads
        if not isinstance(recipe.model, str):
            check_model_factory(recipe.model)
        if recipe.device.devices > 1:
            raise OptionError("trainings that share devices run one at a time: give either devices or jobs")
        threads = recipe.device.threads or 1
        return replace(recipe, device=recipe.device.model_copy(update={"threads": threads})), threads

    @contextmanager
    def entered(self) -> Iterator[Path]:
        """The folder, or a temporary one."""
        with ExitStack() as stack:
            yield self.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))

    def engine_for(self, bench: Workbench) -> Engine:
        """What does the work."""
        if self.engine == "ray":
            return RayCluster(bench, self.jobs)
        return WorkerProcesses(bench, self.jobs or 1) if self._is_elsewhere else InProcess(bench)


def _identity(
    split: Split,
    instances: str,
    recipe: Recipe | Mapping[str, Fitter | Factory],
    threads: int | None,
) -> dict[str, Any]:
    """What decides the outcome of the jobs; new versions may compute other numbers."""
    options = _options(recipe)
    return {
        "finestrec": version("finestrec"),
        "torch": torch.__version__,
        "log": split.train.fingerprint,
        "test": split.log.fingerprint,
        "instances": instances,
        **options,
        "device": {key: value for key, value in options.get("device", {}).items() if key != "threads"},
        "threads": threads or torch.get_num_threads(),
    }


def _options(recipe: Recipe | Mapping[str, Fitter | Factory]) -> dict[str, Any]:
    if not isinstance(recipe, Recipe):
        return {"model": fitter_name(recipe["retrain"])}
    return {
        "model": model_name(recipe.model),
        "model_options": recipe.model_options.model_dump(mode="json"),
        "training": recipe.training.model_dump(mode="json"),
        "finest": recipe.finest.model_dump(mode="json"),
        "device": recipe.device.model_dump(mode="json"),
    }


def _row(comparison: Comparison, table: JobTable, common: Mapping[str, Any]) -> AuditRow:
    new = table[comparison.new]
    return AuditRow(
        **common,
        **table.row(comparison.key),
        comparison=comparison.key,
        regime=comparison.regime,
        method=comparison.method,
        perturbation=str(comparison.perturbation) if comparison.perturbation else None,
        seed=comparison.seed,
        other_seed=comparison.other_seed,
        seconds=new.seconds or 0.0,
        peak_memory=new.peak_memory or 0,
    )
