// What the map and the timeline share: the data, colours, spectrograms, the player.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SHAPES = {
  play: "M4 2.5v11l9-5.5z",
  pause: "M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z",
};

// Text goes in as text, never as HTML: names of files may hold anything.
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function setShape(button, shape, label) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  path.setAttribute("d", SHAPES[shape]);
  svg.append(path);
  button.replaceChildren(svg);
  button.setAttribute("aria-label", label);
}

function bytes(base64) {
  const text = atob(base64);
  const found = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) found[i] = text.charCodeAt(i);
  return found;
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  const minutes = Math.floor(whole / 60) % 60;
  const two = (value) => String(value).padStart(2, "0");
  return whole < 3600 ? `${minutes}:${two(whole % 60)}` : `${Math.floor(whole / 3600)}:${two(minutes)}:${two(whole % 60)}`;
}

const length = (seconds) => (seconds < 60 ? `${Number(seconds.toFixed(seconds < 2 ? 2 : 1))} s` : clock(seconds));

// Categories: hues that differ from their neighbours in the list, in two tones each for a light and a dark page.
const HUES = ["#3d6fe8", "#e8750e", "#0f9d77", "#d63d74", "#8b5cd8", "#b58a00", "#0c9cc0", "#c2502a", "#5d9420", "#b548bd"];

function colour(number, name) {
  if (name === "(none)") return "#9a9ca5";
  if (number < HUES.length) return HUES[number];
  return `oklch(${[0.72, 0.52, 0.62][number % 3]} 0.15 ${(number * 137.508) % 360})`;
}

// 256 shades from black over violet and orange to pale yellow; brighter is always more.
const HEAT = (() => {
  const stops = ["000004", "180f3d", "440f76", "721f81", "9e2f7f", "cd4071", "f1605d", "fd9668", "feca8d", "fcfdbf"];
  const parts = stops.map((stop) => [0, 2, 4].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, value) => {
    const place = (value / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(place), stops.length - 2);
    return parts[low].map((part, i) => Math.round(part + (parts[low + 1][i] - part) * (place - low)));
  });
})();

// A canvas of one pixel a value; row 0 of the values is at the bottom if `upwards`.
function picture(values, rows, upwards) {
  const columns = values.length / rows;
  const canvas = element("canvas", { width: columns, height: rows });
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  for (let row = 0; row < rows; row++) {
    const source = upwards ? rows - 1 - row : row;
    for (let column = 0; column < columns; column++) {
      const [red, green, blue] = HEAT[values[source * columns + column]];
      image.data.set([red, green, blue, 255], 4 * (row * columns + column));
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

// Sizes a canvas to what is seen of it; returns its context in CSS pixels.
function fit(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

function showPicture(canvas, source) {
  const { context, width, height } = fit(canvas);
  context.imageSmoothingQuality = "high";
  if (source) context.drawImage(source, 0, 0, width, height);
}

const player = {
  audio: $("audio"),
  sound: null,
  address: "",
  changed: () => {},
  failed: () => {},

  canPlay: (sound) => Boolean(sound && (sound.audio || sound.url)),

  // `at`: seconds after the beginning of what is shown of the sound.
  async play(sound, at) {
    if (!this.canPlay(sound)) return;
    if (this.sound !== sound) {
      URL.revokeObjectURL(this.address);
      this.address = sound.url ? "" : URL.createObjectURL(new Blob([bytes(sound.audio)], { type: "audio/mpeg" }));
      this.sound = sound;
      this.audio.src = sound.url || this.address;
    }
    this.audio.currentTime = at + (sound.url ? sound.start || 0 : 0);
    try {
      await this.audio.play();
    } catch (error) {
      if (error.name !== "AbortError") this.failed(sound, error); // aborted: by the next sound
    }
  },

  toggle(sound) {
    if (this.sound !== sound || this.audio.ended) this.play(sound, 0);
    else if (this.audio.paused) this.audio.play();
    else this.audio.pause();
  },

  // Seconds after the beginning of what is shown.
  time() {
    return this.audio.currentTime - (this.sound && this.sound.url ? this.sound.start || 0 : 0);
  },
};
for (const event of ["play", "pause", "ended"]) player.audio.addEventListener(event, () => player.changed());

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function onTheme(redraw) {
  $("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

const ink = (name) => {
  const probe = element("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};

$("title").textContent = document.title;
