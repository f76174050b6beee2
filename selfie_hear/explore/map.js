// The map: where sounds are on the screen, drawing them, panning, zooming, pointing.

const sounds = data.sounds;
const canvas = $("map");
const view = { x: 0, y: 0, k: 1 }; // screen = place * k + (x, y)
const state = { chosen: -1, stepped: -1, over: -1, hidden: new Set(), found: null, grouping: 0 };
const RADIUS = sounds.length > 3000 ? 3 : sounds.length > 800 ? 4 : sounds.length > 200 ? 5 : 6.5;
const TILE = { width: 66, height: 36, zoom: 4, most: 140 }; // spectrograms on the map, when few sounds are in view
const REACH = 14; // pixels from a sound at which it is pointed at
let sprites = [];
let names = [];
let wanted = false;
let fitted = 1;

const group = () => data.groupings[state.grouping];
const category = (i) => group().of[i];
const shown = (i) => !state.hidden.has(category(i)) && (!state.found || state.found.has(i));
const screen = (i) => [sounds[i].x * view.k + view.x, -sounds[i].y * view.k + view.y];
const tint = (i) => colour(category(i), group().categories[category(i)]);
const pictures = new Map();

function pictureOf(i) {
  if (!sounds[i].spectrogram) return null;
  if (!pictures.has(i)) pictures.set(i, picture(bytes(sounds[i].spectrogram), data.mels, true));
  return pictures.get(i);
}

// The part of the window that no panel covers.
function room() {
  const wide = innerWidth > 760;
  return wide
    ? { left: 312, right: innerWidth - 356, top: 34, bottom: innerHeight - 40 }
    : { left: 30, right: innerWidth - 30, top: innerHeight * 0.34, bottom: innerHeight - 40 };
}

function showAll() {
  const { left, right, top, bottom } = room();
  const span = (axis) => {
    const values = sounds.map((sound) => sound[axis]);
    return [Math.min(...values), Math.max(...values)];
  };
  const [x0, x1] = span("x");
  const [y0, y1] = span("y");
  view.k = fitted = Math.min((right - left) / Math.max(x1 - x0, 0.1), (bottom - top) / Math.max(y1 - y0, 0.1));
  view.x = (left + right) / 2 - ((x0 + x1) / 2) * view.k;
  view.y = (top + bottom) / 2 + ((y0 + y1) / 2) * view.k;
  draw();
}

function zoom(factor, x, y) {
  const k = Math.min(Math.max(view.k * factor, fitted * 0.4), fitted * 80);
  view.x = x + ((view.x - x) * k) / view.k;
  view.y = y + ((view.y - y) * k) / view.k;
  view.k = k;
  draw();
}

// A dot of each category, drawn once: thousands of copies cost less than thousands of circles.
function prepare() {
  const ratio = window.devicePixelRatio || 1;
  const paper = getComputedStyle(document.body).backgroundColor;
  const size = Math.ceil(2 * RADIUS + 4);
  sprites = group().categories.map((name, number) =>
    [false, true].map((hollow) => {
      const made = element("canvas", { width: size * ratio, height: size * ratio });
      const context = made.getContext("2d");
      context.scale(ratio, ratio);
      context.beginPath();
      context.arc(size / 2, size / 2, RADIUS - (hollow ? 0.8 : 0), 0, 7);
      context.fillStyle = hollow ? paper : colour(number, name);
      context.strokeStyle = hollow ? colour(number, name) : paper;
      context.lineWidth = hollow ? 1.6 : 1;
      context.fill();
      context.stroke();
      return made;
    }),
  );
  names = group().categories.map(crowd);
}

// Where a category's name goes: amid the densest of its sounds.
function crowd(name, number) {
  const members = sounds.filter((_, i) => category(i) === number);
  const step = Math.max(1, Math.floor(members.length / 80));
  const some = members.filter((_, i) => i % step === 0);
  let best = [];
  for (const one of some) {
    const near = some.filter((other) => Math.hypot(other.x - one.x, other.y - one.y) < 0.09);
    if (near.length > best.length) best = near;
  }
  const mean = (axis) => best.reduce((sum, one) => sum + one[axis], 0) / best.length;
  return { name, number, x: mean("x"), y: mean("y"), size: members.length, share: best.length / some.length };
}

function draw() {
  if (!wanted) requestAnimationFrame(paint);
  wanted = true;
}

function paint() {
  wanted = false;
  const { context, width, height } = fit(canvas);
  const size = Math.ceil(2 * RADIUS + 4);
  const seen = [];
  for (let i = 0; i < sounds.length; i++) {
    const [x, y] = screen(i);
    if (x < -40 || y < -40 || x > width + 40 || y > height + 40) continue;
    if (shown(i)) seen.push(i);
    else {
      context.globalAlpha = 0.1;
      context.drawImage(sprites[category(i)][0], x - size / 2, y - size / 2, size, size);
    }
  }
  context.globalAlpha = state.chosen < 0 ? 0.9 : 0.75;
  for (const i of seen) {
    const [x, y] = screen(i);
    context.drawImage(sprites[category(i)][sounds[i].missing ? 1 : 0], x - size / 2, y - size / 2, size, size);
  }
  context.globalAlpha = 1;
  if (view.k > fitted * TILE.zoom && seen.length <= TILE.most) paintTiles(context, seen);
  paintNames(context);
  paintChosen(context);
}

function paintTiles(context, seen) {
  const taken = [];
  for (const i of seen) {
    const [x, y] = screen(i);
    const image = pictureOf(i);
    const crowded = taken.some(([a, b]) => Math.abs(a - x) < TILE.width + 4 && Math.abs(b - y) < TILE.height + 4);
    if (!image || crowded) continue;
    taken.push([x, y]);
    const corner = [x - TILE.width / 2, y - TILE.height / 2, TILE.width, TILE.height];
    context.save();
    context.beginPath();
    context.roundRect(...corner, 6);
    context.strokeStyle = tint(i);
    context.lineWidth = 4;
    context.stroke();
    context.clip();
    context.drawImage(image, ...corner);
    context.restore();
  }
}

function paintNames(context) {
  const paper = getComputedStyle(document.body).backgroundColor;
  const taken = [];
  context.font = "600 13px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  for (const one of [...names].sort((a, b) => b.size * b.share - a.size * a.share)) {
    if (state.hidden.has(one.number) || names.length < 2 || taken.length >= 60) continue;
    const text = one.name.length > 28 ? `${one.name.slice(0, 27)}…` : one.name;
    const half = context.measureText(text).width / 2 + 5;
    const x = one.x * view.k + view.x;
    const y = -one.y * view.k + view.y;
    if (taken.some(([a, b, other]) => Math.abs(a - x) < half + other && Math.abs(b - y) < 18)) continue;
    taken.push([x, y, half]);
    context.globalAlpha = state.found ? 0.35 : 1;
    context.strokeStyle = paper;
    context.lineWidth = 5;
    context.strokeText(text, x, y);
    context.fillStyle = `color-mix(in oklab, ${colour(one.number, one.name)} 55%, ${isDark() ? "white" : "black"})`;
    context.fillText(text, x, y);
  }
  context.globalAlpha = 1;
}

// Rings and lines: the chosen sound and what is most alike.
function paintChosen(context) {
  const strong = ink("--ink");
  const ring = (i, radius, width) => {
    const [x, y] = screen(i);
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.fillStyle = tint(i);
    context.fill();
    context.strokeStyle = strong;
    context.lineWidth = width;
    context.stroke();
  };
  if (state.chosen >= 0) {
    for (const [other] of sounds[state.chosen].near) {
      context.beginPath();
      context.moveTo(...screen(state.chosen));
      context.lineTo(...screen(other));
      context.strokeStyle = strong;
      context.globalAlpha = other === state.stepped ? 0.8 : 0.28;
      context.lineWidth = 1.2;
      context.stroke();
    }
    context.globalAlpha = 1;
    for (const [other] of sounds[state.chosen].near) ring(other, RADIUS + (other === state.stepped ? 3 : 0), 1.2);
    ring(state.chosen, RADIUS + 3, 2.5);
  }
  if (state.over >= 0 && state.over !== state.chosen) ring(state.over, RADIUS + 2.5, 1.5);
}

function pointed(x, y) {
  let best = -1;
  let least = REACH;
  for (let i = 0; i < sounds.length; i++) {
    if (!shown(i)) continue;
    const [a, b] = screen(i);
    const distance = Math.hypot(a - x, b - y);
    if (distance < least) [best, least] = [i, distance];
  }
  return best;
}

const pointers = new Map();
let moved = 0;

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, [event.clientX, event.clientY]);
  if (pointers.size === 1) moved = 0;
});

canvas.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return event.pointerType === "touch" ? undefined : hover(event.clientX, event.clientY);
  const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
  const share = 1 / pointers.size;
  const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
  moved += Math.hypot(dx, dy);
  view.x += dx * share;
  view.y += dy * share;
  if (others.length) {
    const [x, y] = others[0];
    moved = Infinity;
    const factor = Math.hypot(event.clientX - x, event.clientY - y) / Math.max(1, Math.hypot(before[0] - x, before[1] - y));
    zoom(factor, (event.clientX + x) / 2, (event.clientY + y) / 2);
  }
  pointers.set(event.pointerId, [event.clientX, event.clientY]);
  if (moved > 5) hover(-99, -99);
  return draw();
});

canvas.addEventListener("pointerup", (event) => {
  const i = pointed(event.clientX, event.clientY);
  if (pointers.size === 1 && moved <= 5 && i >= 0) choose(i);
  pointers.delete(event.pointerId);
});
canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
canvas.addEventListener("pointerleave", () => hover(-99, -99));
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  hover(-99, -99);
  const lines = event.deltaMode === 1 ? 16 : 1;
  zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) * 0.002), event.clientX, event.clientY);
}, { passive: false });
addEventListener("resize", showAll);
