"""Pictures of what stability costs, as SVG files of their own: the frontier, and what depends on one setting."""

from collections.abc import Sequence
from typing import Any, Final

import altair as alt
import polars as pl

from finestrec.report.figures import COLOURS, svg
from finestrec.stability.statistics import Interval
from finestrec.stability.sweeps import Sweep
from finestrec.stability.tradeoffs import ACCURACY, OVERLAP, Line, Panel

_SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "cross")
_SIZE: Final = 420
_SMALL: Final = 260


def frontier(panel: Panel) -> str | None:
    """Each method's accuracy against retraining's and its overlap, a line through its strengths.

    Filled points are on the front; thin lines are 95% intervals. None where accuracy cannot be related.
    """
    rows = [_point(line) for line in panel.lines if line.ndcg_change is not None]
    if len(rows) < len(panel.lines):
        return None
    families = list(dict.fromkeys(line.family for line in panel.lines))
    frame = pl.DataFrame(rows, infer_schema_length=None)
    title = f"{ACCURACY} against retraining on the same log"
    x = alt.X("accuracy:Q", title=title, axis=alt.Axis(format="+%"), scale=alt.Scale(zero=False))
    y = alt.Y("overlap:Q", title=OVERLAP, scale=alt.Scale(zero=False))
    base = alt.Chart(frame).encode(color=_colour(families))
    across = base.mark_rule(opacity=0.35).encode(x=alt.X("accuracy_low:Q", title=title), x2="accuracy_high:Q", y=y)
    along = base.mark_rule(opacity=0.35).encode(y=alt.Y("overlap_low:Q", title=OVERLAP), y2="overlap_high:Q", x=x)
    through = base.mark_line(strokeWidth=1.5).encode(x=x, y=y, order="strength:Q")
    shape = alt.Shape("family:N", title="method", scale=alt.Scale(domain=families, range=_cycled(families, _SHAPES)))
    points = base.encode(x=x, y=y, shape=shape)
    on = points.transform_filter("datum.on_front").mark_point(filled=True, size=80, opacity=1)
    off = points.transform_filter("!datum.on_front").mark_point(filled=False, size=60, opacity=1)
    none = alt.Chart(pl.DataFrame({"at": [0.0]})).mark_rule(strokeDash=[4, 4], color="#8a8a8a").encode(x="at:Q")
    layers = alt.layer(none, across, along, through, off, on)
    return _drawn(layers.properties(width=_SIZE, height=_SIZE))


def dependence(sweep: Sweep, lines: Sequence[tuple[str, Any, Line]]) -> str:
    """Overlap and accuracy by the value of one setting.

    Args:
        sweep: Names the setting.
        lines: A label, a value of the setting, and the result there; labels have a line each.
    """
    labels = list(dict.fromkeys(label for label, _, _ in lines))
    is_number = all(isinstance(value, int | float) for value in sweep.values)
    panels = []
    for measure in (OVERLAP, ACCURACY):
        rows = [
            {"family": label, "value": value if is_number else _text(value), **_ends("y", line.measures[measure])}
            for label, value, line in lines
        ]
        x = alt.X("value:O", title=sweep.option, sort=[_text(value) for value in sweep.values])
        if is_number:
            # Strengths and amounts are tried by factors.
            is_wide = min(sweep.values) > 0 and max(sweep.values) / min(sweep.values) >= 10
            scale = alt.Scale(type="log" if is_wide else "linear", zero=False, nice=False, padding=16)
            x = alt.X("value:Q", title=sweep.option, scale=scale, axis=alt.Axis(values=sweep.values, format="~g"))
        base = alt.Chart(pl.DataFrame(rows, infer_schema_length=None)).encode(x=x, color=_colour(labels))
        y = alt.Y("y:Q", title=measure, scale=alt.Scale(zero=False))
        rules = base.mark_rule(opacity=0.35).encode(y=alt.Y("y_low:Q", title=measure), y2="y_high:Q")
        panels.append((rules + base.mark_line(point=True).encode(y=y)).properties(width=_SMALL, height=_SMALL))
    return _drawn(alt.hconcat(*panels))


def _point(line: Line) -> dict[str, Any]:
    assert line.ndcg_change is not None
    return {
        "family": line.family,
        "strength": line.strength,
        "on_front": line.on_front,
        **_ends("accuracy", line.ndcg_change),
        **_ends("overlap", line.measures[OVERLAP]),
    }


def _ends(name: str, value: Interval) -> dict[str, float]:
    return {name: value["mean"], f"{name}_low": value["lower"], f"{name}_high": value["upper"]}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _cycled(labels: Sequence[str], values: Sequence[str]) -> list[str]:
    return [values[number % len(values)] for number in range(len(labels))]


def _colour(labels: Sequence[str]) -> alt.Color:
    return alt.Color("family:N", title="method", scale=alt.Scale(domain=list(labels), range=_cycled(labels, COLOURS)))


def _drawn(chart: alt.TopLevelMixin) -> str:
    """On white, since a file of its own cannot take the colours of the page that shows it."""
    # Room on the right: where the picture is shown letters may be wider than where it was made.
    room = {"left": 8, "top": 8, "right": 64, "bottom": 8}
    shown = chart.configure(background="white", font="system-ui, sans-serif", padding=room)
    return svg(
        shown.configure_view(stroke=None)
        .configure_axis(gridOpacity=0.25)
        .configure_legend(labelLimit=320, symbolOpacity=1)
        .to_dict()
    )
