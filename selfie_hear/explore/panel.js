// Beside the map: what is pointed at, the chosen sound, what is most alike, the search, the legend, the keys.

const trail = []; // sounds chosen before

const stem = (i) => sounds[i].name.split("/").pop();
const labelOf = (i) => group().categories[category(i)];

function facts(i) {
  const { seconds, start, shown: part } = sounds[i];
  if (seconds === undefined) return labelOf(i);
  const from = start ? `, from ${clock(start)}` : "";
  return `${labelOf(i)} · ${part > seconds - 0.05 ? length(seconds) : `loudest ${length(part)} of ${length(seconds)}${from}`}`;
}

function problem(i) {
  const { missing, audio, url } = sounds[i];
  if (missing) return `Without its sound: ${missing}`;
  return audio || url ? "" : "Not in this page, to keep it small; the spectrogram is.";
}

function hover(x, y) {
  const i = x < 0 ? -1 : pointed(x, y);
  const tip = $("tip");
  canvas.classList.toggle("over", i >= 0);
  if (i !== state.over) {
    state.over = i;
    tip.hidden = i < 0;
    if (i >= 0) {
      const [, name, quiet] = tip.children;
      name.textContent = stem(i);
      quiet.textContent = problem(i) || facts(i);
      tip.firstElementChild.hidden = !sounds[i].spectrogram;
      showPicture(tip.firstElementChild, pictureOf(i));
    }
    drawRings();
  }
  if (i >= 0) {
    const right = x + 18 + tip.offsetWidth > room().right + 20;
    const low = y + 14 + tip.offsetHeight > innerHeight;
    tip.style.translate = `${right ? x - 14 - tip.offsetWidth : x + 18}px ${low ? y - 10 - tip.offsetHeight : y + 14}px`;
  }
}

// Shows a sound and plays it.
function choose(i, remember = true) {
  if (remember && state.chosen >= 0 && state.chosen !== i) trail.push(state.chosen);
  Object.assign(state, { chosen: i, stepped: -1 });
  $("chosen").hidden = false;
  hover(-99, -99);
  present(i);
  $("near").replaceChildren(...sounds[i].near.map(([other, cosine]) => neighbour(other, cosine)));
  $("near").scrollTop = 0;
  player.play(sounds[i], 0);
  draw();
}

// Puts a sound, chosen or a neighbour that was stepped to, at the head of the panel.
function present(i) {
  $("name").textContent = stem(i);
  $("name").title = sounds[i].name;
  $("facts").textContent = facts(i);
  $("problem").textContent = problem(i);
  $("live").textContent = `${stem(i)}, ${facts(i)}`;
  showPicture($("spectrogram"), pictureOf(i));
  $("play").disabled = !player.canPlay(sounds[i]);
}

function neighbour(i, cosine) {
  const small = element("canvas");
  const swatch = element("i");
  swatch.style.background = tint(i);
  const words = element("span", { className: "text" },
    element("span", { textContent: stem(i) }), element("span", { className: "sub" }, swatch, labelOf(i)));
  const button = element("button", { title: sounds[i].name }, small, words,
    element("span", { className: "cosine", textContent: cosine.toFixed(2) }));
  button.dataset.sound = i;
  button.addEventListener("click", () => choose(i));
  requestAnimationFrame(() => showPicture(small, pictureOf(i)));
  return element("li", {}, button);
}

const current = () => (state.stepped >= 0 ? state.stepped : state.chosen);

function step(by) {
  if (state.chosen < 0) return;
  const near = sounds[state.chosen].near.map(([other]) => other);
  const all = [state.chosen, ...near];
  const at = Math.max(0, Math.min(all.length - 1, all.indexOf(current()) + by));
  state.stepped = at ? all[at] : -1;
  for (const button of $("near").querySelectorAll("button")) {
    const here = Number(button.dataset.sound) === state.stepped;
    button.setAttribute("aria-current", here);
    if (here) button.scrollIntoView({ block: "nearest" });
  }
  present(all[at]);
  player.play(sounds[all[at]], 0);
  draw();
}

function close() {
  player.audio.pause();
  Object.assign(state, { chosen: -1, stepped: -1 });
  $("chosen").hidden = true;
  draw();
}

function search() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const texts = (i) => [sounds[i].name, ...data.groupings.map((one) => one.categories[one.of[i]])].join("\n").toLowerCase();
  const found = sounds.map((_, i) => i).filter((i) => words.every((word) => texts(i).includes(word)));
  state.found = words.length ? new Set(found) : null;
  $("found").textContent = words.length ? `${found.length.toLocaleString("en")} of ${sounds.length.toLocaleString("en")} sounds` : "";
  $("matches").replaceChildren(...(words.length ? found.slice(0, 50) : []).map((i) => {
    const button = element("button", { textContent: stem(i), title: sounds[i].name });
    button.addEventListener("click", () => choose(i));
    return element("li", {}, button);
  }));
  draw();
}

function legend() {
  const counts = group().categories.map(() => 0);
  for (const number of group().of) counts[number] += 1;
  $("legend").replaceChildren(...group().categories.map((name, number) => {
    const dot = element("span", { className: "dot" });
    dot.style.background = colour(number, name);
    const button = element("button", { title: name }, dot, element("span", { className: "text", textContent: name }),
      element("span", { className: "count", textContent: counts[number] }));
    button.setAttribute("aria-pressed", !state.hidden.has(number));
    button.addEventListener("click", (event) => {
      if (event.shiftKey) state.hidden = new Set(counts.keys());
      if (!state.hidden.delete(number)) state.hidden.add(number);
      legend();
      draw();
    });
    return element("li", {}, button);
  }));
}

function regroup(number) {
  state.grouping = number;
  state.hidden.clear();
  prepare();
  legend();
  draw();
  if (state.chosen >= 0) {
    $("near").replaceChildren(...sounds[state.chosen].near.map(([other, cosine]) => neighbour(other, cosine)));
    present(current());
  }
}

const KEYS = {
  " ": () => (state.chosen < 0 ? undefined : player.toggle(sounds[current()])),
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  ArrowRight: () => state.stepped >= 0 && choose(state.stepped),
  ArrowLeft: () => trail.length && choose(trail.pop(), false),
  Escape: close,
  "/": () => $("search").focus(),
  "+": () => zoom(1.4, innerWidth / 2, innerHeight / 2),
  "-": () => zoom(1 / 1.4, innerWidth / 2, innerHeight / 2),
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target.closest("input, select");
  if (field) {
    if (event.key === "Escape") Object.assign(field, { value: field.id === "search" ? "" : field.value }).blur();
    if (event.key === "Escape" && field.id === "search") search();
    if (event.key === "Enter" && state.found && state.found.size) choose([...state.found][0]);
    return;
  }
  if (event.key === " " && event.target.closest("button")) return; // which it presses
  if (!KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

player.changed = () => {
  const going = !player.audio.paused && !player.audio.ended;
  setShape($("play"), going ? "pause" : "play", going ? "Pause" : "Play");
  follow();
};
player.failed = (sound) => {
  $("problem").textContent = sound.url ? `This browser cannot play ${sound.url}` : "This browser cannot play the sound";
};

// The line that moves over the spectrogram.
function follow() {
  const sound = sounds[current()];
  const going = !player.audio.paused && !player.audio.ended && player.sound === sound;
  const part = sound ? player.time() / sound.shown : 2;
  $("head").style.opacity = going && part <= 1 ? 1 : 0;
  $("head").style.left = `${100 * part}%`;
  if (going) requestAnimationFrame(follow);
}

$("spectrogram").addEventListener("click", (event) =>
  player.play(sounds[current()], (event.offsetX / event.target.clientWidth) * sounds[current()].shown));
$("play").addEventListener("click", () => player.toggle(sounds[current()]));
$("close").addEventListener("click", close);
$("search").addEventListener("input", search);
$("by").addEventListener("change", (event) => regroup(Number(event.target.value)));
$("all").addEventListener("click", () => regroup(state.grouping));
$("none").addEventListener("click", () => {
  state.hidden = new Set(group().categories.keys());
  legend();
  draw();
});
$("in").addEventListener("click", KEYS["+"]);
$("out").addEventListener("click", KEYS["-"]);
$("whole").addEventListener("click", showAll);
onTheme(() => regroup(state.grouping));

const still = sounds.filter((sound) => sound.missing).length;
$("about").textContent = [
  `${sounds.length.toLocaleString("en")} sounds`,
  data.left_out ? `${data.left_out.toLocaleString("en")} only to look at` : "",
  still ? `${still.toLocaleString("en")} missing` : "",
].filter(Boolean).join(" · ");
$("by").append(...data.groupings.map((one, value) => element("option", { value, textContent: one.name })));
player.changed();
regroup(0);
showAll();
