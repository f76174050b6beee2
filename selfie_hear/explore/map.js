// The map: where sounds are on the screen, and drawing them.

const sounds = data.sounds;
const canvas = $("map");
const view = { x: 0, y: 0, k: 1 }; // screen = place * k + (x, y)
const state = { chosen: -1, stepped: -1, over: -1, hidden: new Set(), found: null, grouping: 0 };
const RADIUS = sounds.length > 3000 ? 3 : sounds.length > 800 ? 4 : sounds.length > 200 ? 5 : 6.5;
const TILE = { width: 66, height: 36, zoom: 4, most: 140 }; // spectrograms on the map, when few sounds are in view
let sprites = [];
let names = [];
let strong = ""; // colour of rings and lines
let wanted = false; // a frame
let stale = true; // the dots, not only the rings
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

// A dot of each category and its name, drawn once: copies cost less than circles and outlined letters.
function prepare() {
  strong = ink("--ink");
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
  names = group().categories.length < 2 ? [] : group().categories.map(crowd);
  names.sort((a, b) => b.size * b.share - a.size * a.share);
  for (const one of names.slice(0, 200)) one.drawn = drawName(one, ratio, paper);
}

function drawName({ name, number }, ratio, paper) {
  const text = name.length > 28 ? `${name.slice(0, 27)}…` : name;
  const font = "600 13px system-ui, sans-serif";
  const made = element("canvas", { height: 22 * ratio });
  let context = made.getContext("2d");
  context.font = font;
  const width = Math.ceil(context.measureText(text).width) + 10;
  made.width = width * ratio;
  context = made.getContext("2d");
  context.scale(ratio, ratio);
  Object.assign(context, { font, textAlign: "center", textBaseline: "middle", lineJoin: "round", lineWidth: 5 });
  context.strokeStyle = paper;
  context.strokeText(text, width / 2, 11);
  context.fillStyle = `color-mix(in oklab, ${colour(number, name)} 55%, ${isDark() ? "white" : "black"})`;
  context.fillText(text, width / 2, 11);
  return { image: made, width };
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
  stale = true;
  drawRings();
}

function drawRings() {
  if (!wanted) requestAnimationFrame(paint);
  wanted = true;
}

// Dots and rings are on two canvases: what follows the pointer leaves the dots alone.
function paint() {
  wanted = false;
  if (stale) paintDots();
  stale = false;
  paintRings(fit($("rings")).context);
}

function paintDots() {
  const { context, width, height } = fit(canvas);
  const size = Math.ceil(2 * RADIUS + 4);
  const dot = (sprite, x, y) => {
    // On whole pixels: what lies between them is filtered, and a frame takes twice as long.
    context.drawImage(sprite, Math.round(x - size / 2), Math.round(y - size / 2), size, size);
  };
  const seen = [];
  for (let i = 0; i < sounds.length; i++) {
    const [x, y] = screen(i);
    if (x < -40 || y < -40 || x > width + 40 || y > height + 40) continue;
    if (shown(i)) seen.push(i);
    else {
      context.globalAlpha = 0.1;
      dot(sprites[category(i)][0], x, y);
    }
  }
  context.globalAlpha = state.chosen < 0 ? 0.9 : 0.75;
  for (const i of seen) {
    const [x, y] = screen(i);
    dot(sprites[category(i)][sounds[i].missing ? 1 : 0], x, y);
  }
  context.globalAlpha = 1;
  if (view.k > fitted * TILE.zoom && seen.length <= TILE.most) paintTiles(context, seen);
  paintNames(context);
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
  const taken = [];
  context.globalAlpha = state.found ? 0.35 : 1;
  for (const { number, drawn, ...one } of names) {
    if (state.hidden.has(number) || !drawn) continue;
    const [x, middle, width] = [one.x * view.k + view.x, -one.y * view.k + view.y, drawn.width];
    const free = (y) => !taken.some(([a, b, other]) => Math.abs(a - x) < (width + other) / 2 && Math.abs(b - y) < 18);
    const y = [middle, middle - 19, middle + 19].find(free); // else it goes without
    if (y === undefined) continue;
    taken.push([x, y, width]);
    context.drawImage(drawn.image, x - width / 2, y - 11, width, 22);
  }
  context.globalAlpha = 1;
}

// The chosen sound, what is most alike, what is pointed at.
function paintRings(context) {
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
