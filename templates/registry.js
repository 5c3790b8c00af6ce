// The live part of the registry's pages. An EventSource tells that something has changed; then the page is asked for
// again, with every text in it escaped by the server, and the sections that differ take the place of the old ones.
"use strict";

const words = JSON.parse(document.body.dataset.words);
const at = (id) => document.getElementById(id);
const moment = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "medium", hour12: false });
let seen = Number(document.body.dataset.seen);

function tell(name) {
  at("state").className = name;
  if (at("state").textContent !== words[name]) at("state").textContent = words[name];
}

// Times come in UTC, and are shown in the reader's zone.
function localise(root) {
  for (const time of root.querySelectorAll("time")) {
    time.title = time.textContent;
    time.textContent = moment.format(new Date(time.dateTime));
  }
}

// The sections as they came, by their ids.
const sent = new Map();
for (const section of document.querySelectorAll("section.live")) {
  sent.set(section.id, section.innerHTML);
  localise(section);
}

function take(page) {
  seen = Math.max(seen, Number(page.body.dataset.seen));
  for (const fresh of page.querySelectorAll("section.live")) {
    const old = at(fresh.id), html = fresh.innerHTML;
    if (!old || sent.get(fresh.id) === html) continue;
    sent.set(fresh.id, html);
    localise(fresh);
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    const chosen = [...old.querySelectorAll("select")].map((select) => [select.id, select.value]);
    old.replaceChildren(...fresh.childNodes);
    for (const [id, value] of chosen) if ([...(at(id)?.options || [])].some((one) => one.value === value)) at(id).value = value;
    if (focus) [...old.querySelectorAll(focus.tagName)].find((one) => one.id === focus.id && one.href === focus.href)?.focus();
  }
}

let isAsking = false, isOld = false;

async function refresh() {
  isOld = true;
  if (isAsking) return;
  isAsking = true;
  try {
    while (isOld) {
      isOld = false;
      const answer = await fetch(location.href, { cache: "no-store" });
      if (answer.ok) take(new DOMParser().parseFromString(await answer.text(), "text/html"));
      // Who must log in anew sees the form, and who has lost the right, that.
      else if ([401, 403, 404].includes(answer.status)) location.reload();
    }
  } catch { /* the server does not answer: once it does, it tells what came meanwhile */ }
  isAsking = false;
}

let silence = 0;
const events = new EventSource(document.body.dataset.events);
events.addEventListener("ready", (event) => {
  clearTimeout(silence);
  tell("live");
  if (Number(event.lastEventId) > seen) refresh();
});
events.onmessage = refresh;
events.onerror = () => {
  clearTimeout(silence);
  // The server ends each stream after a while, to look at the rights of who listens; the browser comes back by itself.
  silence = setTimeout(() => tell("lost"), 8000);
  if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
};
