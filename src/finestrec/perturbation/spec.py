"""The perturbation SPEC of commands and result rows: ``KIND:SELECTOR:AMOUNT[:option=value...]``."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from finestrec.data.log import TICKS_PER_DAY, InteractionLog
from finestrec.errors import DataError, OptionError
from finestrec.perturbation.edits import Kind, PerturbedLog, SubstituteRule, appended, edit, substitutes
from finestrec.perturbation.selectors import SELECTORS, Candidates, Score, check_casper, listed, rows_of, total

DEFAULT_AMOUNT = "0.001"
CUT = "cut"
"""The selector of append: everything after a cut in time."""

_ITEM_WORDS: dict[str, SubstituteRule] = {
    "random": "random",
    "popular": "most_popular",
    "least_popular": "least_popular",
}


@dataclass(frozen=True)
class Amount:
    """How many interactions, users or items: a count, or a fraction of those of the training log.

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

    def of(self, total: int, what: str = "training interactions") -> int:
        """The count out of `total`.

        Raises:
            OptionError: If it comes to nothing, or to more than there is.
        """
        count = self.count if self.count is not None else int((self.fraction or 0) * total + 1e-9)
        if not 1 <= count <= total:
            raise OptionError(f"the amount {self.text} of {total:,} {what} is {count:,}; it must be 1 to {total:,}")
        return count


@dataclass(frozen=True)
class Perturbation:
    """A parsed SPEC: what tells D' from D.

    Attributes:
        kind: delete, replace, insert or append.
        selector: A name of `SELECTORS`, or cut for append.
        amount: How much is selected, in the selector's unit; for append days; None where `ids` says which.
        item: The substitute of replace and insert; an item is never replaced by itself, but by the next by the rule.
        options: Options of the selector that are not its defaults, by name.
        ids: A file of raw ids of the users or items that are selected.
    """

    kind: Kind
    selector: str
    amount: Amount | None
    item: SubstituteRule = "random"
    options: tuple[tuple[str, str], ...] = ()
    ids: Path | None = None

    @classmethod
    def parse(cls, text: str) -> "Perturbation":
        """Read ``KIND:SELECTOR[:AMOUNT][:option=value...]`` or ``append:cut:DAYS``.

        Options are ``item=random|popular|least_popular`` for replace and insert, ``candidates=roots|all`` and
        ``scores=auto|exact|sketch`` for casper, ``on=test|self`` for influence, and ``ids=FILE`` for user and item,
        with the amount 0; it stands last, since a file's name may have colons.

        >>> str(Perturbation.parse("insert:casper:50:item=popular:candidates=all"))
        'insert:casper:50:item=popular:candidates=all'

        Raises:
            OptionError: If a word is unknown; lists the choices.
        """
        start, named, file = text.partition(":ids=")
        kind, *rest = start.split(":")
        if kind not in get_args(Kind):
            raise OptionError(
                f"unknown kind of perturbation {kind!r} in {text!r}; expected KIND:SELECTOR:AMOUNT with a kind of"
                f" {', '.join(get_args(Kind))}, e.g. delete:random:0.001"
            )
        selectors = [CUT] if kind == "append" else list(SELECTORS)
        if not rest or rest[0] not in selectors:
            found = repr(rest[0]) if rest else "nothing"
            raise OptionError(f"unknown selector {found} in {text!r}; known are {', '.join(selectors)}")
        selector, *rest = [*rest, f"ids={file}"] if named else rest
        amount = rest.pop(0) if rest and "=" not in rest[0] else None
        if kind == "append":
            return cls("append", CUT, _days(amount, rest, text))
        values = _options(rest, _known_options(kind, selector), text)
        ids = values.pop("ids", None)
        return cls(
            kind=cast(Kind, kind),
            selector=selector,
            amount=_amount(amount, ids, text),
            item=_ITEM_WORDS[values.pop("item", "random")],
            options=tuple((key, word) for key, word in values.items() if word != SELECTORS[selector].options[key][0]),
            ids=None if ids is None else Path(ids),
        )

    def __str__(self) -> str:
        parts = [self.kind, self.selector, self.amount.text if self.amount else "0"]
        if self.item != "random":
            parts.append(f"item={next(word for word, rule in _ITEM_WORDS.items() if rule == self.item)}")
        parts += [f"{key}={word}" for key, word in self.options]
        return ":".join(parts + ([f"ids={self.ids}"] if self.ids else []))

    @property
    def key(self) -> str:
        """A name for files: the SPEC, with a digest of the ids in place of their file's name.

        Raises:
            DataError: If the file of ids cannot be read.
        """
        text = str(replace(self, ids=None)).replace("%", "pct")
        if self.ids is not None:
            digest = hashlib.blake2b(_bytes(self.ids), digest_size=8).hexdigest()
            text += f":ids={digest}"
        return text.replace(":", "-")

    @property
    def erases(self) -> Literal["users", "items"] | None:
        """What vanishes altogether: delete with the selector user or item."""
        unit = SELECTORS[self.selector].unit if self.kind == "delete" else "interactions"
        return None if unit == "interactions" else unit

    def base(self, train: InteractionLog) -> InteractionLog:
        """D, the log before: the training log, but for append its interactions up to the cut.

        The log before a night is an edit of the training log, its `origin`: windows and batches of both sides are
        dealt from the longer one. (Dealt from the shorter one, users whose first interactions are in the night
        would all fall into one batch.)

        Raises:
            OptionError: If no interaction is older than the cut.
        """
        if self.kind != "append":
            return train
        is_new = self._is_new(train)
        if is_new.all():
            span = int(np.ptp(train.times)) / TICKS_PER_DAY[train.time_unit] if len(train) else 0.0
            raise OptionError(
                f"{self} leaves nothing before the cut: the {len(train):,} training interactions span {span:.1f} days;"
                " use fewer days"
            )
        return edit(train, "delete", np.flatnonzero(is_new)).log

    def check(self, train: InteractionLog, seed: int, max_length: int = 50) -> None:
        """Refuse what cannot be done to a log, as `apply` would, before any model is trained.

        Raises:
            OptionError: See `apply`.
            DataError: See `apply`.
        """
        if self.kind == "append" or SELECTORS[self.selector].unit != "interactions":
            self.apply(train, seed, max_length)
            return
        # Whatever rows are selected, so many of them can be edited or not: a selector may take a minute, or a model.
        count = self._amount.of(len(train), "training interactions")
        self._refuse_everything(train, count)
        if self.selector == "casper":
            candidates = dict(self.options).get("candidates", "roots")
            check_casper(train, count, max_length=max_length, candidates=cast(Candidates, candidates))
        if self.kind != "delete":
            substitutes(train, self.item, np.arange(min(count, 1)), seed, differing=self.kind == "replace")

    def apply(self, train: InteractionLog, seed: int, max_length: int = 50, score: Score | None = None) -> PerturbedLog:
        """Perturb a training log.

        Args:
            train: The training interactions.
            seed: Drives the draws.
            max_length: L, the longest input in training, which bounds cascades.
            score: Of a trained model, for the selector influence.

        Returns:
            D' and the edits from `base(train)` to it. For append D' is `train` itself.

        Raises:
            OptionError: If the amount comes to nothing, to more than there is, or to everything.
            DataError: If the file of ids cannot be read, or names one that is not in the training log.
        """
        if self.kind == "append":
            self.base(train)
            return appended(train, np.flatnonzero(self._is_new(train)))
        rows = self.rows(train, seed, max_length, score)
        self._refuse_everything(train, len(rows))
        if self.kind == "delete":
            return edit(train, "delete", rows)
        items = substitutes(train, self.item, rows, seed, differing=self.kind == "replace")
        return edit(train, self.kind, rows, items)

    def _refuse_everything(self, train: InteractionLog, count: int) -> None:
        if self.kind == "delete" and count == len(train):
            raise OptionError(f"{self} deletes all {len(train):,} training interactions; leave some to train on")

    def rows(
        self, train: InteractionLog, seed: int, max_length: int = 50, score: Score | None = None
    ) -> NDArray[np.int64]:
        """Which rows delete, replace and insert touch, ascending; see `apply`."""
        selector = SELECTORS[self.selector]
        unit = selector.unit
        if self.ids is not None:
            assert unit != "interactions"
            return rows_of(train, unit, listed(train, unit, self.ids))
        what = "training interactions" if unit == "interactions" else f"{unit} with training interactions"
        count = self._amount.of(total(train, unit), what)
        return selector(train, count, seed, max_length, score, **dict(self.options))

    @property
    def _amount(self) -> Amount:
        assert self.amount is not None
        return self.amount

    def _is_new(self, train: InteractionLog) -> NDArray[np.bool_]:
        days = self._amount.count
        assert days is not None
        return train.times > int(train.times.max(initial=0)) - days * TICKS_PER_DAY[train.time_unit]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _known_options(kind: str, selector: str) -> dict[str, tuple[str, ...] | None]:
    """Words of each option; None for any text."""
    known: dict[str, tuple[str, ...] | None] = dict(SELECTORS[selector].options)
    if kind != "delete":
        known["item"] = tuple(_ITEM_WORDS)
    if SELECTORS[selector].unit != "interactions":
        known["ids"] = None
    return known


def _options(given: list[str], known: Mapping[str, tuple[str, ...] | None], text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for option in given:
        key, _, value = option.partition("=")
        if key not in known:
            allowed = ", ".join(known) or "none"
            hint = " (item=... is for replace and insert only)" if key == "item" else ""
            raise OptionError(f"unknown option {option!r} in {text!r}{hint}; known here: {allowed}")
        words = known[key]
        if words is not None and value not in words:
            raise OptionError(f"unknown {key} {value!r} in {text!r}; known are {', '.join(words)}")
        if not value or key in values:
            raise OptionError(f"the option {key} in {text!r} needs one value; write {key}=... once")
        values[key] = value
    return values


def _amount(amount: str | None, ids: str | None, text: str) -> Amount | None:
    if ids is None:
        return Amount.parse(DEFAULT_AMOUNT if amount is None else amount)
    if amount not in {None, "0"}:
        raise OptionError(f"{text!r} has the amount {amount} and ids=FILE, which says how many; write the amount as 0")
    return None


def _days(amount: str | None, options: list[str], text: str) -> Amount:
    if amount is None or not re.fullmatch(r"\d+", amount) or int(amount) == 0 or options:
        raise OptionError(
            f"{text!r} does not say how long the night is; expected append:cut:DAYS with a whole number of days from 1"
            " and no options, e.g. append:cut:7"
        )
    return Amount(amount, int(amount), None)
