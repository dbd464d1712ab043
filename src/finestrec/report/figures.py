"""Charts of a chapter, as Vega-Lite specifications: drawn once for reading and again where scripts run.

Colours are those of Okabe and Ito, which people with any colour vision tell apart; text takes the page's colour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import altair as alt
import polars as pl

from finestrec.report.summary import Chapter, Estimate

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8a8a8a", "#b3a400")
_ACCURACY: Final = "NDCG@10"
_MOST_SLICES: Final = 8


@dataclass(frozen=True)
class Figure:
    """A chart.

    Attributes:
        name: Unique in its chapter.
        caption: What it shows, in words.
        spec: Vega-Lite.
    """

    name: str
    caption: str
    spec: dict[str, Any]


def figures(chapter: Chapter) -> tuple[Figure, ...]:
    """The charts that a chapter has the numbers for."""
    made = [_overview(chapter), _distribution(chapter), *_slices(chapter)]
    return tuple(figure for figure in made if figure is not None)


def _overview(chapter: Chapter) -> Figure | None:
    """Stability and accuracy side by side."""
    labels = [result.label for result in chapter.results]
    similarity = [(r.label, r.measures[chapter.measure]) for r in chapter.results if chapter.measure in r.measures]
    accuracy = [(r.label, r.accuracy[_ACCURACY]) for r in chapter.results if _ACCURACY in r.accuracy]
    panels = [
        _intervals(values, name, labels, scale)
        for values, name, scale in ((similarity, chapter.measure, (0.0, 1.0)), (accuracy, _ACCURACY, None))
        if any(value.mean is not None for _, value in values)
    ]
    if not panels:
        return None
    caption = f"{chapter.measure}: similarity to the lists before, 1 is the same list."
    if len(panels) > 1:
        caption += f" {_ACCURACY}: accuracy of the new lists."
    return Figure("overview", f"{caption} Lines are 95% intervals.", _spec(alt.hconcat(*panels)))


def _intervals(
    values: Sequence[tuple[str, Estimate]], name: str, labels: Sequence[str], scale: tuple[float, float] | None
) -> alt.LayerChart:
    frame = pl.DataFrame(
        [
            {"label": label, "mean": value.mean, "lower": value.lower, "upper": value.upper}
            for label, value in values
            if value.mean is not None
        ],
        schema={"label": pl.String, "mean": pl.Float64, "lower": pl.Float64, "upper": pl.Float64},
    )
    if scale is None:
        ends = pl.concat([frame["lower"], frame["upper"], frame["mean"]]).drop_nulls()
        scale = (float(ends.min()), float(ends.max()))  # type: ignore[arg-type]
    x = alt.X("mean:Q", title=name, scale=alt.Scale(domain=scale, nice=True, zero=False))
    base = alt.Chart(frame).encode(
        y=alt.Y("label:N", sort=list(labels), title=None),
        color=_colour(labels),
        tooltip=["label", alt.Tooltip("mean", format=".4f"), alt.Tooltip("lower", format=".4f"), "upper"],
    )
    points = base.mark_point(filled=True, size=70).encode(x=x)
    lines = base.mark_rule(strokeWidth=2).encode(x=alt.X("lower:Q", title=name), x2="upper:Q")
    panel: alt.LayerChart = (lines + points).properties(width=260, height=alt.Step(24))
    return panel


def _distribution(chapter: Chapter) -> Figure | None:
    """How many users moved how far."""
    rows = [
        {"label": each.label, "from": i / len(each.counts), "to": (i + 1) / len(each.counts), "users": count}
        for each in chapter.distributions
        for i, count in enumerate(each.counts)
    ]
    if not rows:
        return None
    labels = [each.label for each in chapter.distributions]
    chart = (
        alt.Chart(pl.DataFrame(rows))
        .mark_bar()
        .encode(
            x=alt.X("from:Q", title=chapter.measure, scale=alt.Scale(domain=(0, 1)), bin="binned"),
            x2="to:Q",
            y=alt.Y("users:Q", title="users"),
            color=_colour([result.label for result in chapter.results]),
            row=alt.Row("label:N", title=None, sort=labels, header=alt.Header(labelAngle=0, labelAlign="left")),
            tooltip=["label", "from", "to", "users"],
        )
        .properties(width=480, height=70)
        .resolve_scale(y="independent")
    )
    return Figure("distribution", f"Users by the {chapter.measure} of their lists; left is more change.", _spec(chart))


def _slices(chapter: Chapter) -> list[Figure]:
    """Means by group, one chart a slice."""
    labels = [result.label for result in chapter.results]
    made = []
    for number, name in enumerate(list(dict.fromkeys(line.slice for line in chapter.slices))[:_MOST_SLICES]):
        lines = [line for line in chapter.slices if line.slice == name and line.value.mean is not None]
        groups = list(dict.fromkeys(line.group for line in lines))
        frame = pl.DataFrame(
            [
                {
                    "group": line.group,
                    "label": line.label,
                    "mean": line.value.mean,
                    "lower": line.value.lower,
                    "upper": line.value.upper,
                    "users": line.users,
                }
                for line in lines
            ],
            infer_schema_length=None,
        )
        base = alt.Chart(frame).encode(
            y=alt.Y("group:N", sort=groups, title=name.replace("_", " ")),
            yOffset=alt.YOffset("label:N", sort=labels),
            color=_colour(labels),
            tooltip=["group", "label", "users", alt.Tooltip("mean", format=".4f")],
        )
        scale = alt.Scale(domain=(0, 1))
        points = base.mark_point(filled=True, size=45).encode(x=alt.X("mean:Q", title=chapter.measure, scale=scale))
        rules = base.mark_rule().encode(x=alt.X("lower:Q", title=chapter.measure), x2="upper:Q")
        step = alt.Step(10 if len({line.label for line in lines}) > 1 else 20)
        chart = (rules + points).properties(width=480, height=step)
        caption = f"{chapter.measure} by {name.replace('_', ' ')}. Lines are 95% intervals."
        made.append(Figure(f"slice{number}", caption, _spec(chart)))
    return made


def _colour(labels: Sequence[str]) -> alt.Color:
    """The same colour for the same result in every chart of a chapter."""
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(labels))]
    return alt.Color("label:N", legend=None, scale=alt.Scale(domain=list(labels), range=colours))


def _spec(chart: alt.TopLevelMixin) -> dict[str, Any]:
    shown = chart.configure(background="transparent", font="system-ui, sans-serif")
    spec: dict[str, Any] = shown.configure_view(stroke=None).configure_axis(gridOpacity=0.25).to_dict()
    return spec


def svg(spec: dict[str, Any]) -> str:
    """A Vega-Lite specification, drawn."""
    import vl_convert

    drawn: str = vl_convert.vegalite_to_svg(spec)
    return drawn
