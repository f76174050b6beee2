"""The pages in a real Chromium: `pytest -m browser`."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from selfie_hear import Embedder
from selfie_hear.audio import read_audio
from selfie_hear.corpus import Listener
from selfie_hear.explore.collection import PageOptions, collection_data
from selfie_hear.explore.page import build_page
from selfie_hear.explore.recording import recording_data
from selfie_hear.files import write_whole
from tests.explore.sounds import embeddings, write_tones

pytestmark = pytest.mark.browser

NASTY = "<img src=x onerror=document.title=1>'\"&amp;\u00e9.wav"
NAMES = [*(f"low/{number}.wav" for number in range(6)), *(f"high/{number}.wav" for number in range(5)), f"high/{NASTY}"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--mute-audio"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options)
    show_as(driver, 1440, 900)
    yield driver
    driver.quit()


def show_as(browser: Chrome, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("sounds")
    data, _ = collection_data(write_tones(folder, NAMES, 2.0), embeddings(12), PageOptions())
    del data["sounds"][3]["spectrogram"], data["sounds"][3]["audio"]
    data["sounds"][3]["missing"] = "no such file"
    return data


Opened = Callable[[str, dict[str, Any]], None]


@pytest.fixture
def opened(browser: Chrome, tmp_path: Path) -> Iterator[Opened]:
    """Opens a page; at the end, nothing may have been said on the console or asked from anywhere."""

    def open_page(kind: str, data: dict[str, Any]) -> None:
        write_whole(tmp_path / "page.html", build_page(kind, f"sounds {NASTY}", data))
        for name in ("browser", "performance"):
            browser.get_log(name)
        browser.get((tmp_path / "page.html").as_uri())

    yield open_page
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    beside = {url for url in asked if not url.startswith(("data:", "blob:"))}
    assert beside <= {(tmp_path / "page.html").as_uri(), (tmp_path / "in here/0.wav").as_uri()}


def until(browser: Chrome, script: str) -> Any:
    return WebDriverWait(browser, 20).until(lambda _: browser.execute_script(f"return {script}"))


def at(browser: Chrome, sound: int) -> ActionChains:
    x, y = browser.execute_script(f"return screen({sound})")
    chain = ActionChains(browser)
    chain.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    return chain


def shown_names(browser: Chrome) -> list[str]:
    return [item.get_attribute("title") for item in browser.find_elements(By.CSS_SELECTOR, "#near button")]


def press(browser: Chrome, key: str) -> None:
    ActionChains(browser).send_keys(key).perform()


def test_a_click_plays_and_lists_the_neighbours(browser: Chrome, opened: Opened, collection: dict[str, Any]) -> None:
    opened("map", collection)
    values = embeddings(12)
    values -= values.mean(axis=0)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    for sound in (0, 7):
        at(browser, sound).click().perform()
        assert until(browser, "player.audio.currentTime > 0.2 && !player.audio.paused")
        assert browser.execute_script("return sounds.indexOf(player.sound)") == sound
        cosine = values @ values[sound]
        order = [row for row in np.argsort(-cosine) if row != sound][:10]
        assert shown_names(browser) == [collection["sounds"][row]["name"] for row in order]
        cosines = [item.text for item in browser.find_elements(By.CSS_SELECTOR, "#near .cosine")]
        assert cosines == [f"{round(float(cosine[row]), 4):.2f}" for row in order]
    browser.find_elements(By.CSS_SELECTOR, "#near button")[2].click()
    assert browser.find_element(By.ID, "name").get_attribute("title") == collection["sounds"][order[2]]["name"]


def test_pointing_shows_the_spectrogram_and_a_missing_sound_says_so(
    browser: Chrome, opened: Opened, collection: dict[str, Any]
) -> None:
    opened("map", collection)
    assert not browser.find_element(By.ID, "tip").is_displayed()
    at(browser, 5).perform()
    tip = browser.find_element(By.ID, "tip")
    assert tip.is_displayed() and "5.wav" in tip.text
    pixels = browser.execute_script(
        "return [...$('tip').firstElementChild.getContext('2d').getImageData(0, 0, 99, 80).data]"
    )
    assert np.reshape(pixels, (-1, 4))[:, :3].max() > 200
    at(browser, 3).click().perform()
    assert browser.find_element(By.ID, "problem").text == "Without its sound: no such file"
    assert not browser.find_element(By.ID, "play").is_enabled()
    assert len(shown_names(browser)) == 10


def test_the_search_filters_and_reaches_every_sound(
    browser: Chrome, opened: Opened, collection: dict[str, Any]
) -> None:
    opened("map", collection)
    press(browser, "/")
    press(browser, "HIGH 4")
    assert browser.find_element(By.ID, "found").text == "1 of 12 sounds"
    assert browser.execute_script("return sounds.map((_, i) => i).filter(shown)") == [10]
    press(browser, Keys.ENTER)
    assert until(browser, "sounds.indexOf(player.sound) === 10 && player.audio.currentTime > 0")
    press(browser, Keys.ESCAPE)
    assert browser.find_element(By.ID, "found").text == ""
    press(browser, "/")
    press(browser, "nowhere")
    assert browser.find_element(By.ID, "found").text == "0 of 12 sounds"


def test_the_legend_hides_and_shows(browser: Chrome, opened: Opened, collection: dict[str, Any]) -> None:
    opened("map", collection)
    high, low = browser.find_elements(By.CSS_SELECTOR, "#legend button")
    assert [item.text.split() for item in (high, low)] == [["high", "6"], ["low", "6"]]
    high.click()
    assert browser.execute_script("return sounds.map((_, i) => i).filter(shown)") == list(range(6))
    at(browser, 8).click().perform()
    assert not browser.find_element(By.ID, "chosen").is_displayed()
    browser.find_element(By.ID, "all").click()
    assert len(browser.execute_script("return sounds.map((_, i) => i).filter(shown)")) == 12


def test_keys_walk_the_neighbours(browser: Chrome, opened: Opened, collection: dict[str, Any]) -> None:
    opened("map", collection)
    at(browser, 1).click().perform()
    press(browser, " ")
    assert browser.execute_script("return player.audio.paused")
    press(browser, Keys.ARROW_DOWN)
    heard = browser.execute_script("return [state.chosen, state.stepped, sounds.indexOf(player.sound)]")
    assert heard[0] == 1 and heard[1] == collection["sounds"][1]["near"][0][0]
    for _ in range(3):
        press(browser, Keys.ARROW_UP)
    assert browser.execute_script("return [state.chosen, state.stepped]") == [1, -1]
    press(browser, Keys.ARROW_DOWN)
    press(browser, Keys.ARROW_RIGHT)
    assert browser.execute_script("return state.chosen") == heard[1]
    press(browser, Keys.ARROW_LEFT)
    assert browser.execute_script("return state.chosen") == 1


def test_names_are_text_wherever_they_stand(browser: Chrome, opened: Opened, collection: dict[str, Any]) -> None:
    opened("map", collection)
    at(browser, 11).click().perform()
    press(browser, "/")
    press(browser, "onerror")
    assert browser.find_element(By.ID, "name").text == NASTY
    assert [item.text for item in browser.find_elements(By.CSS_SELECTOR, "#matches button")] == [NASTY]
    assert browser.find_element(By.ID, "title").text == browser.title == f"sounds {NASTY}"
    assert browser.find_elements(By.TAG_NAME, "img") == []


@pytest.mark.parametrize("size", [(390, 800), (1440, 900)])
def test_panning_and_zooming_two_thousand_sounds(
    browser: Chrome, opened: Opened, collection: dict[str, Any], size: tuple[int, int]
) -> None:
    many = copy.deepcopy(collection)
    draws = np.random.default_rng(0)
    places = draws.normal(0.0, 0.3, (2000, 2)).clip(-1, 1).round(4).tolist()
    many["sounds"] = [{**collection["sounds"][n % 12], "x": x, "y": y} for n, (x, y) in enumerate(places)]
    many["groupings"][0]["of"] = [n % 2 for n in range(2000)]
    show_as(browser, *size)
    opened("map", many)
    before = browser.execute_script("return screen(0)")
    middle = (size[0] // 2, size[1] // 2)
    chain = ActionChains(browser, duration=10)
    pointer = chain.w3c_actions.pointer_action
    pointer.move_to_location(*middle).pointer_down()
    for step in range(1, 9):
        pointer.move_to_location(middle[0] + 10 * step, middle[1] - 5 * step)
    pointer.pointer_up()
    chain.perform()
    after = browser.execute_script("return screen(0)")
    np.testing.assert_allclose(np.subtract(after, before), [80, -40], atol=0.5)
    assert browser.execute_script("return state.chosen") == -1
    scale = browser.execute_script("const k = view.k; zoom(6, 100, 100); return view.k / k")
    assert scale == pytest.approx(6)
    assert until(browser, "!wanted && !stale")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    show_as(browser, 1440, 900)


def test_linked_sounds_play_from_their_files(browser: Chrome, opened: Opened, tmp_path: Path) -> None:
    paths = write_tones(tmp_path, [f"in here/{number}.wav" for number in range(4)], 2.0)
    opened("map", collection_data(paths, embeddings(4), PageOptions(linked_from=tmp_path))[0])
    at(browser, 0).click().perform()
    assert until(browser, "player.audio.currentTime > 0.1 && player.audio.duration > 1.9")


def test_a_timeline_plays_from_the_click(
    browser: Chrome, opened: Opened, tmp_path: Path, examples: list[Path], model: Embedder
) -> None:
    sounds = [read_audio(path, 16000) for path in examples]
    soundfile.write(tmp_path / "all.flac", np.concatenate(sounds), 16000)
    data, _ = recording_data(tmp_path / "all.flac", Listener(model, lambda *_: None), PageOptions())
    opened("timeline", data)
    line = browser.find_element(By.ID, "line")
    for element, share in ((line, 0.5), (browser.find_element(By.ID, "square"), 0.25)):
        chain = ActionChains(browser)
        chain.move_to_element_with_offset(element, round((share - 0.5) * element.size["width"]), 0).click().perform()
        time = share * data["seconds"]
        assert until(browser, f"!player.audio.paused && Math.abs(player.audio.currentTime - {time}) < 2")
    part = browser.execute_script("return partAt(player.time())")
    press(browser, Keys.ARROW_RIGHT)
    assert until(browser, f"partAt(player.time()) === {part + 1}")
    press(browser, " ")
    assert until(browser, "player.audio.paused")
    chips = browser.find_elements(By.CSS_SELECTOR, ".times button")
    assert len(chips) == len(data["parts"])
    chips[-1].click()
    assert until(browser, "!player.audio.paused")
    similarity = np.frombuffer(base64.b64decode(data["similarity"]), np.uint8)
    assert browser.execute_script("return [...similarity.slice(0, 50)]") == similarity[:50].tolist()
