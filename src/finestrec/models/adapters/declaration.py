"""What the author of a module says about it: how it reads rows and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor, nn

from finestrec.errors import OptionError
from finestrec.models.base import Loss

Side = Literal["left", "right"]
Positions = Literal["all", "last"]
Call = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""(module, ids (B, L), lengths (B,)) -> what the module returns."""


def with_ids(module: nn.Module, ids: Tensor, lengths: Tensor) -> Tensor:  # noqa: ARG001
    """Call a module that reads ids alone."""
    output: Tensor = module(ids)
    return output


def with_lengths(module: nn.Module, ids: Tensor, lengths: Tensor) -> Tensor:
    """Call a module that reads ids and the lengths of the rows."""
    output: Tensor = module(ids, lengths)
    return output


@dataclass(frozen=True)
class Declaration:
    """How a module numbers items, pads rows, is called, and answers.

    A row of three items, on a catalogue of N, in a batch as wide as five; the default is the first line::

        padding="right", padding_id=0, first_id=1    [3, 1, 8, 0, 0]
        padding="left",  padding_id=0, first_id=1    [0, 0, 3, 1, 8]
        padding="right", padding_id=N, first_id=0    [2, 0, 7, N, N]

    Attributes:
        padding: Where padding stands in a row.
        padding_id: What it is; never the id of an item.
        first_id: The module's id of item 0; item i is `first_id` + i.
        positions: all: the module answers at every position, from it and those before it. last: it answers once a
            row, for what follows the row; training then gives each instance a row of its own.
        items: Where the item table is, in a module that returns hidden states: the path of an attribute that is a
            tensor or an embedding, or a function of the module. None in a module that returns scores. Not the tensor
            itself, which would stay behind when the module is copied.
        first_column: Score column (or row of the table) of item 0; by default `first_id`. Columns before it never
            take part in lists or losses.
        columns_after: Columns after the last item's, of masks and such; they do not take part either.
        fixed_length: Pad every row to the longest input. For modules that count positions from the start of a row
            padded on the left, or that do not hide padding. Slower where rows are short.
        call: How to call the module; at the top level of a Python module where work goes to other processes.
        loss: The next-item loss in place of training.loss: from scores of all items and the right items to one loss
            a position, as `functools.partial(cross_entropy, reduction="none")`.

    Raises:
        OptionError: If a word is unknown, or two things contradict each other.
    """

    padding: Side = "right"
    padding_id: int = 0
    first_id: int = 1
    positions: Positions = "all"
    items: str | Callable[[nn.Module], Tensor] | None = None
    first_column: int | None = None
    columns_after: int = 0
    fixed_length: bool = False
    call: Call = with_ids
    loss: Loss | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("padding", self.padding, get_args(Side)),
            ("positions", self.positions, get_args(Positions)),
        ):
            if value not in known:
                raise OptionError(f"unknown {name} {value!r}; known are {', '.join(known)}")
        for name in ("padding_id", "first_id", "first_column", "columns_after"):
            number = getattr(self, name)
            if number is not None and number < 0:
                raise OptionError(f"{name} is {number}; ids and columns count from 0")
        if isinstance(self.items, Tensor | nn.Module):
            raise OptionError(
                "items is the table itself, which would stay behind when the module is copied; give the path of the"
                " attribute, as 'item_embedding.weight', or a function of the module"
            )

    @property
    def column(self) -> int:
        """Score column of item 0."""
        return self.first_id if self.first_column is None else self.first_column
