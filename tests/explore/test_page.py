"""The page: all in one file, nothing fetched, nothing in it taken for HTML."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from selfie_hear.explore.collection import SCAFFOLD
from selfie_hear.explore.page import SCRIPTS, PageError, build_page, check_out, packed
from selfie_hear.files import write_whole
from tests.explore.reading import Page

NASTY = "</script><img src=x onerror=alert(1)>\"'&amp;{{script}}\u2028\u00e9\U0001f415"


def data(**values: Any) -> dict[str, Any]:
    return {"linked": False, "name": "a.wav", **values}


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_page_needs_nothing_beside_it(kind: str) -> None:
    page = Page(build_page(kind, "sounds", data()))
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "img", "object", "embed", "base", "form")
        assert not any(name.startswith("on") for name in attributes), f"{tag}: an inline handler"
        for name in ("src", "href", "action", "srcset"):
            assert attributes.get(name, "data:,") == "data:,"
    for text in (page.texts["script"], page.texts["style"]):
        assert "@import" not in text and "url(" not in text and "import(" not in text
        assert set(re.findall(r"https?://[^\"' ]*", text)) <= {"http://www.w3.org/2000/svg"}  # a name, not an address


@pytest.mark.parametrize("kind", SCRIPTS)
def test_the_policy_lets_only_the_page_s_own_script_run(kind: str) -> None:
    page = Page(build_page(kind, "sounds", data()))
    assert page.policy.startswith("default-src 'none'; ")
    for name in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.texts[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}';" in page.policy
    assert "unsafe" not in page.policy
    assert "file:" not in page.policy
    assert "media-src blob: 'self' file:;" in Page(build_page(kind, "sounds", data(linked=True))).policy


@pytest.mark.parametrize("kind", SCRIPTS)
def test_names_stay_text(kind: str) -> None:
    plain, nasty = (Page(build_page(kind, name, data(name=name))) for name in ("a.wav", NASTY))
    assert [tag for tag, _ in nasty.tags] == [tag for tag, _ in plain.tags]
    assert nasty.data["name"] == nasty.texts["title"] == NASTY
    assert nasty.texts["script"] == plain.texts["script"]


def test_data_goes_round(tmp_path: Path) -> None:
    values = data(numbers=[1, 2.5, None], packed=packed(bytes(range(256))))
    write_whole(tmp_path / "a.html", build_page("map", "x", values))
    read = Page((tmp_path / "a.html").read_text(encoding="utf-8")).data
    assert read == values
    assert base64.b64decode(read["packed"]) == bytes(range(256))
    with pytest.raises(ValueError, match="JSON"):
        build_page("map", "x", data(wrong=float("nan")))


@pytest.mark.parametrize(
    ("name", "message"),
    [("a.txt", "must end in .html"), ("folder.html", "is a folder"), ("nowhere/a.html", "nowhere does not exist")],
)
def test_where_a_page_cannot_go(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(PageError, match=message):
        check_out(tmp_path / name)


def test_scripts_hold_no_end_of_their_element() -> None:
    for kind in SCRIPTS:
        text = build_page(kind, "x", data())
        assert text.count("</script>") == 2
        assert json.dumps(data(), separators=(",", ":")) in text
        assert len(text.encode()) < SCAFFOLD
