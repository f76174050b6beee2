// Pointing, panning and zooming, with a mouse, a pen or fingers.

const REACH = 14; // pixels from a sound at which it is pointed at

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
