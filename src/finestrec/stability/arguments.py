"""What an audit is asked for, looked at before a folder is touched or anything is trained."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import polars as pl

from finestrec.data.sequences import Instances
from finestrec.data.splits import Split
from finestrec.errors import OptionError
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.recommenders import ListFitter
from finestrec.stability.rows import Regime
from finestrec.stability.slices import APART, TOUCH, change_slices
from finestrec.stability.touch import taken_down
from finestrec.stability.work import Factory
from finestrec.stabilizers import Fitter, Recipe, stabilizer


def check_types(split: Any, recipe: Any, perturbations: Any, methods: Any, regimes: Any, seeds: Any) -> None:
    """Refuse mistakes that are easily made in a notebook, where nobody checks types.

    Raises:
        OptionError: If there is one.
    """
    if not isinstance(split, Split):
        raise OptionError(f"what is audited is {type(split).__name__}; expected what `split(log)` gives")
    if not isinstance(recipe, Recipe | Mapping):
        raise OptionError(
            f"the recipe is a {type(recipe).__name__}; expected Recipe.of(MODEL), or what fits, by name of the method"
        )
    for name, values in {
        "perturbations": perturbations,
        "methods": methods,
        "regimes": regimes,
        "seeds": seeds,
    }.items():
        if values is not None and (isinstance(values, str) or not isinstance(values, Iterable)):
            raise OptionError(f"{name} is {values!r}; expected several, e.g. [{values!r}]")


def check_what(
    recipe: Recipe | Mapping[str, Fitter | Factory],
    methods: Sequence[str],
    regimes: Sequence[Regime],
    seeds: Sequence[int],
    instances: str,
) -> None:
    """Refuse words and combinations that an audit does not know.

    Raises:
        OptionError: If there are any.
    """
    for regime in regimes:
        if regime not in get_args(Regime) or regime == "floor":
            raise OptionError(f"unknown regime {regime!r}; known are anchored-update, authors-protocol, unanchored")
    if not seeds or len(set(seeds)) < len(seeds):
        raise OptionError(f"the seeds are {list(seeds)}; expected one or more different ones")
    if isinstance(recipe, Recipe):
        check_recipe(recipe, methods, regimes)
        return
    missing = {*methods, "retrain"} - recipe.keys()
    if missing:
        lists_only = isinstance(recipe.get("retrain"), ListFitter)
        raise OptionError(
            f"no fitter for {', '.join(sorted(missing))}; given are {', '.join(recipe) or 'none'}"
            + ("; what only returns lists can be audited, not fine-tuned" if lists_only else "")
        )
    if instances == "all" and isinstance(recipe["retrain"], ListFitter):
        raise OptionError(
            f"{recipe['retrain'].name} gives one list a user, so it is audited on each user's first test instance: pass"
            " instances='first'"
        )
    if list(regimes) != ["anchored-update"]:
        raise OptionError(f"fitters are audited in the regime anchored-update only, not in {', '.join(regimes)}")


def instances_of(split: Split, which: str, max_length: int) -> Instances:
    """The test instances that are compared.

    Raises:
        OptionError: If the word is unknown.
    """
    if which not in ("all", "first"):
        raise OptionError(f"unknown instances {which!r}; known are all, and first of each user")
    test = split.held_out(max_length)
    return test if which == "all" else test.subset(test.is_first)


def check_perturbations(
    perturbations: Sequence[Perturbation], split: Split, seeds: Sequence[int], instances: str, max_length: int
) -> None:
    """Refuse before anything is trained what cannot be done, or leaves nobody to be compared.

    Raises:
        OptionError: If so.
        DataError: If a file of ids does not fit the log.
    """
    train, test = split.train, instances_of(split, instances, max_length)
    for perturbation in perturbations:
        perturbation.check(train, seeds[0], max_length)
        for seed in seeds if perturbation.erases else ():
            after = perturbation.apply(train, seed, max_length).log
            no_lists = np.empty((len(test), 0), dtype=np.int32)
            groups = change_slices(train, after, test, no_lists, taken_down(perturbation, train, after))[TOUCH]
            if len(test) and groups.cast(pl.String).is_in(APART).all():
                raise OptionError(
                    f"{perturbation} with seed {seed} leaves nobody to be compared: each of the {len(test):,} test"
                    " instances is of an erased user or has a target that was taken down; erase less"
                )


def check_recipe(recipe: Recipe, methods: Sequence[str], regimes: Sequence[str]) -> None:
    """Refuse methods and regimes that a recipe cannot be audited with.

    Raises:
        OptionError: If a method is unknown, or a run that ends by early stopping had to go on for a number of epochs.
    """
    for method in methods:
        stabilizer(method, recipe)
    longer = [regime for regime in regimes if regime != "anchored-update"]
    if recipe.training.patience is not None and longer and "retrain" in methods:
        raise OptionError(
            f"in the regime {longer[0]} retraining goes on for finest.epochs more, and a run with early stopping"
            f" (training.patience={recipe.training.patience}) cannot: train without it, or audit anchored-update alone"
        )
