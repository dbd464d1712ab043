"""The page: everything from data escaped, nothing from outside, and what a real browser makes of it."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from finestrec.report import page
from finestrec.report.definitions import definitions
from finestrec.report.examples import user_lists
from finestrec.report.summary import Chapter, Distribution, Estimate, MovedItem, Result, SliceLine, Summary

CHROMIUM = shutil.which("chromium")
LONG = "\u202eright to left\u202c" + "x" * 10_000
HOSTILE = "</script><script>document.title = 'broken'</script><b onclick=x>&\"'"


def a_summary(passed: bool | None = None, users: int = 3) -> Summary:
    results = tuple(
        Result(
            label=label,
            measures={"FRBO(p=0.9)@10": Estimate(mean, mean - 0.02, mean + 0.02), "Jaccard@10": Estimate(None)},
            accuracy={"NDCG@10": Estimate(0.5, 0.48, 0.52)},
            ndcg_change=None if is_floor else Estimate(0.01, -0.005, 0.02),
            equally_accurate=None if is_floor else True,
            is_floor=is_floor,
        )
        for label, mean, is_floor in (("retrain", 0.6, False), (HOSTILE, 0.9, False), ("another seed", 0.5, True))
    )
    chapter = Chapter(
        title=f"chapter {HOSTILE}",
        explanation="Who is compared with whom.",
        measure="FRBO(p=0.9)@10",
        results=results,
        distributions=(Distribution("retrain", "FRBO(p=0.9)@10", tuple(range(20))),),
        slices=(
            SliceLine("activity", "1 to 9", "retrain", 7, Estimate(0.5, 0.4, 0.6)),
            SliceLine("activity", HOSTILE, "retrain", 9, Estimate(0.7)),
        ),
        items=(MovedItem(HOSTILE, 12, 3, 1000), MovedItem(LONG, 1, 0, 0)),
        users=tuple(
            user_lists(f"u{i}{HOSTILE}", [("before", ["a", HOSTILE, LONG]), ("after", [LONG, "a", "d"])])
            for i in range(users)
        ),
        user_note="Three users.",
    )
    return Summary(
        kind="audit",
        title=f"Audit {HOSTILE}",
        verdict=("Deleting 3 changed 2.5 of 10 items.", HOSTILE),
        facts=(("log", HOSTILE),),
        chapters=(chapter,),
        definitions=definitions(["FRBO(p=0.9)@10", "Jaccard@10", "NDCG@10"]),
        passed=passed,
        notes=(HOSTILE,),
    )


class Outline(HTMLParser):
    """Elements by name, and the text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in {"script", "style"}:
            self.words.append(data)


@pytest.fixture(scope="module")
def text() -> str:
    return page(a_summary())


def test_what_comes_from_data_is_text_and_never_markup(text: str) -> None:
    outline = Outline(text)
    assert sum(tag == "script" for tag, _ in outline.tags) == 3  # the specifications, the library, ours
    assert not any(tag == "b" or "onclick" in attributes for tag, attributes in outline.tags)
    assert any(HOSTILE in words for words in outline.words)


def test_nothing_is_loaded_from_outside(text: str) -> None:
    for tag, attributes in Outline(text).tags:
        assert tag not in {"link", "img", "iframe", "object", "base"}
        for name in ("src", "href", "action"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_a_measure_that_is_not_there_says_so(text: str) -> None:
    assert "n/a" in text


@pytest.mark.parametrize(("passed", "words"), [(True, "The gate is passed"), (False, "The gate failed"), (None, None)])
def test_the_gate_stands_above(passed: bool | None, words: str | None) -> None:
    body = page(a_summary(passed)).partition("<main")[0]
    assert ("The gate" in body) == (words is not None)
    assert words is None or words in body


def test_pictures_have_words_and_the_page_reads_without_scripts(text: str) -> None:
    outline = Outline(text)
    pictures = [attributes for _, attributes in outline.tags if attributes.get("role") == "img"]
    assert len(pictures) >= 3 + 3
    assert all(attributes["aria-label"] for attributes in pictures)
    # The drawn charts and the lists side by side, before any script has run.
    assert sum(tag == "svg" for tag, _ in outline.tags) >= 3 + 3
    body = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "▼" in body
    assert "▲" in body


def test_one_user_and_no_user_make_a_page() -> None:
    assert "1 of 1 users" not in page(a_summary(users=0))
    assert page(a_summary(users=1)).count("<details") == 1


def test_the_summary_is_json() -> None:
    document = json.loads(json.dumps(a_summary().to_json()))
    assert document["schema"] == 1
    assert document["chapters"][0]["results"][0]["measures"]["Jaccard@10"]["mean"] is None


def browsed(file: Path, folder: Path, *flags: str) -> tuple[str, str]:
    """The document as headless Chromium has it after its scripts ran, and what it logged."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=15000", *flags, file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    return done.stdout, done.stderr


def probed(text: str, folder: Path, script: str, *flags: str) -> tuple[Any, str]:
    """What a script finds once the page has loaded, and what the page said on the console."""
    probe = f"""<script>window.addEventListener("load", async () => {{
      const found = await (async () => {{ {script} }})();
      document.body.dataset.probe = JSON.stringify(found);
    }});</script>"""
    head, end, tail = text.rpartition("</body>")  # the library has one in a string
    file = folder / "report.html"
    file.write_text(head + probe + end + tail)
    document, errors = browsed(file, folder, "--dump-dom", "--enable-logging=stderr", *flags)
    (body,) = [attributes for tag, attributes in Outline(document).tags if tag == "body"]
    return json.loads(body["data-probe"] or "null"), "\n".join(re.findall(r".*CONSOLE.*", errors))


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")


@needs_browser
@pytest.mark.parametrize("width", [1280, 400])
def test_in_a_browser_charts_come_alive_and_users_are_searched(text: str, tmp_path: Path, width: int) -> None:
    script = """
      const search = document.querySelector(".search input");
      const status = document.querySelector(".search [role=status]");
      search.value = "u1"; search.dispatchEvent(new Event("input"));
      const open = [...document.querySelectorAll("details")].filter((each) => !each.hidden).length;
      search.value = "nobody"; search.dispatchEvent(new Event("input"));
      await new Promise((done) => setTimeout(done, 3000));
      return {
        open, words: status.textContent, title: document.title,
        charts: document.querySelectorAll(".vega-embed svg").length,
        requests: performance.getEntriesByType("resource").map((each) => each.name),
        overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      };
    """
    found, console = probed(text, tmp_path, script, f"--window-size={width},1600")
    assert found["open"] == 1
    assert "--user" in found["words"]
    assert found["charts"] == 3
    assert found["requests"] == []
    assert found["title"].startswith("Audit")
    assert found["overflow"] == 0  # what is wider scrolls inside the page
    assert console == ""


@needs_browser
def test_no_serious_fault_of_accessibility(text: str, tmp_path: Path) -> None:
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text()
    script = """
      const found = await axe.run(document, { resultTypes: ["violations"] });
      return found.violations.map(({ id, impact, nodes }) => [id, impact, nodes[0].html.slice(0, 200)]);
    """
    page_with_axe = text.replace("<head>", f"<head><script>{axe}</script>", 1)
    found, _ = probed(page_with_axe, tmp_path, script)
    assert [fault for fault in found if fault[1] in {"serious", "critical"}] == []


@needs_browser
def test_in_a_browser_without_scripts_the_charts_are_drawn(text: str, tmp_path: Path) -> None:
    """Chromium takes no picture with scripts off, so they are taken out; a page of text alone would be smaller."""
    sizes = []
    for name, pattern in (("still", r"<script.*?</script>"), ("text", r"<script.*?</script>|<svg.*?</svg>")):
        file = tmp_path / f"{name}.html"
        file.write_text(re.sub(pattern, "", text, flags=re.DOTALL))
        browsed(file, tmp_path, f"--screenshot={tmp_path / f'{name}.png'}", "--window-size=1200,2400")
        sizes.append((tmp_path / f"{name}.png").stat().st_size)
    assert sizes[0] > 1.1 * sizes[1]
