"""A finished run: a trained model with the log it was made from."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors

from finestrec.config import Config, compose
from finestrec.data.files import write_aside
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.data.splits import Split
from finestrec.errors import OptionError, RunFolderError
from finestrec.models import NextItemModel, build_model
from finestrec.options import read_toml
from finestrec.ranking import SeenPolicy
from finestrec.recommendation import recommend
from finestrec.runs.folder import CONFIG, KEPT, require_done
from finestrec.runs.tables import LISTS, StoredLog, damaged, read_table, refuse_unreadable, write_table
from finestrec.stabilizers import Strategy, stabilizer_type
from finestrec.stabilizers.hysteresis import Hysteresis, HysteresisOptions, KeptLists
from finestrec.training.state import TrainingState
from finestrec.training.trained import TrainedModel

WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
WITH_MODEL = ("train", "stabilize", "update")
"""Commands whose folders hold a model."""
_OPTIONS = "hysteresis"


@dataclass(frozen=True, eq=False)
class Run:
    """A trained model and everything it was made from.

    Attributes:
        path: Its folder.
        config: All options.
        stored: The log, its split and its test interactions.
        trained: The model.
        kept: What is kept of the lists that the run before served, if anything.
    """

    path: Path
    config: Config
    stored: StoredLog
    trained: TrainedModel
    kept: KeptLists | None = None

    @classmethod
    def of(
        cls, path: Path, config: Config, stored: StoredLog, trained: TrainedModel, kept: KeptLists | None = None
    ) -> "Run":
        """A run whose training has just ended."""
        # Later nights know the model by its own log: what it was dealt by is over.
        return cls(path, config, stored, replace(trained, log=stored.split.train), kept)

    @property
    def log(self) -> InteractionLog:
        """The whole stored log, users outside the split included."""
        return self.stored.whole

    @property
    def split(self) -> Split:
        """The run's users, and which of their interactions were trained on."""
        return self.stored.split

    @property
    def is_retired(self) -> NDArray[np.bool_]:
        """Items that the run knows and its log no longer has, shape (N,)."""
        return ~self.split.log.vocabulary.items.is_in(self.log.vocabulary.items.implode()).to_numpy()

    @property
    def retired(self) -> pl.Series | None:
        """Their raw ids; None without any."""
        gone = self.split.log.vocabulary.items.filter(self.is_retired)
        return gone if len(gone) else None

    @property
    def test(self) -> Instances:
        """The test instances."""
        held_out = self.split.held_out(self.config.training.max_length)
        return held_out.subset(np.isin(held_out.ids, self.stored.test_ids))

    @cached_property
    def weights_fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when a weight does."""
        weights = to_safetensors(self.trained.model.state_dict())
        return hashlib.blake2b(weights, digest_size=8).hexdigest()

    def recommend(self, k: int, *, users: pl.Series | None = None, seen: SeenPolicy = "keep") -> pl.DataFrame:
        """The lists of users after all that is known of them; see `finestrec.recommendation.recommend`."""
        return recommend(self.trained, self.log, k, users=users, seen=seen, retired=self.retired, keeper=self.kept)

    def served(self) -> pl.DataFrame:
        """The list of every user."""
        return self.recommend(self.config.lists.k, seen=self.config.lists.seen)

    def save(self) -> None:
        """Write weights, optimizer state and lists; the log is written when the run begins (`StoredLog.write`)."""
        state = self.trained.state
        # One entry: the order of several is not fixed, and equal runs are to write equal bytes.
        weights = to_safetensors(self.trained.model.state_dict(), metadata={"format": "finestrec-model-1"})
        write_aside(self.path / WEIGHTS, weights)
        # With early stopping the last weights are not the model's, and training goes on from the last.
        rest = replace(state, weights={}) if self.trained.options.patience is None else state
        replace(rest, best_weights={}).save(self.path / OPTIMIZER)
        if self.kept is not None:
            write_table(self.kept.lists, self.path / KEPT, {_OPTIONS: self.kept.options.model_dump_json()})
        write_table(self.served(), self.path / LISTS)


def load_run(path: Path | str) -> Run:
    """Read a finished run folder.

    Raises:
        RunFolderError: If it is no run folder, is not finished, is of another version, holds no model, or a file is
            missing or damaged.
    """
    path = Path(path)
    state = require_done(path)
    for file in (CONFIG, WEIGHTS, OPTIMIZER):
        refuse_unreadable(path / file)
    if state.command not in WITH_MODEL:
        made = ", ".join(f"`finestrec {command}`" for command in WITH_MODEL)
        raise RunFolderError(
            f"{path} was made by `finestrec {state.command}` and holds no model; name a folder that one of {made} made"
        )
    try:
        config = compose([read_toml(path / CONFIG)])
    except OptionError as error:
        raise RunFolderError(f"{path / CONFIG}: {error}; make the run again") from None
    stored = StoredLog.read(path)
    split = stored.split
    model = build_model(
        config.model_name,
        split.log.n_items,
        config.seed,
        config.model,
        max_length=config.training.max_length,
    )
    _load_weights(model, path / WEIGHTS)
    rest = TrainingState.load(path / OPTIMIZER)
    state_of_training = replace(rest, weights=rest.weights or dict(model.state_dict()))
    trained = TrainedModel(model.eval(), split.train, config.seed, config.training, state_of_training)
    method = state.inputs.get("method", "retrain")
    kept = _load_kept(path / KEPT, is_needed=issubclass(stabilizer_type(method), Hysteresis))
    return Run(path, config, stored, trained, kept)


def kept_by(strategy: Strategy, before: Run | None, now: StoredLog) -> KeptLists | None:
    """What a method keeps of the lists that a run served: nothing of users who have been erased from the log."""
    if before is None or not isinstance(strategy, Hysteresis):
        return None
    lists = read_table(before.path / LISTS)
    known = now.whole.vocabulary.users.gather(np.flatnonzero(now.whole.lengths))
    return KeptLists(lists.filter(lists["user_id"].is_in(known.implode())), strategy.options)


def _load_kept(path: Path, *, is_needed: bool) -> KeptLists | None:
    # Without the lists a run would serve others than it was compared by.
    if not (is_needed or path.is_file()):
        return None
    lists = read_table(path)
    try:
        return KeptLists(lists, HysteresisOptions.model_validate_json(pl.read_parquet_metadata(path)[_OPTIONS]))
    except (KeyError, ValueError) as error:
        raise damaged(path, error) from None


def _load_weights(model: NextItemModel, path: Path) -> None:
    if not path.is_file():
        raise RunFolderError(f"{path} is missing; make the run again")
    try:
        model.load_state_dict(from_safetensors(path.read_bytes()))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise damaged(path, error) from None
