"""The training loop, on Lightning Fabric.

The loop is ours because a resumed run must be bit-identical to an uninterrupted one: an interruption must not
look like instability. Devices, precision and distribution are Fabric's.
"""

import copy
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from finestrec.data.sequences import Instances, SequenceBatch
from finestrec.errors import OptionError, TrainingError
from finestrec.measures.accuracy import ndcg
from finestrec.models import NextItemModel
from finestrec.randomness import torch_stream
from finestrec.ranking import rank
from finestrec.training.averaging import Averaging, RunningAverage
from finestrec.training.objectives import Curriculum
from finestrec.training.options import DeviceOptions, TrainingOptions
from finestrec.training.progress import Progress
from finestrec.training.state import (
    EpochRecord,
    TrainingState,
    copied_weights,
    optimizer_moments,
    restore_moments,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

OnEpoch = Callable[[TrainingState], None]
Schedule = Callable[[float], float]
"""From the share of the steps that are done, 0 at the first, below 1, to the share of the learning rate; picklable."""


class _Given:
    """A batch that Fabric passes on as it is: it would change floats inside of a dataclass, and a batch has none."""

    def __init__(self, batch: SequenceBatch) -> None:
        self.batch = batch


class _Step(nn.Module):
    """One forward pass as a module, so that Fabric wraps models of any interface."""

    def __init__(self, model: NextItemModel, curriculum: Curriculum) -> None:
        super().__init__()
        self.model = model
        self._curriculum = curriculum

    def forward(self, given: _Given) -> dict[str, Tensor]:
        batch = given.batch
        # A device without a row of a small batch, or rows of which chance masks nothing: a gradient of zeros.
        if len(batch.targets) == 0:
            nothing = torch.stack([p.sum() for p in self.model.parameters()]).sum() * 0
            return dict.fromkeys(self._curriculum.parts, nothing)
        return self._curriculum.losses(self.model, batch)


def train(
    model: NextItemModel,
    curriculum: Curriculum,
    options: TrainingOptions,
    seed: int,
    *,
    device: DeviceOptions | None = None,
    state: TrainingState | None = None,
    validation: Instances | None = None,
    averaging: Averaging | None = None,
    schedule: Schedule | None = None,
    preparation: float = 0.0,
    on_epoch: OnEpoch | None = None,
    progress: Progress | None = None,
) -> TrainingState:
    """Train a model in place.

    Args:
        model: Ends with the trained weights, on the host, in evaluation mode.
        curriculum: The data and the loss.
        options: The optimisation; `options.epochs` counts the epochs that `state` has done.
        seed: Names the streams of order and dropout.
        device: Where to run; with several devices, processes are spawned.
        state: Where to go on; by default at the model's weights, with fresh moments.
        validation: Instances for early stopping; needed when `options.patience` is set.
        averaging: End with an average of the weights.
        schedule: Of the learning rate; without one it stays.
        preparation: Seconds that the curriculum took to make; they count for the first epoch.
        on_epoch: Called after each epoch with the state, e.g. to save it. With several devices it is called in
            a spawned process, so it must be picklable.
        progress: Told of steps and epochs; picklable too.

    Returns:
        The state after the last epoch.

    Raises:
        OptionError: If there is no such device.
        TrainingError: If the loss is NaN or infinite; names epoch, step and learning rate.
    """
    state = state or TrainingState.of(model)
    if _is_finished(state, options):
        return _loaded(model, state)
    # Two and a half seconds that ranking with a trained model need not wait for.
    from lightning_fabric import Fabric

    device = device or DeviceOptions()
    check_available(device)
    if device.threads is not None:
        torch.set_num_threads(device.threads)
    run = partial(
        _run,
        model=model,
        curriculum=curriculum,
        options=options,
        seed=seed,
        device=device,
        state=state,
        validation=validation,
        averaging=averaging,
        schedule=schedule,
        preparation=preparation,
        on_epoch=on_epoch,
        progress=progress,
    )
    if device.devices == 1:
        state = run(Fabric(accelerator=device.device, devices=1, precision=device.precision))
    else:
        # Spawned, not forked: a fork after torch has started its threads can hang.
        fabric = Fabric(
            accelerator=device.device,
            devices=device.devices,
            precision=device.precision,
            strategy="ddp_spawn",
        )
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "state.safetensors"
            fabric.launch(partial(_run_to_file, run, result))
            state = TrainingState.load(result)
    return _loaded(model, state)


def check_available(device: DeviceOptions) -> None:
    """Refuse a kind of device that this machine does not have, or a precision that the device does not.

    Raises:
        OptionError: If it does not.
    """
    if (device.device, device.precision) == ("cpu", "16-mixed"):
        raise OptionError("device.precision is 16-mixed, which a cpu does not have; use bf16-mixed or 32-true")
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not found.get(device.device, True):
        raise OptionError(
            f"device.device is {device.device}, which torch does not find on this machine; use cpu, or auto, which"
            " takes an accelerator if there is one"
        )


def _loaded(model: NextItemModel, state: TrainingState) -> TrainingState:
    model.load_state_dict(state.final_weights)
    model.to("cpu").eval()
    return state


def _run_to_file(run: "Callable[[Fabric], TrainingState]", result: Path, fabric: "Fabric") -> None:
    """A spawned process ends with its tensors, so the first one leaves the result in a file."""
    state = run(fabric)
    if fabric.global_rank == 0:
        state.save(result)
    # Nobody leaves while another still talks to it: a peer that is gone aborts the process.
    fabric.barrier()
    torch.distributed.destroy_process_group()


def _run(
    fabric: "Fabric",
    *,
    model: NextItemModel,
    curriculum: Curriculum,
    options: TrainingOptions,
    seed: int,
    device: DeviceOptions,
    state: TrainingState,
    validation: Instances | None,
    averaging: Averaging | None,
    schedule: Schedule | None,
    preparation: float,
    on_epoch: OnEpoch | None,
    progress: Progress | None,
) -> TrainingState:
    if device.threads is not None:
        torch.set_num_threads(device.threads)
    if fabric.world_size > 1:
        # Tensors reach spawned processes in shared memory: without a copy all would step the same weights.
        model = copy.deepcopy(model)
    model.load_state_dict(state.weights)
    groups = _parameter_groups(model, options.weight_decay)
    names = [name for group in groups for name, _ in group["params"]]
    adam = torch.optim.Adam(groups, lr=options.lr, betas=options.betas, fused=True)
    step_module, optimizer = fabric.setup(_Step(model, curriculum), adam)
    restore_moments(adam, names, state.moments)  # after the set-up, so that they follow the weights to the device
    average = None if averaging is None else RunningAverage(averaging, model, adam, state.averages)
    is_main = fabric.global_rank == 0
    if not is_main:
        progress = None
    if progress is not None:
        windows = curriculum.windows(state.epochs_done)
        progress.begin(options.epochs, state.epochs_done, windows.n_batches(options.batch_size))
    try:
        while not _is_finished(state, options):
            with _rounding(device.matmul_precision):
                record = _epoch(
                    fabric,
                    model,
                    step_module,
                    optimizer,
                    curriculum,
                    options,
                    seed,
                    state.epochs_done,
                    schedule,
                    progress,
                )
            if not state.history:
                record = replace(record, seconds=record.seconds + preparation)
            if validation is not None and options.patience is not None:
                score = float(ndcg(rank(model, validation, 10).target_ranks, 10).mean())
                record = replace(record, validation_ndcg=score)
                if all(score > (earlier.validation_ndcg or 0) for earlier in state.history):
                    state.best_weights = copied_weights(model)
            if average is not None:
                average.after_epoch(state.epochs_done + 1)
            state = TrainingState(
                weights=copied_weights(model),
                moments=optimizer_moments(adam, names),
                best_weights=state.best_weights,
                averages={} if average is None else average.state(),
                history=[*state.history, record],
            )
            if is_main and on_epoch is not None:
                on_epoch(state)
    finally:
        if progress is not None:
            progress.end()
    return state


@contextmanager
def _rounding(precision: str) -> Iterator[None]:
    """Matrix products at a precision: settings of torch's for the whole process, which are left as they were."""
    if precision == "highest":
        yield
        return
    of_cpu = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    wanted = {torch.backends.cuda.matmul: "tf32", of_cpu: "bf16" if precision == "medium" else "tf32"}
    before = {backend: backend.fp32_precision for backend in wanted}
    try:
        for backend, kind in wanted.items():
            backend.fp32_precision = kind
        yield
    finally:
        for backend, kind in before.items():
            backend.fp32_precision = kind


def _parameter_groups(model: NextItemModel, weight_decay: float) -> list[dict[str, Any]]:
    """The named parameters that weight decay acts on, and the others."""
    named = list(model.named_parameters())
    decayed = [(name, parameter) for name, parameter in named if name.startswith(model.decayed)]
    rest = [(name, parameter) for name, parameter in named if not name.startswith(model.decayed)]
    return [
        {"params": params, "weight_decay": decay} for params, decay in ((decayed, weight_decay), (rest, 0.0)) if params
    ]


def _is_finished(state: TrainingState, options: TrainingOptions) -> bool:
    if state.epochs_done >= options.epochs:
        return True
    if options.patience is None or not state.history:
        return False
    scores = [record.validation_ndcg or 0.0 for record in state.history]
    return len(scores) - 1 - scores.index(max(scores)) >= options.patience


def _epoch(
    fabric: "Fabric",
    model: NextItemModel,
    step_module: Any,
    optimizer: torch.optim.Optimizer,
    curriculum: Curriculum,
    options: TrainingOptions,
    seed: int,
    epoch: int,
    schedule: Schedule | None,
    progress: Progress | None,
) -> EpochRecord:
    began = time.perf_counter()
    windows = curriculum.windows(epoch)
    batches = windows.deal(options.batch_size, seed, epoch)
    sums: dict[str, float] = {}
    step_module.train()
    for step, dealt in enumerate(batches):
        if not windows.has_instances(dealt):  # a step on nothing would still move the weights by their momentum
            continue
        # Neighbours in a batch have similar lengths, so every device gets a similar share.
        own = dealt[fabric.global_rank :: fabric.world_size]
        batch = model.learning_batch(windows, own, seed, epoch).to(fabric.device)
        with torch_stream(seed, "dropout", epoch, step, fabric.global_rank, device=fabric.device):
            losses = step_module(_Given(batch))
        loss = torch.stack(list(losses.values())).sum()
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} in epoch {epoch + 1}, step {step + 1}, at learning rate {options.lr:g}; lower"
                " training.lr (or finest.lr), or clip the gradient with training.clip_norm"
            )
        optimizer.zero_grad()
        # Distribution averages gradients over devices, and the loss is a sum over them.
        fabric.backward(loss * fabric.world_size)
        if options.clip_norm is not None:
            _clip(fabric, step_module, optimizer, options.clip_norm)
        if schedule is not None:
            share = schedule((epoch + step / len(batches)) / options.epochs)
            for group in optimizer.param_groups:
                group["lr"] = options.lr * share
        optimizer.step()
        for name, part in losses.items():
            sums[name] = sums.get(name, 0.0) + part.item()
        if progress is not None:
            progress.step(epoch, value)
    seconds = time.perf_counter() - began
    means = {
        name: float(cast(Tensor, fabric.all_reduce(torch.tensor(total), reduce_op="sum"))) / len(batches)
        for name, total in sums.items()
    }
    return EpochRecord(epoch, means, seconds, windows.n_instances / seconds)


def _clip(fabric: "Fabric", step_module: Any, optimizer: torch.optim.Optimizer, max_norm: float) -> None:
    """Clip the gradient, which is nearly always short enough already, and then not multiplied by one."""
    # Where the loss is scaled (16-mixed) so is the gradient, and it looks longer than it is, never shorter.
    # From the optimizer, which has them in lists: modules would be asked one by one, at every step.
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if not norm <= max_norm - 1e-6:  # torch's slack; and what is not finite goes its usual way
        fabric.clip_gradients(step_module, optimizer, max_norm=max_norm, error_if_nonfinite=False)
