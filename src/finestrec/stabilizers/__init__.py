"""What makes lists hold: one strategy a file behind one interface.

A strategy is named by a METHOD, ``NAME[:option=value...]``, as `finest:weight=10` or `hysteresis:tau=0.5`. A list of
values is joined by ``+``, as in `finest:kinds=delete+insert`, because a comma parts methods.
"""

from typing import Final

from finestrec.errors import OptionError
from finestrec.stabilizers.adversarial import FGSM, CascadeAdversarial
from finestrec.stabilizers.annealed import Annealed
from finestrec.stabilizers.averaging import EMA, SWA, Interpolation
from finestrec.stabilizers.bagging import Bagging
from finestrec.stabilizers.base import BeforeGrowth, Fitter, Kind, Ranker, Recipe, Strategy
from finestrec.stabilizers.blending import Blending
from finestrec.stabilizers.distillation import ChurnDistillation, FocalDistillation
from finestrec.stabilizers.finetuning import FinestTuning, WarmStart
from finestrec.stabilizers.gaps import GapTuning
from finestrec.stabilizers.hysteresis import Hysteresis
from finestrec.stabilizers.l2_sp import L2SP
from finestrec.stabilizers.overlap import OverlapTuning
from finestrec.stabilizers.rank_distillation import RankDistillation
from finestrec.stabilizers.retraining import Continue, Retrain
from finestrec.stabilizers.serving import Policy, TwoModels
from finestrec.stabilizers.twin import Twin
from finestrec.training.progress import Progress

STABILIZERS: Final[dict[str, type[Strategy]]] = {
    "retrain": Retrain,
    "warm_start": WarmStart,
    "finest": FinestTuning,
    "annealed": Annealed,
    "gaps": GapTuning,
    "rbo": OverlapTuning,
    "l2_sp": L2SP,
    "interpolation": Interpolation,
    "ema": EMA,
    "swa": SWA,
    "churn_distillation": ChurnDistillation,
    "focal_distillation": FocalDistillation,
    "rank_distillation": RankDistillation,
    "fgsm": FGSM,
    "cascade_adversarial": CascadeAdversarial,
    "twin": Twin,
    "bagging": Bagging,
    "hysteresis": Hysteresis,
    "blending": Blending,
}
"""Every strategy by the name that a METHOD begins with."""


def stabilizer(method: str, recipe: Recipe, progress: Progress | None = None) -> Strategy:
    """The strategy that a METHOD stands for.

    Raises:
        OptionError: If the name or an option is unknown, or a value does not fit.
    """
    values: dict[str, str] = {}
    for setting in method.split(":")[1:]:
        key, equals, value = setting.partition("=")
        if not equals or not key or not value:
            raise OptionError(f"{setting!r} in the method {method!r} is not an option; expected option=value")
        if key in values:
            raise OptionError(f"the method {method!r} names {key} twice")
        values[key] = value.replace("+", ",")
    strategy = stabilizer_type(method)
    try:
        return strategy.of(recipe, values, progress)
    except OptionError as error:
        raise OptionError(f"the method {method!r}: {error}") from None


def stabilizer_type(method: str) -> type[Strategy]:
    """The class of the strategy that a METHOD names; its options are not looked at.

    Raises:
        OptionError: If the name is unknown; lists the choices.
    """
    name = method.partition(":")[0]
    if name not in STABILIZERS:
        raise OptionError(f"unknown method {name!r}; known are {', '.join(STABILIZERS)}")
    return STABILIZERS[name]


__all__ = [
    "STABILIZERS",
    "BeforeGrowth",
    "Continue",
    "FinestTuning",
    "Fitter",
    "Kind",
    "Policy",
    "Ranker",
    "Recipe",
    "Retrain",
    "Strategy",
    "TwoModels",
    "WarmStart",
    "stabilizer",
    "stabilizer_type",
]
