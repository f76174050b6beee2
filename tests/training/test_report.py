"""The page of results: every number is on it, and it needs no network."""

from __future__ import annotations

import base64
import copy
import re
from html.parser import HTMLParser

import pytest

from tests.training.results import NASTY, all_kinds, linear_row, measure
from training.evaluate.hear.leaderboard import read_leaderboard
from training.evaluate.markdown import ABSENT
from training.evaluate.report.build import ReportError, build_report, linear_table

VOID = {"meta", "img"}


class Page(HTMLParser):
    """What a browser sees; fails where tags do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tables: list[list[list[str]]] = []
        self.bold: list[str] = []
        self.said: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert len(found) == len(attrs)
        self.tags.add(tag)
        self.links += [str(found[key]) for key in ("src", "href") if key in found]
        if tag == "img":
            self.images.append(found)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"th", "td"} & set(self.open):
            self.tables[-1][-1][-1] += data
        if "b" in self.open:
            self.bold.append(data)
        if "style" not in self.open:
            self.said.append(data)


IMAGES = {
    "linear": 3,
    "regression": 3,
    "knn": 1,
    "finetune": 1,
    "history": 1,
    "cka": 1,
    "map": 1,
    "hear": 1,
    "windows": 1,
}
ROWS: dict[str, list[str]] = {
    "linear": [NASTY, "esc50", "61.2 ± 0.4", "31.3 ± 1.0", "47.5 ± 1.0"],
    "regression": [NASTY, "t", "71.2 ± 0.4", "31.3 ± 1.0", "47.5 ± 1.0"],
    "knn": [NASTY, "esc50", "51.5", "1, 20"],
    "finetune": ["m", "t", "40.0 ± 1.0", "52.5 ± 2.2", "+12.5", ABSENT],
    "history": ["1,500", "0.5", "33.3"],
    "cka": ["l1", "0.91", "0.34"],
    "hear": ["m | x", "esc50-v2.0.0-full", "top1_acc", "0.5125", "61"],
    "windows": ["m", "t", "160", "onset", "0.1234"],
}  # fmt: skip


@pytest.mark.parametrize("kind", IMAGES)
def test_a_page_of_each_kind(kind: str) -> None:
    page = Page(build_report([all_kinds()[kind]], f"Title {NASTY}"))
    assert "script" not in page.tags and f"Title {NASTY}" in page.said
    assert len(page.images) == IMAGES[kind]
    for image in page.images:
        assert image["alt"]
        head, _, data = str(image["src"]).partition(",")
        assert head == "data:image/png;base64" and base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    if kind in ROWS:
        assert ROWS[kind] in [row for rows in page.tables for row in rows]
    assert all(len(row) == len(rows[0]) for rows in page.tables for row in rows)


def test_a_page_of_all_kinds_needs_nothing_beside_it() -> None:
    html = build_report([*all_kinds().values(), all_kinds()["map"]], "All")
    page = Page(html)
    assert all(link.startswith(("data:image/png;base64,", "#section-")) for link in page.links)
    assert not re.search(r"url\(|@import|https?:|//", re.sub(r"base64,[^\"]*", "", html))
    assert len(page.images) == sum(IMAGES.values()) + 1
    for anchor in (link for link in page.links if link.startswith("#")):
        assert html.count(f'id="{anchor[1:]}"') == 1
    assert [text for text in page.said if text.startswith("Map of embeddings")].count("Map of embeddings (2)") == 2
    assert "default-src 'none'" in html.replace("&#x27;", "'")
    assert "prefers-color-scheme: dark" in html and "@media print" in html


def test_the_summary_stands_beside_the_paper() -> None:
    rows = [linear_row("ours", "esc50", 83.2), linear_row("ours", "mine", 40.0), linear_row("other", "esc50", 50.0)]
    page = Page(build_report([{"kind": "linear", "config": {}, "rows": rows}], "t"))
    head, *body = page.tables[0]
    assert head == ["model", "ESC-50", "mine", "mean"]
    assert body[:3] == [
        ["ours", "83.2 ± 0.4", "40.0 ± 0.4", "61.6"],
        ["other", "50.0 ± 0.4", ABSENT, ABSENT],
        ["log-mel, published", "16.9", ABSENT, ABSENT],
    ]
    assert len(body) == 7
    assert page.bold == ["83.2 ± 0.4", "40.0 ± 0.4", "61.6", "83.2"]  # of equal ones both


def test_markdown_has_the_same_numbers() -> None:
    rows = [linear_row("a|b", "gtzan", 70.0), linear_row("a|b", "esc50", 10.0)]
    results = [{"kind": "linear", "config": {}, "rows": rows}, all_kinds()["knn"]]
    lines = linear_table(results).splitlines()
    assert lines[0] == "| model | ESC-50 | GTZAN | mean |"
    assert lines[1] == "| --- | ---: | ---: | ---: |"
    assert lines[2] == r"| a\|b | 10.0 ± 0.4 | 70.0 ± 0.4 | 40.0 |"
    assert lines[5] == "| SELFIE (AudioSet), published | 82.5 | **73.6** | **78.0** |"
    assert len(lines) == 8
    assert len(linear_table(results, published=False).splitlines()) == 3
    own = linear_table([{"kind": "linear", "config": {}, "rows": [linear_row("m", "mine", 1.0)]}])
    assert own.splitlines()[2:] == ["| m | **1.0 ± 0.4** | **1.0** |"]


def test_a_multilabel_task_is_shown_by_its_map() -> None:
    metrics = {"map": measure(22.2), "f1": measure(1), "wap": measure(2)}
    row = linear_row("m", "tags", 0.0, metrics=metrics, confusion=None)
    result = {"kind": "linear", "config": {}, "rows": [row]}
    page = Page(build_report([result], "t"))
    assert page.tables[0] == [["model", "tags (mAP)", "mean"], ["m", "22.2 ± 1.0", "22.2"]]
    assert len(page.images) == 2


def test_hear_beside_the_leaderboard_by_the_tasks_own_metric() -> None:
    page = Page(build_report([all_kinds()["hear"]], "t"))
    head, *body = page.tables[-1]
    assert head == ["model", "ESC-50", "tasks", "normalised mean"]
    ours = [row for row in body if row[0] == "m | x"]
    assert [row[:3] for row in ours] == [["m | x", "0.512", "1"]] and page.bold == ["m | x"]
    public = {model: row["ESC-50"] for model, row in read_leaderboard().items() if "ESC-50" in row}
    assert {row[0]: row[1] for row in body if row not in ours} == {m: f"{score:.3f}" for m, score in public.items()}
    assert ["m | x", "tiny", "mAP", ABSENT, "2"] in page.tables[0]
    lost = copy.deepcopy(all_kinds()["hear"])
    lost["rows"][0]["score"] = None
    assert len(Page(build_report([lost], "t")).tables) == 1  # another metric does not take its place
    too_high = copy.deepcopy(all_kinds()["hear"])
    too_high["rows"][0]["score"] = 51.0
    with pytest.raises(ReportError, match="hear: .* 51 is no fraction"):
        build_report([too_high], "t")


def test_a_history_without_epochs_and_cka_by_chance() -> None:
    history = all_kinds()["history"]
    history["rows"][0]["epoch"] = None
    assert ["1,500", ABSENT, "33.3"] in Page(build_report([history], "t")).tables[0]
    assert "Of clips matched at random: 0.20 on average." in Page(build_report([all_kinds()["cka"]], "t")).said
