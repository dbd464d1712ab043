"""A summary as one HTML file that needs nothing else: static pictures first, scripts on top."""

import json
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from finestrec.report.figures import figures, svg
from finestrec.report.slope import ROW, slope
from finestrec.report.summary import Estimate, Summary


def page(summary: Summary) -> str:
    """The whole HTML file.

    Everything that comes from data is escaped: in text by the templates, in scripts as JSON without a "<".
    """
    drawn = [[(figure, Markup(svg(figure.spec))) for figure in figures(chapter)] for chapter in summary.chapters]
    specs = {
        f"figure-{number}-{figure.name}": figure.spec for number, chapter in enumerate(drawn) for figure, _ in chapter
    }
    return (
        _environment()
        .get_template("report.html")
        .render(
            summary=summary,
            figures=drawn,
            specs=_json(specs),
            library=Markup(_library()) if specs else "",
            slope=slope,
            row_height=ROW,
            measures=_measures(summary),
        )
    )


@cache
def _library() -> str:
    """Vega, Vega-Lite and vega-embed, about 0.9 MB, with nothing that could end the script element early."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script")


def _json(value: Any) -> Markup:
    return Markup(json.dumps(value).replace("<", "\\u003c"))


def _measures(summary: Summary) -> list[list[str]]:
    """Names of the similarities that each chapter's table shows."""
    return [
        list(dict.fromkeys(name for result in chapter.results for name in result.measures))
        for chapter in summary.chapters
    ]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("finestrec.report"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["estimate"] = _estimate
    return environment


def _estimate(value: Estimate | None, style: str = ".3f") -> str:
    """The mean, and its interval below it."""
    if value is None or value.mean is None:
        return "n/a"
    if value.lower is None or value.upper is None:
        return format(value.mean, style)
    interval = f"{value.lower:{style}} to {value.upper:{style}}"
    return Markup("{} <small>{}</small>").format(format(value.mean, style), interval)
