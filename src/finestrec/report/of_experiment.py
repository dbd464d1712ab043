"""The page of an experiment in Markdown, and its pictures."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finestrec.report.tradeoff_figures import dependence, frontier
from finestrec.stability.markdown import escaped, table
from finestrec.stability.statistics import Interval
from finestrec.stability.sweeps import scheme
from finestrec.stability.tradeoffs import ACCURACY, LEAST_ACCURACY, OVERLAP, SHOWN, Line, Panel, Tradeoffs

_MEGA = 1e6
_READING = f"""\
Means over test instances, seeds and users; in brackets 95% intervals, users and seeds resampled together. {OVERLAP},
Jaccard@10 and RBO(p=0.9) compare the new lists with those of the reference side, 1 is the same list. {ACCURACY} is that
of the new lists; **against retraining** it is relative to retraining's {ACCURACY} on the same log, not to the reference
side's. **Equal** accuracy: the interval of that change stays above -1%. **Front**: no other method has as much accuracy
and overlap and more of one. **Beaten by**: methods of more overlap, with the interval of the difference apart from 0,
at equal accuracy; intervals are paired and not corrected for the number of pairs. Seconds are those of the last
training, with the factor over warm start; what is only served costs what the model that it serves costs.
"""


def experiment_page(title: str, found: Sequence[Tradeoffs], failed: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The page, and the pictures that it shows.

    Args:
        title: Stands above.
        found: What stability costs, one a log and model.
        failed: Reasons by the name of the audit.

    Returns:
        Markdown; and SVG by name, for the folder `pictures` beside the page.
    """
    pictures: dict[str, str] = {}
    lines = [f"# {escaped(title)}", "", _READING]
    lines += [f"- **{escaped(name)} failed**: {escaped(reason)}" for name, reason in failed.items()]
    for each in found:
        lines += [f"## {escaped(each.model)} on {escaped(each.data)}", ""]
        for panel in each.panels:
            lines += _panel(each, panel, pictures)
        lines += _by_perturbation(each, pictures)
    return "\n".join(lines), pictures


def _panel(of: Tradeoffs, panel: Panel, pictures: dict[str, str]) -> Iterator[str]:
    name = f"{of.data}-{of.model}-{panel.regime}-{panel.perturbation}"
    yield from [f"### {panel.regime}, {_code(panel.perturbation)}", ""]
    seeds = "one seed" if panel.seeds == 1 else f"{panel.seeds} seeds"
    yield from [f"{panel.n_users:,} users with test interactions, {seeds}.", ""]
    with_gain = any(line.kept_gain for line in panel.lines)
    yield from _methods(panel, with_gain=with_gain)
    if panel.gain is not None:
        text = f"Retraining on the night's log changes {ACCURACY} of the incumbent by {_percent(panel.gain)}."
        more = (
            "**Kept gain** is the share of it that a method has as well." if with_gain else f"Here {panel.gain_note}."
        )
        yield from [f"{text} {more}", ""]
    against = [(line.method, line.against) for line in panel.lines if line.against is not None]
    if panel.baseline is not None and against:
        yield from [f"Against {_code(panel.baseline)}, paired; accuracy is relative to its own:", ""]
        rows = [
            [_code(method), _interval(values[OVERLAP], sign="+"), _percent(values[ACCURACY], decimals=2)]
            for method, values in against
        ]
        yield from table(["method", OVERLAP, ACCURACY], rows)
    yield from _picture(name, f"{OVERLAP} and {ACCURACY} of each method", frontier(panel), pictures)
    if panel.hypervolumes is not None:
        yield from [
            "Hypervolume: the area that the strengths of a method dominate, in per mille, above"
            f" {LEAST_ACCURACY:.0%} of retraining's {ACCURACY} and an {OVERLAP} of 0. Methods with more strengths"
            " (shares of the incumbent's weights among them) have more chances.",
            "",
        ]
        ordered = sorted(panel.hypervolumes.items(), key=lambda pair: -pair[1]["mean"])
        strengths = [sum(scheme(line.method) == each for line in panel.lines) for each, _ in ordered]
        yield from table(
            ["method", "strengths", "hypervolume"],
            [[_code(each), str(n), _per_mille(value)] for (each, value), n in zip(ordered, strengths, strict=True)],
        )
    by_method = {line.method: line for line in panel.lines}
    for number, sweep in enumerate(panel.sweeps):
        strategy = sweep.members[0].partition(":")[0]
        lines = [(method, value, by_method[method]) for method, value in zip(sweep.members, sweep.values, strict=True)]
        yield from [f"By {_code(sweep.option)} of {_code(strategy)}:", "", *_sweep(sweep.option, lines)]
        drawn = dependence(sweep, [(strategy, value, line) for _, value, line in lines])
        yield from _picture(f"{name}-{strategy}-{sweep.option}-{number}", f"By {sweep.option}", drawn, pictures)
    if panel.seeds > 1:
        yield from ["Lowest and highest seed:", ""]
        rows = [
            [_code(each.method), *(_seeds(each, measure) for measure in (OVERLAP, ACCURACY))] for each in panel.lines
        ]
        yield from table(["method", OVERLAP, ACCURACY], rows)
    yield from _cold_start(panel)


def _methods(panel: Panel, *, with_gain: bool) -> list[str]:
    names = ["method", *SHOWN, "against retraining", "equal", "front", "beaten by"]
    names += [*(["kept gain"] if with_gain else []), "seconds", "peak MB"]
    rows = [
        [
            _code(line.method),
            *(_interval(line.measures[name]) for name in SHOWN),
            "n/a" if line.ndcg_change is None else _percent(line.ndcg_change),
            {True: "yes", False: "no", None: "n/a"}[line.equally_accurate],
            "**yes**" if line.on_front else "",
            _beaten(line, panel),
            *([_percent(line.kept_gain, sign="") if line.kept_gain else "n/a"] if with_gain else []),
            _cost(line.seconds, line.seconds_ratio),
            _cost(line.peak_memory / _MEGA, line.memory_ratio),
        ]
        for line in panel.lines
    ]
    return table(names, rows)


def _beaten(line: Line, panel: Panel) -> str:
    """The one of most overlap, and how many more."""
    better = [other for other in panel.lines if other.method in line.beaten_by]
    if not better:
        return ""
    most = max(better, key=lambda other: other.measures[OVERLAP]["mean"])
    return _code(most.method) + (f" and {len(better) - 1} more" if len(better) > 1 else "")


def _sweep(option: str, lines: Sequence[tuple[str, Any, Line]]) -> list[str]:
    """A method, a value of the setting and the result there in each line."""
    rows = [
        [_code(method), _value(value), *(_interval(line.measures[name]) for name in (OVERLAP, ACCURACY))]
        for method, value, line in lines
    ]
    return table(["method", option, OVERLAP, ACCURACY], rows)


def _by_perturbation(of: Tradeoffs, pictures: dict[str, str]) -> Iterator[str]:
    """What depends on one setting of the perturbation, in each regime."""
    for number, sweep in enumerate(of.sweeps):
        for regime in dict.fromkeys(panel.regime for panel in of.panels):
            panels = {panel.perturbation: panel for panel in of.panels if panel.regime == regime}
            values = dict(zip(sweep.members, sweep.values, strict=True))
            lines = [
                (line.method, values[perturbation], line)
                for perturbation in sweep.members
                if perturbation in panels
                for line in panels[perturbation].lines
            ]
            methods = list(dict.fromkeys(method for method, _, _ in lines))
            lines.sort(key=lambda line: methods.index(line[0]))
            yield from [f"### {regime}: by {_code(sweep.option)} of the perturbation", ""]
            yield from [f"{', '.join(map(_code, sweep.members))}.", "", *_sweep(sweep.option, lines)]
            name = f"{of.data}-{of.model}-{regime}-by-{sweep.option}-{number}"
            yield from _picture(name, f"By {sweep.option}", dependence(sweep, lines), pictures)


def _cold_start(panel: Panel) -> Iterator[str]:
    for name in dict.fromkeys(line["slice"] for line in panel.cold_start):
        own = [line for line in panel.cold_start if line["slice"] == name]
        groups = list(dict.fromkeys(line["group"] for line in own))
        cells = {(line["method"], line["group"], line["measure"]): line for line in own}
        what = {"activity": "training interactions of the user", "popularity": "training interactions with the target"}
        yield from [f"By {what[name]}: {OVERLAP} / {ACCURACY}.", ""]
        rows = [
            [
                _code(line.method),
                *(
                    " / ".join(f"{cells[line.method, group, measure]['mean']:.3f}" for measure in (OVERLAP, ACCURACY))
                    for group in groups
                ),
            ]
            for line in panel.lines
        ]
        yield from table(["method", *map(escaped, groups)], rows)


def _picture(name: str, caption: str, drawn: str | None, pictures: dict[str, str]) -> list[str]:
    if drawn is None:
        return []
    file = re.sub(r"[^\w.=]+", "-", name)
    pictures[file] = drawn
    return [f"![{caption}](pictures/{file}.svg)", ""]


def _code(text: str) -> str:
    return f"`{text}`"


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _interval(value: Interval, sign: str = "") -> str:
    return f"{value['mean']:{sign}.4f} [{value['lower']:{sign}.4f}, {value['upper']:{sign}.4f}]"


def _seeds(line: Line, name: str) -> str:
    return f"{line.seeds[name]['lower']:.4f} to {line.seeds[name]['upper']:.4f}"


def _percent(value: Interval, sign: str = "+", decimals: int = 1) -> str:
    form = f"{sign}.{decimals}%"
    return f"{value['mean']:{form}} [{value['lower']:{form}}, {value['upper']:{form}}]"


def _per_mille(value: Interval) -> str:
    return f"{1000 * value['mean']:.2f} [{1000 * value['lower']:.2f}, {1000 * value['upper']:.2f}]"


def _cost(value: float, ratio: float | None) -> str:
    return f"{value:,.1f}" if ratio is None else f"{value:,.1f} (x {ratio:.2f})"
