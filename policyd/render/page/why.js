// Why: what `policyd why` says, put together of what each rule makes of the other end (reasons.py).
const SIDES = [["egress", 0, 1, "destination"], ["ingress", 1, 0, "source"]];
const MARKS = { yes: "✓", part: "~", no: "✗" };
const SAID = { yes: "allows it", part: "allows it in part, or it is not known", no: "does not allow it" };

function isIn(ranges, number) {
  for (let at = 0; at < ranges.length; at += 2) {
    if (ranges[at] <= number && number <= ranges[at + 1]) return true;
  }
  return false;
}

function meets(need, end) {
  return isIn(need.yes, end) ? "yes" : isIn(need.part, end) ? "part" : "no";
}

// A peer fits whoever meets all its needs.
function fit(rule, end) {
  const missing = [];
  let best = "yes";
  for (const number of rule.needs) {
    const found = meets(WHY.needs[number], end);
    if (found !== "yes") missing.push(WHY.needs[number]);
    if (found === "no") best = "no";
    else if (found === "part" && best === "yes") best = "part";
  }
  return { fit: best, missing };
}

function has(need, end) {
  if (!need.key) return null;
  const labels = need.of === "namespace" ? ENDS[end].namespaceLabels : ENDS[end].labels;
  if (!labels) return null;
  return Object.hasOwn(labels, need.key) ? `${need.key}=${labels[need.key]}` : `no ${need.key}`;
}

function where(policy, rule) {
  return `${policy} ${rule.at}${rule.file ? `  ${rule.file}:${rule.line}` : ""}`;
}

function missingText(missing, end, word) {
  const here = missing.map((need) => has(need, end)).filter(Boolean);
  const is = here.length ? ` has ${[...new Set(here)].join(" and ")}` : ` is ${ENDS[end].name}`;
  return `the ${word}${is}; the rule wants ${missing.map((need) => need.text).join(" and ")}`;
}

// The one edit that would make it fit, as `policyd why` says it.
function edit(missing, end) {
  const [need] = missing;
  if (missing.length !== 1 || need.of !== "pod" || !need.text.startsWith(`${need.key}=`) || !ENDS[end].labels) return "";
  const wanted = need.text.slice(need.key.length + 1), label = `label the pod ${need.text}`;
  if (!Object.hasOwn(ENDS[end].labels, need.key)) return `fix: ${label}`;
  return `fix: ${need.key}: ${wanted} → ${need.key}: ${ENDS[end].labels[need.key]}, or ${label}`;
}

function ruleLine(policy, rule, found, end, word) {
  const line = make("li", found.fit, make("b", "", MARKS[found.fit]), make("code", "", where(policy, rule)),
    make("div", "", rule.ports + (found.fit === "yes" ? "" : `; ${missingText(found.missing, end, word)}`)));
  line.querySelector("b").setAttribute("aria-label", SAID[found.fit]);
  const fix = found.fit === "no" ? edit(found.missing, end) : "";
  if (fix) line.append(make("div", "", fix));
  return line;
}

function tierLines(tiers, end) {
  const lines = [];
  for (const rule of tiers.rules) {
    const found = fit(rule, end);
    if (found.fit === "no") continue;
    const mark = { accept: "✓", deny: "✗", pass: "→" }[rule.action];
    const sure = found.fit === "yes" ? "" : ", in part, or it is not known";
    lines.push(make("li", rule.action === "deny" ? "no" : "yes", make("b", "", mark), make("code", "", where(rule.policy, rule)),
      make("div", "", `tier ${rule.tier}: ${rule.action}, ${rule.ports}${sure}`)));
  }
  if (tiers.doubt) lines.push(make("li", "part", make("b", "", "~"), "it is not known whether a ClusterNetworkPolicy selects it"));
  return lines;
}

function side(direction, subject, other, word) {
  const title = make("h3", "", `${direction} of ${ENDS[subject].name}`);
  if (subject === OUTSIDE) return [title, make("div", "quiet", "no pod: no policy selects it")];
  const { policies, tiers } = WHY.sides[subject][direction];
  const named = policies.map((number) => WHY.policies[number]);
  const found = [];
  for (const policy of named) {
    for (const rule of policy[direction]) found.push([policy, rule, fit(rule, other)]);
  }
  const fitting = found.filter((each) => each[2].fit !== "no");
  const near = found.filter((each) => each[2].fit === "no").sort((a, b) => a[2].missing.length - b[2].missing.length);
  const lines = tiers.flatMap((number) => tierLines(WHY.tiers[number], other));
  for (const each of [...fitting, ...(fitting.length ? [] : near.slice(0, MOST_NEAR))]) {
    lines.push(ruleLine(each[0].name, each[1], each[2], other, word));
  }
  const said = named.length ? `isolated by ${named.map((each) => each.name).join(", ")}` : "open: no NetworkPolicy selects it";
  const more = fitting.length ? 0 : near.length - MOST_NEAR;
  const parts = [title, make("div", "quiet", said), make("ul", "", ...lines)];
  if (named.length && !fitting.length) parts.splice(2, 0, make("div", "", "no rule of theirs allows it:"));
  if (more > 0) parts.push(make("div", "quiet", `and ${more} more that do not fit`));
  return parts;
}

function about(end) {
  const labels = Object.entries(ENDS[end].labels || {}).map(([key, value]) => `${key}=${value}`).join(", ");
  return labels || ENDS[end].id;
}

function changeLines(from, to) {
  const change = DATA.changes && DATA.changes[`${from},${to}`];
  return (change || []).map((each) => make("li", each.side === "new" ? "opens" : "closes", make("b", "", each.side === "new" ? "+" : "−"),
    `${each.side === "new" ? "opens" : "closes"} ${each.text}`, make("div", "", each.by.join(", "))));
}

// Of what is open to whoever comes: the rules that open it.
function opening(found, rules) {
  const text = found.text ? `open to all of these: ${found.text}` : "not open to all of these";
  return [make("div", "", make("span", `chip ${found.kind}`, text)), make("ul", "", ...rules.map((each) => make("li", "", each)))];
}

function explain(from, to) {
  const found = answer(from, to);
  const parts = [make("h2", "", `${ENDS[from].name} → ${ENDS[to].name}`)];
  if (isItself(from, to)) return [...parts, make("p", "quiet", "The same: a pod always reaches itself.")];
  const changed = changeLines(from, to);
  if (changed.length) parts.push(make("ul", "", ...changed));
  if (DATA.rules) return [...parts, ...opening(found, DATA.rules[`${from},${to}`] || [])];
  const now = found.now || found;
  const kind = now.text ? now.kind : "none";
  parts.push(make("div", "", make("span", `chip ${kind}`, now.text ? `${DATA.changes ? "allowed now" : "allowed"}: ${now.text}` : "denied: all ports")));
  if (now.text.includes("?")) parts.push(make("div", "quiet", "? is what the objects do not decide"));
  if (!WHY) return [...parts, make("p", "quiet", DATA.grouped)];
  parts.push(make("dl", "", make("dt", "", "source"), make("dd", "", about(from)), make("dt", "", "destination"), make("dd", "", about(to))));
  for (const [direction, subject, other, word] of SIDES) {
    const ends = [from, to];
    parts.push(...side(direction, ends[subject], ends[other], word));
  }
  const name = (end) => (end === OUTSIDE ? "internet" : ENDS[end].id);
  parts.push(make("h3", "", "For one port"), make("code", "", `policyd why -f PATH ${name(from)} ${name(to)}:PORT`));
  return parts;
}

// What people do.
byId("scroll").addEventListener("click", (event) => {
  const at = placeOf(event.target);
  if (at) choose(rows[at[0]], columns[at[1]]);
});
byId("scroll").addEventListener("mouseover", (event) => {
  const at = event.target.title ? null : placeOf(event.target);
  if (at) event.target.title = told(rows[at[0]], columns[at[1]]);
});
byId("scroll").addEventListener("keydown", (event) => {
  if (!current || event.target !== current.cell) return;
  const { r, c } = current, end = { r: rows.length - 1, c: columns.length - 1 };
  const far = event.ctrlKey || event.metaKey;
  const to = {
    ArrowUp: [far ? 0 : r - 1, c], ArrowDown: [far ? end.r : r + 1, c], ArrowLeft: [r, far ? 0 : c - 1],
    ArrowRight: [r, far ? end.c : c + 1], Home: [far ? 0 : r, 0], End: [far ? end.r : r, end.c],
    PageUp: [Math.max(0, r - 10), c], PageDown: [Math.min(end.r, r + 10), c],
  }[event.key];
  if (to && to[0] >= 0 && to[1] >= 0 && to[0] <= end.r && to[1] <= end.c) point(...to, true);
  else if (event.key === "Enter" || event.key === " ") choose(rows[r], columns[c]);
  else if (!to) return;
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && event.target.tagName !== "INPUT") {
    byId("receivers").focus();
    event.preventDefault();
  }
});
for (const id of ["senders", "receivers", "only"]) byId(id)?.addEventListener("input", filter);
byId("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = (root.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
});
const MOST_NAMED = 8;
for (const end of DATA.wide.slice(0, MOST_NAMED)) {
  const button = make("button", "", ENDS[end].name);
  button.addEventListener("click", () => choose(rows.find((from) => from !== end) ?? DATA.rows[0], end));
  byId("wide").append(button);
}
if (DATA.wide.length > MOST_NAMED) byId("wide").append(` and ${DATA.wide.length - MOST_NAMED} more, marked ◉`);
filter();
const asked = new URLSearchParams(location.hash.slice(1));
const ends = [numbers.get(asked.get("from")), numbers.get(asked.get("to"))];
if (place.row.has(ends[0]) && place.column.has(ends[1])) choose(...ends, false);
