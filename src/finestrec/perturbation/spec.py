"""The perturbation SPEC of commands and result rows: ``KIND:SELECTOR:AMOUNT[:option=value...]``."""

import re
from dataclasses import dataclass
from typing import cast, get_args

from finestrec.data.log import InteractionLog
from finestrec.errors import OptionError
from finestrec.perturbation.edits import EditKind, PerturbedLog, SubstituteRule, edit, substitutes
from finestrec.perturbation.selectors import SELECTORS
from finestrec.randomness import generator

DEFAULT_AMOUNT = "0.001"

_ITEM_WORDS: dict[str, SubstituteRule] = {
    "random": "random",
    "popular": "most_popular",
    "least_popular": "least_popular",
}


@dataclass(frozen=True)
class Amount:
    """How many interactions: a count or a fraction of the training log.

    Attributes:
        text: As it was written.
        count: A whole number, or None.
        fraction: Between 0 and 1, or None.
    """

    text: str
    count: int | None
    fraction: float | None

    @classmethod
    def parse(cls, text: str) -> "Amount":
        """Read an amount: a bare integer is a count; with ``.``, ``e`` or ``%`` it is a fraction.

        >>> Amount.parse("50").of(1000), Amount.parse("0.1%").of(103_598)
        (50, 103)

        Raises:
            OptionError: If it is neither, not positive, or a fraction above 1.
        """
        wanted = "expected a count such as 50, or a fraction such as 0.001, 1e-3 or 0.1%"
        if re.fullmatch(r"\d+", text):
            if int(text) == 0:
                raise OptionError(f"the amount is 0, which perturbs nothing; {wanted}")
            return cls(text, int(text), None)
        try:
            fraction = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            raise OptionError(f"the amount {text!r} is not a number; {wanted}") from None
        if not 0 < fraction <= 1:
            raise OptionError(f"the amount {text} is outside (0, 1]; {wanted}")
        if not re.search("[.eE%]", text):  # " 1" and "+1", which as fractions would be everything
            raise OptionError(f"the amount {text!r} is neither a count nor a fraction; {wanted}")
        return cls(text, None, fraction)

    def of(self, total: int) -> int:
        """The count out of `total`.

        Raises:
            OptionError: If it comes to nothing, or to more than there is.
        """
        count = self.count if self.count is not None else int((self.fraction or 0) * total + 1e-9)
        if not 1 <= count <= total:
            raise OptionError(
                f"the amount {self.text} of {total:,} training interactions is {count:,}; it must be 1 to {total:,}"
            )
        return count


@dataclass(frozen=True)
class Perturbation:
    """A parsed SPEC.

    Attributes:
        kind: delete, replace or insert.
        selector: A name of `SELECTORS`.
        amount: How much is selected.
        item: The substitute of replace and insert.
    """

    kind: EditKind
    selector: str
    amount: Amount
    item: SubstituteRule = "random"

    @classmethod
    def parse(cls, text: str) -> "Perturbation":
        """Read ``KIND:SELECTOR[:AMOUNT][:item=random|popular|least_popular]``.

        >>> str(Perturbation.parse("insert:random:50:item=popular"))
        'insert:random:50:item=popular'

        Raises:
            OptionError: If a word is unknown; lists the choices.
        """
        kind, *rest = text.split(":")
        if kind not in get_args(EditKind):
            raise OptionError(
                f"unknown kind of perturbation {kind!r} in {text!r}; expected KIND:SELECTOR:AMOUNT with a kind of"
                f" {', '.join(get_args(EditKind))}, e.g. delete:random:0.001"
            )
        if not rest or rest[0] not in SELECTORS:
            found = repr(rest[0]) if rest else "nothing"
            raise OptionError(f"unknown selector {found} in {text!r}; known are {', '.join(SELECTORS)}")
        selector, *rest = rest
        amount = rest.pop(0) if rest and "=" not in rest[0] else DEFAULT_AMOUNT
        item: SubstituteRule = "random"
        for option in rest:
            key, _, value = option.partition("=")
            if key != "item" or kind == "delete":
                allowed = "item=..., for replace and insert only" if kind == "delete" else "item"
                raise OptionError(f"unknown option {option!r} in {text!r}; known: {allowed}")
            if value not in _ITEM_WORDS:
                raise OptionError(f"unknown item {value!r} in {text!r}; known are {', '.join(_ITEM_WORDS)}")
            item = _ITEM_WORDS[value]
        return cls(cast(EditKind, kind), selector, Amount.parse(amount), item)

    def __str__(self) -> str:
        text = f"{self.kind}:{self.selector}:{self.amount.text}"
        if self.kind == "delete" or self.item == "random":
            return text
        return f"{text}:item={next(word for word, rule in _ITEM_WORDS.items() if rule == self.item)}"

    def apply(self, train: InteractionLog, seed: int) -> PerturbedLog:
        """Perturb a training log.

        Args:
            train: The training interactions.
            seed: Drives the draw.

        Raises:
            OptionError: If the amount comes to nothing, or to more than there is.
        """
        count = self.amount.of(len(train))
        rows = SELECTORS[self.selector](train, count, seed)
        if self.kind == "delete":
            return edit(train, "delete", rows)
        items = substitutes(train, self.item, len(rows), generator(seed, "perturbation"))
        return edit(train, self.kind, rows, items)
