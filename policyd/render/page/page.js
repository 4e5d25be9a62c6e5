"use strict";
// The matrix, and why a cell is as it is. All text comes from DATA and is put in as text, never as HTML.
const DATA = JSON.parse(document.getElementById("data").textContent);
const ENDS = DATA.ends, WHY = DATA.why, OUTSIDE = DATA.outside;
const MOST_WITH_TEXT = 32; // columns that have their ports in the cells
const MOST_SHOWN = 400; // rows, and columns: a filter shows the others
const MOST_NEAR = 4;
const byId = (id) => document.getElementById(id);
const numbers = new Map(ENDS.map((end, number) => [end.id, number]));
const wide = new Set(DATA.wide);
let rows = [], columns = [], lines = [], grid = null, current = null, chosen = null;

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

// Cells are written as [answer, how often, ...]; answer 0 is nothing.
const cells = DATA.cells.map((runs) => {
  const line = new Uint16Array(DATA.columns.length);
  for (let at = 0, place = 0; at < runs.length; at += 2) {
    line.fill(runs[at], place, place + runs[at + 1]);
    place += runs[at + 1];
  }
  return line;
});
const place = { row: new Map(DATA.rows.map((end, at) => [end, at])), column: new Map(DATA.columns.map((end, at) => [end, at])) };
const answer = (from, to) => DATA.answers[cells[place.row.get(from)][place.column.get(to)]];
const isItself = (from, to) => from === to && !ENDS[from].many;

function matching(text, ends) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return ends.filter((end) => words.every((word) => ENDS[end].search.includes(word)));
}

function differs(from, to) { return Boolean(answer(from, to).change); }

function filter() {
  rows = matching(byId("senders").value, DATA.rows);
  columns = matching(byId("receivers").value, DATA.columns);
  const only = byId("only");
  if (only && only.checked) {
    const r = rows, c = columns;
    rows = r.filter((from) => c.some((to) => differs(from, to)));
    columns = c.filter((to) => r.some((from) => differs(from, to)));
  }
  const hidden = rows.length > MOST_SHOWN || columns.length > MOST_SHOWN;
  byId("count").textContent = `${rows.length} × ${columns.length}` +
    (hidden ? `: the first ${MOST_SHOWN} are shown, filter to see others` : "");
  rows = rows.slice(0, MOST_SHOWN);
  columns = columns.slice(0, MOST_SHOWN);
  draw();
}

function edge(ends, at) {
  return at > 0 && ENDS[ends[at - 1]].namespace !== ENDS[ends[at]].namespace;
}

function part(role, className, ...children) {
  const element = make("div", className, ...children);
  element.setAttribute("role", role);
  return element;
}

function draw() {
  const small = columns.length > MOST_WITH_TEXT;
  document.body.classList.toggle("small", small);
  const longest = Math.max(3, ...DATA.answers.map((each) => Math.min(each.text.length, 14)));
  const width = small ? 15 : Math.max(40, Math.min(84, longest * 7 + 14)) + 2;
  const gaps = columns.filter((_, at) => edge(columns, at)).length;
  const names = Math.min(48, Math.max(16, ...rows.map((from) => ENDS[from].name.length)));
  grid = part("grid", "grid", head());
  grid.setAttribute("aria-label", "Rows send, columns receive");
  grid.setAttribute("aria-rowcount", rows.length + 1);
  grid.setAttribute("aria-colcount", columns.length + 1);
  grid.style.setProperty("--cell", `${width}px`);
  grid.style.setProperty("--names", `${names + 3}ch`);
  grid.style.setProperty("--cells", `${width * columns.length + 6 * gaps}px`);
  lines = rows.map((from, at) => {
    const line = part("row", `row${edge(rows, at) ? " edge-y" : ""}`, part("rowheader", "name", ENDS[from].name));
    line.setAttribute("aria-rowindex", at + 2);
    line.number = at;
    return line;
  });
  grid.append(...lines);
  byId("scroll").replaceChildren(grid);
  current = null;
  coming.disconnect();
  for (const line of lines) coming.observe(line);
  if (!rows.length || !columns.length) {
    byId("scroll").replaceChildren(make("p", "quiet", "Nothing is left by these filters."));
    return;
  }
  const isThere = chosen && rows.includes(chosen[0]) && columns.includes(chosen[1]);
  const at = isThere ? [rows.indexOf(chosen[0]), columns.indexOf(chosen[1])] : [0, 0];
  point(...at, false);
  if (isThere) current.cell.classList.add("on");
}

function head() {
  const names = columns.map((to, at) => {
    const open = wide.has(to), name = DATA.short[to] || ENDS[to].name;
    const element = part("columnheader", `${open ? "wide" : ""}${edge(columns, at) ? " edge-x" : ""}`,
      make("span", "", (open ? "◉ " : "") + name));
    element.title = open ? `${ENDS[to].name}: lets all others in` : ENDS[to].name;
    return element;
  });
  return part("row", "row head", part("columnheader", "name", "sends ↓ receives →"), ...names);
}

// The cells of a row are made when it comes near: of 300 workloads there are 90 000.
const coming = new IntersectionObserver((seen) => {
  for (const each of seen) if (each.isIntersecting) fill(each.target);
}, { root: byId("scroll"), rootMargin: "300px" });

function fill(line) {
  if (line.childElementCount > 1) return;
  coming.unobserve(line);
  const from = rows[line.number], answers = cells[place.row.get(from)];
  const made = columns.map((to, at) => {
    const number = answers[place.column.get(to)], found = DATA.answers[number];
    const cell = document.createElement("div");
    cell.className = `cell ${number ? found.kind : isItself(from, to) ? "itself" : "none"}${edge(columns, at) ? " edge-x" : ""}`;
    cell.setAttribute("role", "gridcell");
    if (number) cell.textContent = found.text;
    return cell;
  });
  line.append(...made);
}

function cellAt(r, c) {
  fill(lines[r]);
  return lines[r].children[c + 1];
}

function placeOf(target) {
  const cell = target.closest(".cell");
  if (!cell) return null;
  const line = cell.parentElement;
  return [line.number, [...line.children].indexOf(cell) - 1];
}

function told(from, to) {
  const found = answer(from, to);
  const what = isItself(from, to) ? "the same" : found.told || found.text || "nothing";
  return `${ENDS[from].name} to ${ENDS[to].name}: ${what}`;
}

// One cell is in the order of the tabulator; arrows move in the grid.
function point(r, c, focus, moves = focus) {
  if (current) {
    current.cell.tabIndex = -1;
    for (const each of current.heads) each.classList.remove("on");
  }
  const cell = cellAt(r, c);
  cell.tabIndex = 0;
  cell.setAttribute("aria-label", told(rows[r], columns[c]));
  const heads = [grid.firstChild.children[c + 1], lines[r].firstChild];
  current = { r, c, cell, heads };
  if (focus) {
    for (const each of heads) each.classList.add("on");
    cell.focus({ preventScroll: true });
  }
  if (moves) show(cell, heads);
}

// Into view, and not under the names, which stay where they are.
function show(cell, heads) {
  const box = byId("scroll").getBoundingClientRect(), at = cell.getBoundingClientRect();
  const left = box.left + heads[1].offsetWidth, top = box.top + grid.firstChild.offsetHeight;
  const by = { left: 0, top: 0 };
  if (at.left < left) by.left = at.left - left - 4;
  if (at.right > box.right - 20) by.left = at.right - box.right + 24;
  if (at.top < top) by.top = at.top - top - 4;
  if (at.bottom > box.bottom - 20) by.top = at.bottom - box.bottom + 24;
  byId("scroll").scrollBy(by.left, by.top);
}

function choose(from, to, focus = true) {
  document.querySelector(".cell.on")?.classList.remove("on");
  chosen = [from, to];
  const r = rows.indexOf(from), c = columns.indexOf(to);
  if (r >= 0 && c >= 0) {
    point(r, c, focus, true);
    current.cell.classList.add("on");
  }
  byId("why").replaceChildren(...explain(from, to));
  const link = new URLSearchParams({ from: ENDS[from].id, to: ENDS[to].id });
  history.replaceState(null, "", `#${link}`);
}
