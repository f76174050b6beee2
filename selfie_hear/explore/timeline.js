// One recording: a strip of what is heard when, its similarity to itself, its parts.

const line = $("line");
const matrix = $("matrix");
const square = $("square");
const strip = picture(bytes(data.spectrogram), data.mels, true);
const envelope = bytes(data.envelope);
const similarity = bytes(data.similarity);
const whole = picture(similarity, data.points, false);
const TOP = { envelope: 44, gap: 6, parts: 22, novelty: 44, axis: 18 }; // heights in the strip, pixels
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
const span = data.points * data.step; // seconds that the matrix covers; its last column may reach beyond the end

function letter(group) {
  return (group >= 26 ? letter(Math.floor(group / 26) - 1) : "") + String.fromCharCode(65 + (group % 26));
}

const precise = (seconds) => (data.seconds < 60 ? `${seconds.toFixed(1)} s` : clock(seconds));

function drawLine() {
  const { context, width, height } = fit(line);
  const at = (seconds) => (seconds / data.seconds) * width;
  const quiet = ink("--quiet");
  let top = 0;
  context.fillStyle = ink("--accent");
  for (let x = 0; x < width; x++) {
    const from = Math.floor((x / width) * envelope.length);
    const to = Math.max(from + 1, Math.floor(((x + 1) / width) * envelope.length));
    let level = 0;
    for (let i = from; i < to; i++) level = Math.max(level, envelope[i]);
    const half = Math.max(0.5, ((level / 255) * TOP.envelope) / 2);
    context.fillRect(x, TOP.envelope / 2 - half, 1, 2 * half);
  }
  top += TOP.envelope + TOP.gap;
  const tall = height - TOP.envelope - TOP.parts - TOP.novelty - TOP.axis - 3 * TOP.gap;
  context.imageSmoothingQuality = "high";
  context.drawImage(strip, 0, top, width, tall);
  top += tall + TOP.gap;
  context.textBaseline = "middle";
  context.textAlign = "center";
  context.font = "650 12px system-ui, sans-serif";
  for (const { start, end, group } of data.parts) {
    const [left, right] = [at(start), at(end)];
    context.fillStyle = colour(group, "");
    context.beginPath();
    context.roundRect(left + 0.75, top, Math.max(1, right - left - 1.5), TOP.parts, 5);
    context.fill();
    context.fillStyle = "#fff";
    if (right - left > 16) context.fillText(letter(group), (left + right) / 2, top + TOP.parts / 2 + 1);
  }
  top += TOP.parts + TOP.gap;
  const most = Math.max(0.3, ...data.novelty);
  context.beginPath();
  context.moveTo(0, top + TOP.novelty);
  data.novelty.forEach((value, i) =>
    context.lineTo(at(Math.min(data.seconds, i * data.step)), top + TOP.novelty * (1 - Math.max(0, value) / most)));
  context.lineTo(width, top + TOP.novelty);
  context.globalAlpha = 0.22;
  context.fillStyle = quiet;
  context.fill();
  context.globalAlpha = 1;
  context.strokeStyle = quiet;
  context.stroke();
  context.setLineDash([3, 3]);
  for (const { start } of data.parts.slice(1)) {
    context.beginPath();
    context.moveTo(at(start), 0);
    context.lineTo(at(start), top + TOP.novelty);
    context.globalAlpha = 0.55;
    context.stroke();
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
  top += TOP.novelty;
  context.fillStyle = quiet;
  context.font = "11.5px system-ui, sans-serif";
  const step = STEPS.find((one) => at(one) > 74) || STEPS.at(-1);
  for (let time = 0; time <= data.seconds; time += step) {
    const half = context.measureText(precise(time)).width / 2;
    context.fillText(precise(time), Math.min(width - half, Math.max(half, at(time))), top + TOP.axis / 2 + 3);
  }
}

function drawMatrix() {
  const { context, width, height } = fit(matrix);
  context.imageSmoothingEnabled = data.points > width;
  context.drawImage(whole, 0, 0, width, height);
}

function redraw() {
  drawLine();
  drawMatrix();
  follow();
}

function seek(seconds) {
  player.play(data, Math.min(Math.max(0, seconds), data.seconds - 0.01));
}

const partAt = (seconds) => Math.max(0, data.parts.findLastIndex((part) => part.start <= seconds + 1e-3));

// Everything that shows the time.
function follow() {
  const now = player.sound ? player.time() : 0;
  $("clock").textContent = `${precise(now)} / ${precise(data.seconds)}`;
  $("head").style.translate = `${(now / data.seconds) * line.clientWidth}px`;
  $("across").style.left = $("down").style.top = `${(100 * now) / span}%`;
  line.setAttribute("aria-valuenow", Math.round(now));
  line.setAttribute("aria-valuetext", `${precise(now)}, part ${letter(data.parts[partAt(now)].group)}`);
  buttons.forEach((button, i) => button.setAttribute("aria-current", i === partAt(now)));
  if (!player.audio.paused && !player.audio.ended) requestAnimationFrame(follow);
}

function timesOf(event) {
  const box = square.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((part) => part * span);
}

line.addEventListener("click", (event) => {
  const box = line.getBoundingClientRect();
  seek(((event.clientX - box.left) / box.width) * data.seconds);
});
square.addEventListener("click", (event) => seek(timesOf(event)[event.shiftKey ? 1 : 0]));
const explained = $("pair").textContent;
square.addEventListener("pointermove", (event) => {
  const [x, y] = timesOf(event);
  const [column, row] = [x, y].map((time) => Math.min(data.points - 1, Math.max(0, Math.floor(time / data.step))));
  const cosine = (similarity[row * data.points + column] / 255) * 2 - 1;
  $("pair").textContent = `${precise(x)} across, ${precise(y)} down: similarity ${cosine.toFixed(2)}`;
});
square.addEventListener("pointerleave", () => ($("pair").textContent = explained));

function toPart(by) {
  const now = player.sound ? player.time() : 0;
  const part = data.parts[Math.min(data.parts.length - 1, Math.max(0, partAt(now) + by))];
  seek(part.start);
}

const KEYS = {
  " ": () => (player.sound ? player.toggle(data) : seek(0)),
  ArrowLeft: () => toPart(-1),
  ArrowRight: () => toPart(1),
  Home: () => seek(0),
};
addEventListener("keydown", (event) => {
  const pressed = event.key === " " && event.target.closest("button"); // which it presses
  if (event.ctrlKey || event.metaKey || event.altKey || pressed || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const groups = [...new Set(data.parts.map((part) => part.group))];
const buttons = data.parts.map(({ start, end }) => {
  const button = element("button", {}, precise(start), element("span", { textContent: length(end - start) }));
  button.addEventListener("click", () => seek(start));
  return button;
});
$("kinds").append(...groups.map((group) => {
  const badge = element("span", { className: "letter", textContent: letter(group) });
  badge.style.background = colour(group, "");
  const own = data.parts.map((part, i) => ({ ...part, i })).filter((part) => part.group === group);
  const seconds = own.reduce((sum, part) => sum + part.end - part.start, 0);
  const share = `${Math.round((100 * seconds) / data.seconds)} % in ${many(own.length, "part")}`;
  return element("li", {}, badge,
    element("div", { className: "total" }, element("span", { textContent: length(seconds) }), element("span", { className: "quiet", textContent: share })),
    element("div", { className: "times" }, ...own.map(({ i }) => buttons[i])));
}));

player.changed = () => {
  const going = !player.audio.paused && !player.audio.ended;
  setShape($("play"), going ? "pause" : "play", going ? "Pause" : "Play");
  follow();
};
player.audio.addEventListener("seeked", follow);
player.failed = () => ($("problem").textContent = data.url ? `This browser cannot play ${data.url}` : "This browser cannot play the recording");
$("play").addEventListener("click", KEYS[" "]);
$("play").disabled = !player.canPlay(data);
$("facts").textContent = `${length(data.seconds)} · ${many(data.parts.length, "part")} of ${many(groups.length, "kind")}`;
if (!player.canPlay(data)) $("problem").textContent = "The recording is not in this page, to keep it small.";
line.setAttribute("aria-valuemax", Math.round(data.seconds));
onTheme(redraw);
addEventListener("resize", redraw);
player.changed();
redraw();
