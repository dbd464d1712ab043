"""How a model is trained, and on what."""

from typing import Annotated, Literal

from pydantic import Field

from finestrec.data.sequences import WindowMode
from finestrec.options import Options

Decay = Annotated[float, Field(ge=0, lt=1)]


class TrainingOptions(Options):
    """Optimisation of the next-item loss. A model's own defaults stand above these (`training_defaults`)."""

    epochs: int = Field(default=50, ge=1)
    """Passes over the training windows."""
    lr: float = Field(default=1e-3, gt=0)
    """Adam's learning rate."""
    batch_size: int = Field(default=32, ge=1)
    """Windows a batch on average: batches are filled to equal numbers of positions."""
    max_length: int = Field(default=50, ge=1)
    """L, the longest input that the model reads."""
    window: WindowMode = "last"
    """last: a user's last L + 1 interactions; all: the whole history in consecutive windows."""
    loss: Literal["softmax", "bce", "sampled_softmax", "gbce"] = "softmax"
    """Next-item loss: cross-entropy over the whole catalogue; or against sampled items: binary cross-entropy, softmax,
    generalised binary cross-entropy. A module that was adapted with a loss keeps its own."""
    negatives: int = Field(default=1, ge=1)
    """Items sampled for each position, for the losses that sample."""
    calibration: float = Field(default=0.75, ge=0, le=1)
    """t of gbce: 0 is binary cross-entropy, 1 gives scores that are calibrated as probabilities."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Adam's decay rates of the two moments."""
    weight_decay: float = Field(default=0.0, ge=0)
    """L2 penalty, added to the gradient; on all weights, or on those that the model names (TiSASRec: its tables)."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Largest norm of the whole gradient, or none."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many epochs without a better validation NDCG@10, and keep the best weights. The last tenth
    of each user's training interactions is then held out."""


class DeviceOptions(Options):
    """Where the work runs."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "cpu"
    """Kind of device; auto takes an accelerator if there is one."""
    devices: int = Field(default=1, ge=1)
    """Processes that share each batch, one a device."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    """Arithmetic of the forward pass."""
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """What the matrix products of training may round their factors to, in the words of
    `torch.set_float32_matmul_precision`: high is 19 bits (TF32) and medium 16 (bfloat16), where the device is faster
    with those, and float32 where it is not; highest leaves torch as it is set, which is float32. Sums, weights and the
    lists of trained models stay float32; a teacher that is asked in a training step is asked at this precision."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads a process; by default torch's choice, one a core. Results are bit-identical for equal numbers only.
    Where other work shares the cores threads wait for each other, and an epoch may take tens of times as long as on
    one: give 1, or start Python with GOMP_SPINCOUNT=1000, as the commands do."""
