"""Work of an audit in an order that its needs allow: what is missing is done, what fails is noted, the rest goes on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from finestrec.errors import JobsFailedError
from finestrec.stability.engines import Engine
from finestrec.stability.jobs import Job, JobTable
from finestrec.stability.plan import Plan, Training
from finestrec.stability.work import Done, Failed, Outcome, Workbench
from finestrec.stabilizers import Ranker

OnEvent = Callable[[str], None]


class JobsProgress:
    """Told how far an audit is; this one shows nothing."""

    def begin(self, epochs: Mapping[str, float], done: int) -> None:
        """What is to be done: the epochs of each job; and how many jobs were done before."""

    def start(self, key: str) -> None:
        """A job is begun."""

    def move(self, key: str, left: float) -> None:
        """So many epochs are left of a training."""

    def finish(self, key: str) -> None:
        """A job is over, whatever came of it."""

    def end(self) -> None:
        """The audit is over, finished or not."""


@dataclass
class Grid:
    """Does all that is missing of a plan.

    Attributes:
        plan: The work.
        table: Where outcomes are kept.
        bench: What the work needs.
        on_event: Told in words what is done.
        progress: Told of jobs and epochs.
    """

    plan: Plan
    table: JobTable
    bench: Workbench
    on_event: OnEvent
    progress: JobsProgress
    _waiting: list[str] = field(default_factory=list)
    _running: set[str] = field(default_factory=set)
    _rankers: dict[str, Ranker] = field(default_factory=dict)
    _failures: dict[str, Failed] = field(default_factory=dict)
    _skipped: list[str] = field(default_factory=list)

    def run(self, make_engine: Callable[[], Engine]) -> None:
        """Do it; nothing is started where nothing is missing.

        Args:
            make_engine: Called if anything is.

        Raises:
            JobsFailedError: If a job failed, after all others are done.
            RuntimeError: The same, if one failed in a way that nobody foresaw.
        """
        done = self.table.done(self.plan)
        self._waiting = self.plan.missing(done)
        if not self._waiting:
            return
        engine = make_engine()
        self.progress.begin({key: self.bench.epochs(key) for key in self._waiting}, len(done))
        try:
            while self._waiting or self._running:
                self._submit(engine)
                for key, outcome in engine.wait(self.progress.move):
                    self._finish(key, outcome)
        finally:
            self.progress.end()
            engine.close()
        self._report()

    def _submit(self, engine: Engine) -> None:
        for key in [*self._waiting]:
            if engine.slots is not None and len(self._running) >= engine.slots:
                return
            needs = self.plan.works[key].needs
            if self._running.isdisjoint(needs) and not set(needs) & set(self._waiting):
                self._waiting.remove(key)
                self._running.add(key)
                self.table.note(key, Job("running"))
                if isinstance(self.plan.works[key], Training):
                    self.on_event(f"training {key}")
                self.progress.start(key)
                engine.submit(key, {need: self._rankers[need] for need in needs if need in self._rankers})

    def _finish(self, key: str, outcome: Outcome) -> None:
        self._running.remove(key)
        if isinstance(outcome, Done):
            self._keep(key, outcome)
        else:
            self._failures[key] = outcome
            self.table.note(key, Job("failed", error=outcome.reason))
            self.on_event(f"{key} failed: {outcome.reason}")
            for other in self.plan.dependents(key):
                if other in self._waiting:
                    self._waiting.remove(other)
                    self._skipped.append(other)
                    self.table.note(other, Job("skipped", error=f"{key} failed"))
                    self.progress.finish(other)
        self.progress.finish(key)
        needed = {need for other in (*self._waiting, *self._running) for need in self.plan.works[other].needs}
        self._rankers = {other: ranker for other, ranker in self._rankers.items() if other in needed}

    def _keep(self, key: str, outcome: Done) -> None:
        if not isinstance(self.plan.works[key], Training):
            self.table.keep_row(key, outcome.result)
        elif outcome.result is not None:
            self._rankers[key] = outcome.result
        self.table.note(key, Job("done", outcome.seconds, outcome.peak_memory))
        if isinstance(self.plan.works[key], Training):
            self.on_event(f"{key}: trained in {outcome.seconds:.1f} s")

    def _report(self) -> None:
        if not self._failures:
            return
        parts = [f"{key}: {failed.reason}" for key, failed in self._failures.items()]
        text = f"{len(parts)} of {len(self.plan.works)} jobs failed ({'; '.join(parts)})"
        if self._skipped:
            text += f", and {len(self._skipped)} that need them were skipped ({', '.join(self._skipped)})"
        text += ". All others are done; a rerun in the same folder (--resume) does what is missing"
        unforeseen = [failed.traceback for failed in self._failures.values() if failed.traceback]
        if unforeseen:
            raise RuntimeError("\n".join([text, *unforeseen]))
        raise JobsFailedError(text)
