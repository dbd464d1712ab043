"""How a run folder is filled: training from scratch, and stabilizing a finished run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finestrec.config import Config
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.data.splits import split
from finestrec.errors import DataError
from finestrec.runs.comparing import COMPARISON, compare_served, write_comparison
from finestrec.runs.folder import RunFolder
from finestrec.runs.night import Night
from finestrec.runs.run import Run, kept_by
from finestrec.runs.searching import Limits, Searcher
from finestrec.runs.tables import StoredLog, write_results
from finestrec.stability.comparing import DEPTH_OF_ACCURACY, MEASURES, WHOLE_CATALOGUE, Judged, compare_judged, judge
from finestrec.stability.gate import judged
from finestrec.stability.instances import instance_table, row_values
from finestrec.stability.memory import peak_bytes, reset_peak
from finestrec.stability.rows import SCHEMA
from finestrec.stability.search import Found
from finestrec.stability.touch import erased
from finestrec.stability.withdrawn import WithoutItems
from finestrec.stabilizers import BeforeGrowth, Ranker, TwoModels, stabilizer
from finestrec.training.progress import Progress

NO_TEST = "accuracy and similarity are null: the split holds nothing out"
Row = dict[str, Any]
_Rows = Callable[[Run, Row, Ranker], list[Row]]
"""Rows of a new run, from what they all have; and of what makes its lists of held-out interactions."""


def prepare(whole: InteractionLog, config: Config) -> StoredLog:
    """Filter, freeze the vocabulary and split.

    Raises:
        DataError: If fewer than two users or items are left, or nothing is held out by a split that should.
    """
    log = whole.with_min_length(config.data.min_length)
    for what, count in (("user", log.n_users), ("item", log.n_items)):
        if count < 2:
            raise DataError(
                f"the log has one {what} (of users with {config.data.min_length} or more interactions); a recommender"
                f" needs at least two {what}s: lower data.min_length or use more data"
            )
    parts = split(log, config.split)
    return StoredLog(whole, parts, parts.log.interaction_ids[~parts.is_train])


@dataclass(frozen=True)
class Maker:
    """Fills a run folder.

    Attributes:
        folder: Entered by the caller.
        data: A name of the log, for the rows.
        progress: Shown while training.
        limits: What the run has to keep; where the method leaves its strength open, what that is searched for.
        on_event: Told in words how the search goes.
    """

    folder: RunFolder
    data: str = ""
    progress: Progress | None = None
    limits: Limits = field(default_factory=Limits)
    on_event: Callable[[str], None] = lambda _: None

    @property
    def _config(self) -> Config:
        return self.folder.config

    def train(self, stored: StoredLog) -> Run:
        """Train from the initial weights, rank, judge and save."""

        def rows(run: Run, row: Row, _: Ranker) -> list[Row]:
            row |= {"regime": None, "reference_accuracy": None, "ndcg_change": None}
            row["measures"] = dict.fromkeys((*MEASURES, WHOLE_CATALOGUE))
            # Nothing is compared, so no list is needed beyond what accuracy looks at.
            row["accuracy"] = Judged(run.trained, run.trained.rank(run.test, DEPTH_OF_ACCURACY)).accuracy()
            if len(run.test):
                row["notes"] = ["similarity is null: there is nothing to compare with"]
            return [row]

        return self._made("retrain", stored, stored.split.train, None, rows)

    def stabilize(self, incumbent: Run, night: Night, method: str) -> Run:
        """Train by a method on a later log, and compare the lists with the incumbent's on its test instances."""

        def rows(run: Run, row: Row, after: Ranker) -> list[Row]:
            # An erased user has no lists any more that could hold, and nobody can be right about a retired item.
            test: Instances = incumbent.test
            gone = erased(incumbent.trained.log.lengths, night.train.lengths) | (night.stored.split.log.lengths == 0)
            test = test.subset(~(gone[test.users] | run.is_retired[test.targets]))
            return [self._compared(row, incumbent.trained, after, test, run.is_retired)]

        return self._renewed(method, incumbent, night, rows)

    def update(self, incumbent: Run, night: Night, method: str) -> Run:
        """Train by a method on a later log whose users and items may have grown, and compare with the incumbent.

        Both are judged on the new run's test instances; items that are new to the incumbent stand in none of its lists.
        """

        def rows(run: Run, row: Row, after: Ranker) -> list[Row]:
            before = BeforeGrowth.of(incumbent.config.recipe, incumbent.trained, night.train.n_items)
            return [self._compared(row, before, after, run.test, run.is_retired)]

        return self._renewed(method, incumbent, night, rows)

    def _renewed(self, method: str, incumbent: Run, night: Night, rows: _Rows) -> Run:
        found = None
        if self.limits.decide(method, self._config):
            found = Searcher(self.folder, incumbent, night, method, self.limits, self.on_event).found()
        run = self._made(found.method if found else method, night.stored, night.train, incumbent, rows, found)
        folder = self.folder.path / COMPARISON
        folder.mkdir(exist_ok=True)
        served = compare_served(incumbent, run)
        checks = judged(served, self.limits.budget)
        served.summary["gate"] = [verdict.to_json() for verdict in checks]
        write_comparison(folder, served)
        return run

    def _compared(self, row: Row, before: Ranker, after: Ranker, test: Instances, is_retired: NDArray[np.bool_]) -> Row:
        if isinstance(after, TwoModels):
            after = after.as_served(test, self._config.lists.k)
        if is_retired.any():
            after = WithoutItems(after, is_retired)
        old, new = judge(before, test), judge(after, test)
        row |= {"regime": "anchored-update", "n_instances": len(test)}
        if len(test):
            comparison = compare_judged(old, new, test)
            return row | row_values(instance_table(old, new, comparison, test)) | {"notes": comparison.notes}
        row["accuracy"], row["reference_accuracy"] = new.accuracy(), old.accuracy()
        row["measures"] = dict.fromkeys((*MEASURES, WHOLE_CATALOGUE))
        row["ndcg_change"] = None
        return row

    def _made(
        self,
        method: str,
        stored: StoredLog,
        train: InteractionLog,
        incumbent: Run | None,
        rows: _Rows,
        found: Found | None = None,
    ) -> Run:
        config, path = self._config, self.folder.path
        stored.write(path)
        strategy = stabilizer(method, config.recipe, self.progress)
        reset_peak()
        before = incumbent.trained if incumbent else None
        trained = strategy.trainer.fit(train, config.seed, before, checkpoint=self.folder.checkpoint)
        run = Run.of(path, config, stored, trained, kept_by(strategy, incumbent, stored))
        run.save()
        after = strategy.served(trained, before) if before else trained
        row = {
            "method": method,
            "model": config.model_name,
            "data": self.data,
            "log_fingerprint": stored.split.train.fingerprint,
            "perturbation": None,
            "seed": config.seed,
            "other_seed": None,
            "options": config.to_layer(),
            "instances": "all",
            "n_instances": len(run.test),
            "seconds": sum(record.seconds for record in trained.state.history),
            "peak_memory": peak_bytes(),
            "notes": [] if len(run.test) else [NO_TEST],
        }
        search = found.to_json() if found else None
        write_results(path, {"schema": SCHEMA, "rows": rows(run, row, after), "search": search})
        return run
