"""Smoothness of the map that `selfie-hear explore` writes: python -m benchmarks.panning [--points N ...] [--frames N]

Pans over N points (6 examples, again and again, at places drawn at random) in a headless Chromium, which must be
installed with its chromedriver, and prints the time from frame to frame and how much of it the page's script takes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from selenium.webdriver import Chrome, ChromeOptions

from selfie_hear import get_scene_embeddings, load_model
from selfie_hear.audio import read_audio
from selfie_hear.corpus import find_files
from selfie_hear.explore.collection import PageOptions, collection_data
from selfie_hear.explore.page import build_page

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PAN = """
    const [frames, done] = arguments, times = [], drawing = [];
    function step(now) {
      times.push(now);
      view.x += Math.sin(times.length / 10) * 6;
      view.y += Math.cos(times.length / 10) * 6;
      stale = true;
      const start = performance.now();
      paint();
      drawing.push(performance.now() - start);
      if (times.length <= frames) requestAnimationFrame(step);
      else done([times, drawing]);
    }
    setTimeout(() => requestAnimationFrame(step), 500);
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, nargs="+", default=[500, 2000, 5000])
    parser.add_argument("--frames", type=int, default=240)
    options = parser.parse_args()
    files, model = find_files([str(EXAMPLES)])[0], load_model()
    sounds = [torch.from_numpy(read_audio(path, model.sample_rate)) for path in files]
    data, _ = collection_data(files, np.asarray(get_scene_embeddings(sounds, model)), PageOptions())
    settings = ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--window-size=1440,900"):
        settings.add_argument(word)
    with tempfile.TemporaryDirectory() as folder, Chrome(settings) as browser:
        for points in options.points:
            page = Path(folder, f"{points}.html")
            page.write_text(build_page("map", "panning", spread(data, points)))
            browser.get(page.as_uri())
            times, drawing = browser.execute_async_script(PAN, options.frames)
            middle, late = np.percentile(np.diff(times), (50, 95))
            script = np.median(drawing)
            sys.stdout.write(
                f"{points:6d} points: {middle:.1f} ms a frame (95 %: {late:.1f}), script {script:.1f} ms\n"
            )
            sys.stdout.flush()


def spread(data: dict, points: int) -> dict:
    """The page's data with as many points, which are its sounds in turn."""
    places = np.random.default_rng(0).normal(0.0, 0.3, (points, 2)).clip(-1, 1).tolist()
    # Audio would make the page large, not slower.
    known = [{key: value for key, value in sound.items() if key != "audio"} for sound in data["sounds"]]
    turns = [n % len(known) for n in range(points)]
    return {
        **data,
        "sounds": [{**known[n], "x": x, "y": y} for n, (x, y) in zip(turns, places, strict=True)],
        "groupings": [{**grouping, "of": [grouping["of"][n] for n in turns]} for grouping in data["groupings"]],
    }


if __name__ == "__main__":
    main()
