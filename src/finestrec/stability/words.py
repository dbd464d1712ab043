"""What an audit found, in words."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from finestrec.stability.differences import Difference
from finestrec.stability.findings import Finding, Group
from finestrec.stability.rows import LogChange, Regime
from finestrec.stability.slices import ERASED, TARGET_ERASED, TOUCHED, UNTOUCHED
from finestrec.stability.statistics import Interval

_CHANGED: Final = "Turnover@10"
_SURE: Final = 0.05


def verdict(findings: Sequence[Finding], differences: Sequence[Difference]) -> str:
    """A paragraph a perturbation: what it did, what another seed does, what each method saves, and for whom.

    The coupled change and the change of another seed stand side by side; neither is subtracted from the other.
    """
    found = {(each.regime, each.method, each.perturbation): each for each in findings}
    beside = {(each.regime, each.perturbation, each.method, each.baseline): each for each in differences}
    paragraphs = []
    for spec in dict.fromkeys(each.perturbation for each in findings if each.perturbation):
        sentences = [
            *_retraining(found, spec),
            *_methods(found, beside, spec),
            *_authors(found, beside, spec),
            *_collateral(found.get(("anchored-update", "retrain", spec))),
            *_served(found.get(("anchored-update", "retrain", spec))),
        ]
        paragraphs.append(" ".join(sentences))
    return "\n".join(paragraphs)


def deed(spec: str, change: LogChange) -> str:
    """What a perturbation did, as the beginning of a sentence.

    Args:
        spec: Its SPEC.
        change: What became of the log.
    """
    kind, selector = spec.split(":")[:2]
    removed, added, total = (round(change[key]) for key in ("removed", "added", "interactions"))
    of = f"of {total:,} interactions"
    if kind == "delete" and selector == "user":
        return f"Erasing {counted(change['erased_users'], 'user')} ({removed:,} {of})"
    if kind == "delete" and selector == "item":
        return f"Taking down {counted(change['erased_items'], 'item')} ({removed:,} {of})"
    if kind == "append":
        return f"Adding {counted(added, 'interaction')} to {total:,}"
    by = "" if selector == "random" else f" (chosen by {selector})"
    if kind == "insert":
        return f"Inserting {counted(added, 'interaction')} into {total:,}{by}"
    return f"{'Deleting' if kind == 'delete' else 'Replacing'} {removed:,} {of}{by}"


def counted(count: float, noun: str) -> str:
    """A number with its noun: 1 user, 2 users."""
    return f"{round(count):,} {noun}{'' if round(count) == 1 else 's'}"


def of_ten(values: Mapping[str, Any]) -> str:
    """How many of ten items changed, with the interval: 2.5 (2.4 to 2.6); small ones with a digit more.

    Args:
        values: An interval of Turnover@10.
    """
    return f"{_tenths(values['mean'])} ({_tenths(values['lower'])} to {_tenths(values['upper'])})"


def _tenths(turnover: float) -> str:
    return f"{10 * turnover:.{1 if abs(turnover) >= 0.1 or turnover == 0 else 2}f}"


def probability(p: float) -> str:
    """A p-value as it is written."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def accuracy(change: Interval, equal: bool | None, against: str) -> str:
    """What became of accuracy: a clause."""
    words = "at equal accuracy" if equal else "but accuracy is not shown to be equal"
    return f"{words} (NDCG@10 {_percent(change)} against {against})"


def _percent(change: Interval) -> str:
    return f"{change['mean']:+.1%}, 95% interval {change['lower']:+.1%} to {change['upper']:+.1%},"


def _turnover(each: Finding) -> str:
    mean = each.measures[_CHANGED]
    return "an unknown number" if mean is None else of_ten({"mean": mean, **each.intervals[_CHANGED]})


def _retraining(found: Mapping[Group, Finding], spec: str) -> list[str]:
    here = found.get(("anchored-update", "retrain", spec))
    if here is None or here.log_change is None:
        return []
    text = f"{deed(spec, here.log_change)} changed {_turnover(here)} of 10 items with everything else equal"
    if ("floor", "other_seed", None) in found:
        text += f"; another seed alone changes {_turnover(found['floor', 'other_seed', None])}"
    both = found.get(("anchored-update", "retrain, other seed", spec))
    return [text + (f"; both together {_turnover(both)}" if both else "") + "."]


def _methods(found: Mapping[Group, Finding], beside: Mapping[Any, Difference], spec: str) -> list[str]:
    sentences = []
    for (regime, method, perturbation), each in found.items():
        if regime != "anchored-update" or perturbation != spec or method.startswith("retrain"):
            continue
        text = f"With {method.replace('_', ' ')} {_turnover(each)} of 10 changed"
        difference = beside.get((regime, spec, method, "retrain"))
        text += f", {_fewer(difference)} retraining" if difference else ""
        if each.ndcg_change is not None:
            text += f", {accuracy(each.ndcg_change, each.equally_accurate, 'the incumbent')}"
        sentences.append(text + ".")
    return sentences


def _fewer(difference: Difference) -> str:
    """1.4 fewer (1.3 to 1.5; p < 0.001, corrected for 4 comparisons) than ..."""
    values = difference.measures[_CHANGED]
    if values["p_corrected"] >= _SURE:
        start = f"not shown to differ ({_tenths(values['lower'])} to {_tenths(values['upper'])}; "
        end = "from"
    else:
        low, high = (_tenths(bound) for bound in sorted(abs(values[key]) for key in ("lower", "upper")))
        more = "fewer" if values["mean"] < 0 else "more"
        start = f"{_tenths(abs(values['mean']))} {more} ({low} to {high}; "
        end = "than"
    corrected = f", corrected for {counted(difference.comparisons, 'comparison')}" if difference.comparisons > 1 else ""
    return f"{start}{probability(values['p_corrected'])}{corrected}) {end}"


def _authors(found: Mapping[Group, Finding], beside: Mapping[Any, Difference], spec: str) -> list[str]:
    """FINEST beside no FINEST, trained equally long on either side; accuracy is compared with no FINEST as well."""
    regime: Regime = "authors-protocol"
    plain, finest = (found.get((regime, method, spec)) for method in ("retrain", "finest"))
    difference = beside.get((regime, spec, "finest", "retrain"))
    if plain is None or finest is None or difference is None:
        return []
    text = (
        f"In the authors' protocol {_turnover(plain)} of 10 differ between both sides without finest and"
        f" {_turnover(finest)} with it, {_fewer(difference)} without"
    )
    change = difference.ndcg_change
    return [text + (f"; NDCG@10 is {_percent(change).rstrip(',')} against without." if change else ".")]


def _collateral(each: Finding | None) -> list[str]:
    """Whose lists moved: users with an edit, and everybody else; what was erased apart."""
    if each is None or each.touch is None or each.log_change is None:
        return []
    moved = {group: of_ten(values["measures"][_CHANGED]) for group, values in each.touch.items()}
    sentences = []
    if ERASED in moved:
        # Counts of the log are means over seeds, so these are.
        erased = counted(each.log_change["erased_users"], "erased user")
        sentences.append(f"The lists of {erased}, counted apart, changed by {moved[ERASED]}.")
    if TARGET_ERASED in moved:
        targets = counted(each.touch[TARGET_ERASED]["instances"] / each.seeds, "test interaction")
        sentences.append(f"Left out, since nobody can be right about them: {targets} with what was taken down.")
    if TOUCHED in moved and UNTOUCHED in moved:
        sentences.append(f"Users with an edit of their own: {moved[TOUCHED]}; all others: {moved[UNTOUCHED]}.")
    elif UNTOUCHED in moved and ERASED in moved:
        sentences.append(f"Nobody else was touched, so that is collateral: {moved[UNTOUCHED]}.")
    return sentences


def _served(each: Finding | None) -> list[str]:
    if each is None or each.served is None:
        return []
    rho, p, users = (each.served[key] for key in ("rho", "p", "users"))
    numbers = (
        f"(rank correlation of a user's MRR and RBO(p=0.9): {rho:+.2f}, {probability(p)}, {counted(users, 'user')})"
    )
    if p >= _SURE:
        return [f"Whether badly served users are the unstable ones does not show {numbers}."]
    return [f"Badly served users are {'more' if rho > 0 else 'less'} unstable than well served ones {numbers}."]
