"use strict";
// Requests the page's data every five seconds and redraws the page. If a part does not answer, its last values
// are dimmed and shown with their age; a part that has never answered is shown as unknown, not as empty.

const REFRESH_MS = 5000, ANSWER_MS = 8000, OLD_MS = 15000;
const SILENT = "om-observe does not answer";
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000, HEIGHT = 150, FOOT = 18, TOP = 14;
const find = (id) => document.getElementById(id);
let answered = null, isAsking = false, problem = SILENT;

const tag = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

const shape = (name, attributes, text) => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
};

const number = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en"));

const span = (seconds) => {
  if (seconds === null || seconds === undefined) return "";
  const steps = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [size, unit] = steps.find(([length]) => seconds >= 2 * length) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit}`;
};

const time = (moment, options = { hour: "2-digit", minute: "2-digit" }) =>
  new Date(moment).toLocaleTimeString([], { hourCycle: "h23", ...options });
const exact = { hour: "2-digit", minute: "2-digit", second: "2-digit" };

const cell = (content) => (content instanceof Node ? tag("td", {}, content) : tag("td", { textContent: content }));

const fill = (id, heads, rows, none) => {
  const head = tag("tr", {}, ...heads.map((text) => tag("th", { textContent: text, scope: "col" })));
  const empty = tag("tr", {}, tag("td", { textContent: none, className: "none" }));
  find(id).replaceChildren(...(rows.length ? [head, ...rows.map((cells) => tag("tr", {}, ...cells.map(cell)))] : [empty]));
};

const badge = (text, look) => tag("span", { className: `badge ${look}`, textContent: text });
const command = (text) => tag("code", { textContent: text });
const known = (value) => (value === null ? "unknown" : number(value));

// Return the next round number above the highest bar.
const ceiling = (highest) => {
  const power = 10 ** Math.floor(Math.log10(Math.max(highest, 1)));
  return [1, 1.2, 1.6, 2, 3, 4, 6, 8, 10].map((step) => step * power).find((top) => top >= highest);
};

const draw = (minutes) => {
  const width = find("chart").clientWidth || WIDTH;
  const top = ceiling(Math.max(2, ...minutes.map((minute) => minute.events + minute.dead_letters)));
  const step = width / minutes.length;
  const scale = (count) => (count / top) * (HEIGHT - FOOT - TOP);
  const picture = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img" });
  picture.setAttribute("aria-label", `Events per minute, at most ${number(top)}`);
  const base = HEIGHT - FOOT;
  for (const part of [0, 0.5, 1]) {
    const y = base - part * (base - TOP);
    picture.append(shape("line", { x1: 0, x2: width, y1: y, y2: y }));
    if (part) picture.append(shape("text", { x: 2, y: y - 3 }, number(part * top)));
  }
  minutes.forEach((minute, index) => {
    const x = index * step, wide = Math.max(1, step - Math.min(2, step / 4));
    const events = scale(minute.events), dead = minute.dead_letters ? Math.max(2, scale(minute.dead_letters)) : 0;
    picture.append(shape("rect", { class: "bar", x, y: base - events, width: wide, height: events }));
    picture.append(shape("rect", { class: "dead", x, y: base - events - dead, width: wide, height: dead }));
    const hit = shape("rect", { class: "hit", x, y: 0, width: step, height: base });
    const deadLetters = minute.dead_letters ? `, ${number(minute.dead_letters)} dead letters` : "";
    hit.append(shape("title", {}, `${time(minute.at)}: ${number(minute.events)} events${deadLetters}`));
    picture.append(hit);
    if (new Date(minute.at).getUTCMinutes() % 15 === 0) {
      const anchor = index < 3 ? "start" : index > minutes.length - 4 ? "end" : "middle";
      picture.append(shape("text", { x: x + step / 2, y: HEIGHT - 4, "text-anchor": anchor }, time(minute.at)));
    }
  });
  find("chart").replaceChildren(picture);
};

const showVerdict = (text, look) => {
  // A screen reader may read the text again whenever it is set.
  if (find("verdict").textContent !== text) find("verdict").textContent = text;
  find("verdict").className = `badge ${look}`;
  document.title = `${{ good: "", none: "? ", wait: "! ", bad: "!! " }[look]}Open Messaging: ${text}`;
};

const showLights = (lights) => {
  const looks = { up: "good", down: "bad" };
  find("lights").replaceChildren(...lights.map((light) => {
    const age = light.problem && light.age_s !== null ? `, last answer ${span(light.age_s)} ago` : "";
    return tag("li", { className: looks[light.state] ?? "none" }, tag("b", { textContent: light.name }),
      ` ${light.state}${light.problem ? `: ${light.problem}${age}` : ""}`);
  }));
};

const showAlerts = (alerts) => {
  const isBad = alerts.some((alert) => alert.level === "bad");
  find("alerts-card").hidden = alerts.length === 0;
  find("alerts-card").className = isBad ? "worst" : "";
  find("alerts").replaceChildren(...alerts.map((alert) =>
    tag("li", {}, tag("b", { className: alert.level, textContent: alert.text }),
      tag("small", {}, ...(alert.since_s === null ? [] : [`for ${span(alert.since_s)} · `]), command(alert.command), " · ",
        tag("a", { href: `/runbook#${alert.name.toLowerCase()}`, textContent: "runbook" })))));
};

// Dim values that could not be renewed, and show their age.
const showAges = (ages) => {
  for (const section of document.querySelectorAll("[data-part]")) {
    const part = ages[section.dataset.part];
    const isStale = Boolean(part?.problem);
    section.classList.toggle("stale", isStale);
    section.querySelector(".age").textContent = !isStale ? "" : part.age_s === null ? "unknown" : `as of ${span(part.age_s)} ago`;
  }
};

const showMetrics = (metrics) => {
  const none = (text, name) => {
    if (metrics.problem && metrics.age_s === null) return "Unknown: the database does not answer.";
    return metrics.missing.includes(name) ? "Unknown: the database did not answer this query." : text;
  };
  const count = (rows) => rows.map((row) => [row.what, known(row.count), span(row.since_s)]);
  fill("waiting", ["what", "now", "oldest"], count(metrics.waiting), none("Nothing waits."));
  fill("recorded", ["what", "count"], metrics.recorded.map((row) => [row.what, known(row.count)]), none("Nothing is recorded."));
  fill("codes", ["reason", "open", "oldest"],
    metrics.dead_letter_codes.map((row) => [row.code, number(row.count), span(row.since_s)]), none("No open dead letters.", "om_dead_letters"));
  const looks = { up: "good", down: "bad" };
  fill("destinations", ["name", "state", "waiting", "due for"],
    metrics.destinations.map((row) => [row.name, badge(row.state, looks[row.state] ?? "wait"), known(row.waiting), span(row.due_s)]),
    none("No deliver worker has recorded a destination.", "om_destination_paused"));
  fill("workers", ["worker", "state", "since its start"],
    metrics.workers.map((row) => [
      tag("span", {}, row.role, tag("small", { textContent: row.worker })),
      badge(row.is_up ? "up" : "silent", row.is_up ? "good" : "bad"),
      row.counts.map(([name, value]) => `${number(value)} ${name.replace("dead_lettered", "dead letters")}`).join(", "),
    ]), none("No worker is reporting.", "om_worker_up"));
};

const showActivity = (activity, newest) => {
  const unknown = "Unknown: the database does not answer.";
  if (activity.minutes === undefined) {
    find("now").replaceChildren();
    find("chart").replaceChildren(tag("p", { textContent: unknown, className: "none" }));
    for (const id of ["edges", "events", "dead-letters"]) fill(id, [], [], unknown);
    return;
  }
  const minutes = activity.minutes, last = minutes[minutes.length - 2];
  const milliseconds = (value) => (value === null ? "–" : `${number(value)} ms`);
  find("now").replaceChildren(...[
    ["last full minute", number(last.events)],
    ["last hour", number(minutes.reduce((sum, minute) => sum + minute.events, 0))],
    ["edge to commit, median", milliseconds(activity.median_ms)],
    ["95th percentile", milliseconds(activity.p95_ms)],
    ["since the newest event", span(newest) || "–"],
  ].map(([name, value]) => tag("div", {}, tag("dt", { textContent: name }), tag("dd", { textContent: value }))));
  draw(minutes);
  const percent = (value) => (value === null ? "–" : `${(Math.floor(value * 10) / 10).toFixed(1)} %`);
  fill("edges", ["host", "answered", "in 100 ms", "refused", "last answer"],
    activity.edges.map((row) => [row.edge, number(row.answered), percent(row.percent_within_100_ms), number(row.refused), `${span(row.last_s)} ago`]),
    "No edge has answered a webhook in the last 24 hours.");
  const link = (id) => command(`omctl find ${id}`);
  fill("events", ["processed", "type", "outcome", "what happened to it"],
    activity.events.map((row) => [time(row.at, exact), row.type.replace("openmessaging:", ""), row.outcome, link(row.id)]), "No events yet.");
  fill("dead-letters", ["recorded", "reason", "what happened to it"],
    activity.dead_letters.map((row) => [`${new Date(row.at).toLocaleDateString()} ${time(row.at)}`, row.code, link(row.id)]), "No open dead letters.");
};

const showQueues = (queues) => {
  const unknown = queues === null ? "Not configured: set OM_MANAGEMENT_URL." : "Unknown: the management API does not answer.";
  fill("queues", ["queue", "messages"],
    (queues?.rows ?? []).map((row) => [row.name.replace("open-messaging.", ""), known(row.messages)]), unknown);
};

const show = (state) => {
  const isBad = state.alerts.some((alert) => alert.level === "bad") || state.lights.some((light) => light.state === "down");
  if (isBad) showVerdict("Something has stopped", "bad");
  else if (state.alerts.length) showVerdict("Works, needs attention", "wait");
  else if (state.lights.some((light) => light.state === "unknown")) showVerdict("Partly unknown", "none");
  else showVerdict("All is well", "good");
  find("host").textContent = `${state.host}, version ${state.version}`;
  showLights(state.lights);
  showAlerts(state.alerts);
  showQueues(state.queues);
  showMetrics(state.metrics);
  showActivity(state.activity, state.metrics.newest_event_s);
  showAges(state);
};

const showCutOff = () => {
  const silent = { problem, age_s: answered ? (Date.now() - answered) / 1000 : null };
  showVerdict(problem, "bad");
  find("lights").replaceChildren(tag("li", { className: "bad" }, tag("b", { textContent: "this page" }), " cut off: nothing below is current"));
  showAges({ activity: silent, queues: silent, metrics: silent });
  find("alerts-card").classList.add("stale");
  find("time").textContent = answered ? `last answer at ${time(answered, exact)}` : "no answer yet";
};

const refresh = async () => {
  if (isAsking) return;
  isAsking = true;
  let cause = SILENT;
  try {
    const answer = await fetch("/ops/state", { signal: AbortSignal.timeout(ANSWER_MS) });
    if (!answer.ok) {
      cause = `om-observe answers with status ${answer.status}`;
      throw new Error(cause);
    }
    const state = await answer.json();
    cause = "This page cannot show the answer: reload it";
    show(state);
    answered = new Date();
    problem = SILENT;
    find("time").textContent = `${time(answered, { ...exact, timeZoneName: "short" })}, every ${REFRESH_MS / 1000} s`;
    find("alerts-card").classList.remove("stale");
  } catch {
    problem = cause;
    showCutOff();
  } finally {
    isAsking = false;
  }
};

refresh();
setInterval(refresh, REFRESH_MS);
// A browser may suspend the page, for example while a laptop sleeps. The last answer is then old before a request fails.
setInterval(() => answered && Date.now() - answered > OLD_MS && showCutOff(), 1000);
