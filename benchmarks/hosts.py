"""SASRec and BERT4Rec beside RecTools' on the same split: time of an epoch and accuracy after the same epochs.

Run in the environment of `make test-hosts`: ``.venv-rectools/bin/python -m benchmarks.hosts [LOG] [--epochs E]``. Both
sides read at most 50 interactions, have width 128, two blocks and as many heads, batches of 32 users, Adam at 1e-3,
dropout as by default here, and full softmax. One thread. Both have one catalogue: RecTools knows the items of users'
last windows only, so the log is cut down to those first. Both are judged by the same ranking over all items, on the
same test instances; RecTools' model is asked through its adapter.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import torch

from benchmarks.machine import header, load
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import windows
from finestrec.data.sources import read_log
from finestrec.data.splits import Split, split
from finestrec.models.adapters import from_rectools
from finestrec.stability.comparing import judge
from finestrec.training.trained import TrainedModel, fit

REDDIT = Path(__file__).parents[2] / "shared/data/reddit.tsv"
LENGTH, WIDTH, BLOCKS, HEADS, BATCH = 50, 128, 2, 2, 32
DROPOUT = {"sasrec": 0.2, "bert4rec": 0.1}


def shared_catalogue(log: InteractionLog) -> Split:
    """The split of the log without items of no training window; to drop some moves windows, hence the loop."""
    while True:
        parts = split(log)
        cut = windows(parts.train, LENGTH)
        seen = np.zeros(log.n_items, dtype=bool)
        for start, end in zip(cut.start, cut.end, strict=True):
            if end - start > 1:  # RecTools leaves out users of one interaction
                seen[parts.train.items[start:end]] = True
        if seen.all():
            return parts
        log = log.with_items(log.vocabulary.items.filter(pl.Series(seen))).with_min_length(10)


def ours(name: str, parts: Split, epochs: int) -> tuple[list[float], dict[str, float | None]]:
    """Processor seconds of each epoch, and accuracy."""
    began = [time.process_time()]
    trained = fit(
        parts.train,
        name,
        0,
        model_options={"hidden": WIDTH, "blocks": BLOCKS, "heads": HEADS, "dropout": DROPOUT[name]},
        training={"epochs": epochs, "max_length": LENGTH, "batch_size": BATCH},
        on_epoch=lambda _: began.append(time.process_time()),
    )
    return np.diff(began).tolist(), judge(trained, parts.held_out(LENGTH)).accuracy()


def theirs(name: str, parts: Split, epochs: int) -> tuple[list[float], dict[str, float | None]]:
    """The same of RecTools."""
    from pytorch_lightning import Callback, Trainer
    from rectools.dataset import Dataset
    from rectools.models import BERT4RecModel, SASRecModel

    seconds: list[float] = []

    class Clock(Callback):
        def on_train_epoch_start(self, *_: Any) -> None:
            self.began = time.process_time()

        def on_train_epoch_end(self, *_: Any) -> None:
            seconds.append(time.process_time() - self.began)

    def trainer() -> Trainer:
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        return Trainer(max_epochs=epochs, accelerator="cpu", callbacks=[Clock()], enable_model_summary=False, **quiet)

    frame = parts.train.to_frame()
    table = pd.DataFrame(
        {
            "user_id": frame["user_id"].to_numpy(),
            "item_id": frame["item_id"].to_numpy(),
            "weight": 1.0,
            "datetime": pd.to_datetime(np.arange(len(frame)), unit="s"),
        }
    )
    torch.manual_seed(0)
    model = {"sasrec": SASRecModel, "bert4rec": BERT4RecModel}[name](
        n_factors=WIDTH,
        n_blocks=BLOCKS,
        n_heads=HEADS,
        dropout_rate=DROPOUT[name],
        session_max_len=LENGTH,
        batch_size=BATCH,
        lr=1e-3,
        loss="softmax",
        get_trainer_func=trainer,
        recommend_torch_device="cpu",
        **({"mask_prob": 0.2} if name == "bert4rec" else {}),
    ).fit(Dataset.construct(table))
    adapted, log = from_rectools(model, parts.log)
    again = split(log)
    held_out = again.held_out(adapted.max_length)
    assert np.array_equal(held_out.ids, parts.held_out(LENGTH).ids)
    return seconds, judge(TrainedModel.of(adapted, again.train), held_out).accuracy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path, nargs="?", default=REDDIT)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--models", nargs="+", default=["sasrec", "bert4rec"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    header()
    parts = shared_catalogue(read_log(arguments.log, min_length=10))
    print(f"{parts.log}, {len(parts.held_out(LENGTH)):,} test instances; {load()}\n")
    print("| model | epochs | CPU s an epoch (median) | MRR | Recall@10 | NDCG@10 |\n|---|---|---|---|---|---|")
    for name in arguments.models:
        for whose, run in (("finestrec", ours), ("RecTools", theirs)):
            seconds, accuracy = run(name, parts, arguments.epochs)
            cells = " | ".join(f"{value:.4f}" for value in accuracy.values() if value is not None)
            line = f"| {whose} {name} | {arguments.epochs} | {np.median(seconds):.1f} | {cells} |"
            print(line, flush=True)


if __name__ == "__main__":
    main()
