// The live part of the dashboard: one EventSource, whose messages are the whole state. Every text from the network is
// set as text, never as markup; a row that stays is changed in place, so that focus and selection stay, too.
"use strict";

const words = JSON.parse(document.body.dataset.words);
const at = (id) => document.getElementById(id);
const lang = document.documentElement.lang;
const ago = new Intl.RelativeTimeFormat(lang, { numeric: "auto", style: "short" });
const clock = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
  return `${unit && bytes < 99.95 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}
const rate = (bytes) => `${size(bytes)}/s`;

function since(seconds) {
  const steps = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, length] = steps.find(([, length]) => seconds >= length) || steps[3];
  return ago.format(-Math.floor(Math.max(0, seconds) / length), unit);
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// rows: [key, cells]; a cell is a text, or [text, class], or {done, total, label}.
function fill(name, rows) {
  const table = at(name), body = table.tBodies[0], heads = table.tHead.rows[0].cells;
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  let place = body.firstElementChild;
  for (const [key, cells] of rows) {
    let row = known.get(key);
    known.delete(key);
    if (!row) {
      row = document.createElement("tr");
      row.dataset.key = key;
      cells.forEach((_, index) => { row.insertCell().className = heads[index].className; });
    }
    if (row === place) place = place.nextElementSibling;
    else body.insertBefore(row, place);
    cells.forEach((cell, index) => show(row.cells[index], cell, heads[index].className));
  }
  known.forEach((row) => row.remove());
  table.hidden = !rows.length;
  at(`${name}-none`).hidden = rows.length > 0;
}

function show(node, cell, kind) {
  if (typeof cell === "string") { say(node, cell); return; }
  if (Array.isArray(cell)) { say(node, cell[0]); node.className = `${kind} ${cell[1]}`.trim(); return; }
  let bar = node.querySelector("progress");
  if (!bar) {
    bar = node.appendChild(document.createElement("progress"));
    node.appendChild(document.createElement("div")).className = "quiet";
  }
  bar.max = cell.total || 1;
  bar.value = cell.done;
  bar.setAttribute("aria-label", cell.label);
  say(bar.nextElementSibling, `${size(cell.done)} / ${size(cell.total)}${cell.phase ? ` · ${cell.phase}` : ""}`);
}

const ratio = (part, whole) => (whole ? (part / whole).toFixed(2) : "–");
const named = (name) => (name === "" ? words.outside : name === "*" ? words.others : name);

// What was sent in the last seconds: nodes report once a second, and not together.
let moments = [];
const lately = 5;

function flowRate(sender, receiver, count) {
  const past = moments[0], first = past && past.sent[sender]?.[receiver];
  const seconds = past ? moments.at(-1).at - past.at : 0;
  return first === undefined || seconds <= 0 ? 0 : Math.max(0, count - first) / seconds;
}

function drawMap(map, at_) {
  const sent = Object.fromEntries(map.senders.map((sender, row) => [sender,
    Object.fromEntries(map.receivers.map((receiver, column) => [receiver, map.flows[row][column]]))]));
  moments.push({ at: at_, sent });
  while (moments.length > 2 && at_ - moments[0].at > lately) moments.shift();
  const table = at("fleet-map"), most = Math.max(1, ...map.flows.flat());
  const shape = JSON.stringify([map.senders, map.receivers]);
  if (table.dataset.shape !== shape) {
    table.dataset.shape = shape;
    const head = (name, scope) => Object.assign(document.createElement("th"), { scope, textContent: name });
    const top = document.createElement("tr");
    top.append(document.createElement("td"), ...map.receivers.map((name) => head(named(name), "col")), head(words.sum, "col"));
    table.tHead.replaceChildren(top);
    table.tBodies[0].replaceChildren(...map.senders.map((name) => {
      const row = document.createElement("tr");
      row.append(head(named(name), "row"), ...[...map.receivers, ""].map(() => document.createElement("td")));
      return row;
    }));
  }
  map.senders.forEach((sender, row) => {
    const cells = table.tBodies[0].rows[row].cells;
    map.receivers.forEach((receiver, column) => {
      const count = map.flows[row][column], cell = cells[column + 1];
      const now = flowRate(sender, receiver, count);
      say(cell, count ? size(count) + (now >= 1 ? `\n${rate(now)}` : "") : "·");
      cell.classList.toggle("moving", now >= 1);
      cell.style.setProperty("--share", `${Math.round(100 * count / most)}%`);
      cell.title = count ? `${named(receiver)} ${words.gets} ${named(sender)}: ${size(count)}` : "";
    });
    say(cells[map.receivers.length + 1], size(map.flows[row].reduce((sum, count) => sum + count, 0)));
  });
  table.hidden = !map.receivers.length;
  at("fleet-map-none").hidden = !table.hidden;
}

function drawFleet(fleet, at_) {
  at("fleet").hidden = !fleet;
  if (!fleet) return;
  say(at("fleet-error"), fleet.error);
  at("fleet-error").hidden = !fleet.error;
  at("fleet-seen").hidden = Boolean(fleet.error);
  if (fleet.error) { moments = []; return; }
  const counts = new Map();
  for (const node of fleet.nodes) counts.set(node.state, (counts.get(node.state) || 0) + 1);
  const begun = fleet.tasks.filter((task) => task.egress), sum = (key) => begun.reduce((all, task) => all + task[key], 0);
  const parts = [...counts].map(([state, count]) => `${count} ${words.states[state] || state}`);
  if (fleet.more) parts.push(`${fleet.more} ${words.more_nodes}`);
  if (begun.length) parts.push(`${words.egress_all}: ${ratio(sum("egress"), sum("size"))}`);
  say(at("fleet-told"), parts.join(" · "));
  fill("fleet-tasks", fleet.tasks.map((task) => [task.id, [
    task.name || (task.state === "unlisted" ? task.id : words.hidden),
    [words.states[task.state] || task.state, ["partial", "cancelled"].includes(task.state) ? "bad" : ""],
    task.total ? { done: task.done, total: task.total, label: task.name || words.hidden,
      phase: Object.entries(task.phases).map(([phase, count]) => `${count} ${words.states[phase] || phase}`).join(", ") }
      : { done: 0, total: task.size, label: task.name || words.hidden, phase: "" },
    ratio(task.egress, task.size),
  ]]));
  fill("fleet-nodes", fleet.nodes.map((node) => [node.name, [
    node.name, [words.states[node.state] || node.state, node.state === "lost" ? "bad" : ""], node.zone || "–",
    size(node.held), node.leases ? rate(node.rate) : "–", String(node.leases), since(node.silent),
  ]]));
  drawMap(fleet.map, at_);
}

let before = null;

function draw(live) {
  const rateIn = live.sources.reduce((sum, source) => sum + source.rate, 0);
  say(at("rate-in"), rate(rateIn));
  if (before && live.at > before.at) say(at("rate-out"), rate(Math.max(0, live.sent - before.sent) / (live.at - before.at)));
  before = live;
  say(at("fetched"), size(live.fetched));
  say(at("sent"), size(live.sent));
  say(at("sent-to-peers"), size(live.sent_to_peers));
  at("sent-to-peers").parentElement.hidden = !live.sent_to_peers;
  const { hit, arriving, miss } = live.found, all = hit + arriving + miss;
  say(at("hits"), all ? `${Math.round(100 * (hit + arriving) / all)} %` : "–");
  say(at("cached"), live.cache_size === null ? "–" : size(live.cache_size) + (live.cache_limit ? ` / ${size(live.cache_limit)}` : ""));
  say(at("free"), live.disk_free === null ? "–" : size(live.disk_free));
  at("closed").hidden = live.is_whole;
  at("start").hidden = all > 0 || live.transfers.length > 0;

  const troubles = live.checks.filter((check) => !check.is_ok);
  const list = at("troubles"), told = troubles.map((check) => `${words.checks[check.name] || check.name}: ${check.message}`);
  if (list.dataset.told !== told.join("\n")) {
    list.dataset.told = told.join("\n");
    list.replaceChildren(...told.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }
  list.hidden = !told.length;

  fill("transfers", live.transfers.map((one) => [one.key, [
    one.name || words.hidden,
    { done: one.done, total: one.total, label: one.name || words.hidden, phase: one.phase === "fetching" ? "" : words.phases[one.phase] },
    one.speed ? rate(one.speed) : "–", String(one.waiting),
  ]]));
  fill("sources", live.sources.map((one) => [one.name, [
    one.name, one.rate ? rate(one.rate) : "–", String(one.connections), size(one.sent),
    one.is_quarantined ? [words.quarantined, "bad"] : one.lies ? [`${words.lies}: ${one.lies}`, "bad"] : [words.fine, "quiet"],
  ]]));
  drawFleet(live.fleet, live.at);
  fill("repos", live.repos.map((one) => [one.name, [
    one.name, size(one.size), one.last_use ? since(live.at - one.last_use) : "–", String(one.revisions),
  ]]));
  fill("clients", live.clients.map((one) => [one.name, [
    one.name, String(one.requests), size(one.sent), `${one.hits} / ${one.misses}`, one.active ? words.now : since(live.at - one.last),
  ]]));
  fill("answers", live.answers.map((one) => [String(one.number), [
    one.name || words.hidden, one.client, one.is_whole ? [one.found ? words.found[one.found] : String(one.status), one.status < 400 ? "" : "bad"] : [words.broken, "bad"],
    size(one.sent), `${one.seconds.toFixed(2)} s`,
  ]]));
  fill("news", live.news.map((one) => [String(one.number), [
    clock.format(new Date(one.at * 1000)), [words.news[one.code] || one.code, one.message].filter(Boolean).join(": "),
  ]]));
}

const events = new EventSource(document.body.dataset.events);
events.onmessage = (event) => {
  at("state").className = "live";
  say(at("state"), words.live);
  draw(JSON.parse(event.data));
};
events.onerror = () => {
  at("state").className = "lost";
  say(at("state"), words.lost);
  // A browser that was refused does not ask again by itself; whoever must log in anew sees the form.
  if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
};
