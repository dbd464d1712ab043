"""Things that differ in one setting only: what a table of sensitivity is of."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finestrec.perturbation.spec import Perturbation
from finestrec.stabilizers import Recipe, stabilizer, stabilizer_type


@dataclass(frozen=True)
class Sweep:
    """Methods, or perturbations, that differ in one setting only.

    Attributes:
        option: The setting.
        members: METHODs or SPECs by rising value, or in the order given where values are no numbers.
        values: Of the setting, one a member.
    """

    option: str
    members: list[str]
    values: list[Any]


def family(method: str) -> str:
    """A METHOD without its strength: what the strengths of one method have in common.

    >>> family("finest:weight=3:k=5"), family("hysteresis:tau=1"), family("warm_start")
    ('finest:k=5', 'hysteresis', 'warm_start')
    """
    return _without(method, {stabilizer_type(method).strength})


def scheme(method: str) -> str:
    """A METHOD without all that trades accuracy for overlap: its strength, and what acts when all is trained.

    That is the incumbent's share of the final weights, `alpha`, but not the factor of that name in focal distillation.

    >>> scheme("finest:weight=3:alpha=0.2:k=5"), scheme("gaps:alpha=0.3"), scheme("focal_distillation:alpha=0.5")
    ('finest:k=5', 'gaps', 'focal_distillation:alpha=0.5')
    """
    strategy = stabilizer_type(method)
    return _without(method, {strategy.strength, *strategy.after_training})


def _without(method: str, options: Collection[str | None]) -> str:
    name, *settings = method.split(":")
    return ":".join([name, *(setting for setting in settings if setting.partition("=")[0] not in options)])


def strength_of(method: str, recipe: Recipe) -> float | None:
    """The value of the option that buys stability, default or not; None without one."""
    name = stabilizer_type(method).strength
    return None if name is None else float(getattr(stabilizer(method, recipe).options, name))


def method_sweeps(methods: Sequence[str], recipe: Recipe) -> list[Sweep]:
    """METHODs of one strategy that differ in one option; one that is left to its default has that value."""
    by_name: dict[str, dict[str, Mapping[str, Any]]] = {}
    for method in methods:
        settings = stabilizer(method, recipe).options.model_dump(mode="json")
        by_name.setdefault(method.partition(":")[0], {})[method] = settings
    return [sweep for members in by_name.values() for sweep in sweeps(members)]


def perturbation_sweeps(perturbations: Sequence[str]) -> list[Sweep]:
    """SPECs that differ in the kind, the selector, the amount or another option alone."""
    return sweeps({text: _settings(Perturbation.parse(text)) for text in perturbations})


def sweeps(settings: Mapping[str, Mapping[str, Any]]) -> list[Sweep]:
    """All sets of two or more that agree in every setting but one, and have different values of that.

    Args:
        settings: By name of the member; members without a setting of others have no value of it.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for member, values in settings.items():
        for option, value in values.items():
            rest = {key: other for key, other in values.items() if key != option}
            found.setdefault((option, repr(sorted(rest.items()))), {})[member] = value
    return [_sweep(option, of) for (option, _), of in found.items() if len({repr(value) for value in of.values()}) > 1]


def _sweep(option: str, members: Mapping[str, Any]) -> Sweep:
    pairs = list(members.items())
    if all(isinstance(value, int | float) and not isinstance(value, bool) for _, value in pairs):
        pairs.sort(key=lambda pair: pair[1])
    return Sweep(option, [member for member, _ in pairs], [value for _, value in pairs])


def _settings(perturbation: Perturbation) -> dict[str, Any]:
    amount = perturbation.amount
    settings: dict[str, Any] = {"kind": perturbation.kind, "selector": perturbation.selector, "item": perturbation.item}
    # A count and a fraction are no two values of one setting.
    if amount is not None and amount.count is not None:
        settings |= {"amount": amount.count, "unit": "count"}
    elif amount is not None:
        settings |= {"amount": amount.fraction, "unit": "fraction"}
    return settings | dict(perturbation.options) | {"ids": str(perturbation.ids)}
