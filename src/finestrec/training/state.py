"""The state of a training run between two epochs, and its file.

Streams are named by epoch and step, so weights, moments and the record of the epochs are all there is to
resume: what comes after is bit-identical to what would have come.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from finestrec.data.files import write_aside
from finestrec.errors import RunFolderError

_FORMAT = "finestrec-state-2"
_GROUPS = ("weights", "moments", "best_weights", "averages")


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did.

    Attributes:
        epoch: From 0.
        losses: Mean of each part of the loss over the batches.
        seconds: Wall time.
        positions_per_second: Trained positions over wall time.
        validation_ndcg: NDCG@10 on the validation instances, or None without validation.
    """

    epoch: int
    losses: dict[str, float]
    seconds: float
    positions_per_second: float
    validation_ndcg: float | None = None


@dataclass
class TrainingState:
    """Everything that the next epoch depends on.

    Attributes:
        weights: By parameter name.
        moments: Adam's state by "name/parameter", e.g. "exp_avg/items.weight".
        best_weights: The best ones so far, with early stopping.
        averages: With averaging, the average so far as torch's `AveragedModel` keeps it: "module." before the names of
            the weights, and their number "n_averaged".
        history: One record a finished epoch.
    """

    weights: dict[str, Tensor]
    moments: dict[str, Tensor] = field(default_factory=dict)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    averages: dict[str, Tensor] = field(default_factory=dict)
    history: list[EpochRecord] = field(default_factory=list)

    @classmethod
    def of(cls, model: nn.Module) -> "TrainingState":
        """The state before the first epoch: the model's weights, and no moments."""
        return cls(weights=_copied(model.state_dict()))

    @property
    def epochs_done(self) -> int:
        """Finished epochs."""
        return len(self.history)

    @property
    def final_weights(self) -> dict[str, Tensor]:
        """Those of the model if the run ends here: the average, or else the best ones, or else the last."""
        of_model = {name.removeprefix("module."): tensor for name, tensor in self.averages.items()}
        of_model.pop("n_averaged", None)
        return of_model or self.best_weights or self.weights

    def save(self, path: Path) -> None:
        """Write the whole state to one file, which is either the old or the new one at any moment."""
        tensors = {
            f"{group}:{name}": tensor.contiguous() for group in _GROUPS for name, tensor in getattr(self, group).items()
        }
        history = json.dumps([asdict(record) for record in self.history])
        write_aside(path, to_safetensors(tensors, metadata={"format": _FORMAT, "history": history}))

    @classmethod
    def load(cls, path: Path) -> "TrainingState":
        """Read what `save` wrote.

        Raises:
            RunFolderError: If the file is damaged or of another version.
        """
        groups: dict[str, dict[str, Tensor]] = {group: {} for group in _GROUPS}
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                for key in file.keys():  # noqa: SIM118
                    group, _, name = key.partition(":")
                    groups[group][name] = file.get_tensor(key)
        except (SafetensorError, KeyError, OSError) as error:
            raise RunFolderError(
                f"{path} cannot be read ({error}); it is truncated or not ours: make the run again"
            ) from error
        if metadata.get("format") != _FORMAT:
            found = metadata.get("format")
            raise RunFolderError(f"{path} has the format {found!r}, expected {_FORMAT!r}: another version wrote it")
        history = [EpochRecord(**record) for record in json.loads(metadata["history"])]
        return cls(**groups, history=history)


def optimizer_moments(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """Adam's state by "name/parameter"; `names` are the parameters in the optimizer's order."""
    state = optimizer.state_dict()["state"]
    return {
        f"{key}/{names[index]}": value.detach().cpu().clone()
        for index, entry in state.items()
        for key, value in entry.items()
        if isinstance(value, Tensor)
    }


def restore_moments(optimizer: torch.optim.Optimizer, names: list[str], moments: dict[str, Tensor]) -> None:
    """Put back what `optimizer_moments` took."""
    if not moments:
        return
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in moments.items():
        kind, _, name = key.partition("/")
        entries.setdefault(names.index(name), {})[kind] = value.clone()
    optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})


def _copied(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}


def copied_weights(model: nn.Module) -> dict[str, Tensor]:
    """The model's weights on the host, free of it."""
    return _copied(model.state_dict())
