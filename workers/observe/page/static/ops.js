"use strict";
// Asks for everything every five seconds, and draws it anew.

const GLANCE_MS = 5000;
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000, HEIGHT = 150, LEFT = 0, FOOT = 18, TOP = 14;
const find = (id) => document.getElementById(id);
let answered = null;

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
  const [size, unit] = steps.find(([each]) => seconds >= 2 * each) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit}`;
};

const clock = (moment) => new Date(moment).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

const fill = (id, heads, rows, none) => {
  const head = tag("tr", {}, ...heads.map((each) => tag("th", { textContent: each, scope: "col" })));
  const body = rows.map((cells) =>
    tag("tr", {}, ...cells.map((each) => (each instanceof Node ? tag("td", {}, each) : tag("td", { textContent: each })))));
  const empty = tag("tr", {}, tag("td", { textContent: none, className: "none" }));
  find(id).replaceChildren(...(rows.length ? [head, ...body] : [empty]));
};

const badge = (text, look) => tag("span", { className: `badge ${look}`, textContent: text });

const facts = (pairs) =>
  find("now").replaceChildren(...pairs.map(([name, value]) =>
    tag("div", {}, tag("dt", { textContent: name }), tag("dd", { textContent: value }))));

// The next round number above the highest bar.
const ceiling = (highest) => {
  const power = 10 ** Math.floor(Math.log10(Math.max(highest, 1)));
  return [1, 1.2, 1.6, 2, 3, 4, 6, 8, 10].map((each) => each * power).find((each) => each >= highest);
};

const draw = (minutes) => {
  const width = find("chart").clientWidth || WIDTH;
  const top = ceiling(Math.max(...minutes.map((each) => each.events + each.dead_letters)));
  const step = (width - LEFT) / minutes.length;
  const scale = (count) => (count / top) * (HEIGHT - FOOT - TOP);
  const picture = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img" });
  picture.setAttribute("aria-label", `Events a minute, at most ${number(top)}`);
  const base = HEIGHT - FOOT;
  for (const part of [0, 0.5, 1]) {
    const y = base - part * (base - TOP);
    picture.append(shape("line", { x1: 0, x2: width, y1: y, y2: y }));
    if (part) picture.append(shape("text", { x: 2, y: y - 3 }, number(part * top)));
  }
  minutes.forEach((each, index) => {
    const x = LEFT + index * step, wide = Math.max(1, step - Math.min(2, step / 4));
    const events = scale(each.events), dead = each.dead_letters ? Math.max(2, scale(each.dead_letters)) : 0;
    picture.append(shape("rect", { class: "bar", x, y: base - events, width: wide, height: events }));
    picture.append(shape("rect", { class: "dead", x, y: base - events - dead, width: wide, height: dead }));
    const hit = shape("rect", { class: "hit", x, y: 0, width: step, height: base });
    const dying = each.dead_letters ? `, ${number(each.dead_letters)} dead letters` : "";
    hit.append(shape("title", {}, `${clock(each.at)}: ${number(each.events)} events${dying}`));
    picture.append(hit);
    if (new Date(each.at).getUTCMinutes() % 15 === 0) {
      const anchor = index < 3 ? "start" : index > minutes.length - 4 ? "end" : "middle";
      picture.append(shape("text", { x: x + step / 2, y: HEIGHT - 4, "text-anchor": anchor }, clock(each.at)));
    }
  });
  find("chart").replaceChildren(picture);
};

const showTroubles = (troubles) => {
  const worst = troubles.some((each) => each.level === "bad");
  find("stuck").hidden = troubles.length === 0;
  find("stuck").className = worst ? "worst" : "";
  find("troubles").replaceChildren(...troubles.map((each) =>
    tag("li", {}, tag("b", { className: each.level, textContent: each.text }),
      tag("small", { textContent: [each.since_s === null ? "" : `for ${span(each.since_s)}`, `runbook: ${each.alert}`].filter(Boolean).join(" · ") }))));
  find("verdict").textContent = worst ? "Something stands still" : troubles.length ? "Works, needs a look" : "All is well";
  find("verdict").className = `badge ${worst ? "bad" : troubles.length ? "wait" : "good"}`;
};

const NAMES = { dead_lettered: "dead letters" };
const LOOKS = { up: "good", down: "bad", paused: "wait" };

const showTables = (state) => {
  const waiting = [
    ...state.queues.map((each) => [`Queue ${each.name.replace("open-messaging.", "")}`, number(each.messages), ""]),
    ...state.waiting.map((each) => [each.what, number(each.count), span(each.since_s)]),
  ];
  fill("waiting", ["", "now", "oldest"], waiting, "Nothing is known: broker and database are away.");
  fill("letters", ["reason", "open", "oldest"],
    state.dead_letters.map((each) => [each.code, number(each.count), span(each.since_s)]), "None.");
  fill("destinations", ["", "state", "waiting", "due for"],
    state.destinations.map((each) => [each.name, badge(each.state, LOOKS[each.state] ?? "wait"), number(each.waiting), span(each.due_s)]),
    "None is configured.");
  fill("edges", ["", "answered", "in 100 ms", "refused"],
    state.edges.map((each) => [each.edge, number(each.answered), each.soon === null ? "–" : `${(Math.floor(each.soon * 1000) / 10).toFixed(1)} %`, number(each.refused)]),
    "Nothing was answered.");
  fill("workers", ["", "state", "since it began"],
    state.workers.map((each) => [
      tag("span", {}, each.role, tag("small", { textContent: each.worker })),
      badge(each.is_up ? "up" : "silent", each.is_up ? "good" : "bad"),
      each.counts.map(([name, count]) => `${number(count)} ${(NAMES[name] ?? name)}`).join(", "),
    ]), "None reports.");
};

const showFlow = (flow, newest) => {
  const minutes = flow.minutes, last = minutes[minutes.length - 2];
  facts([
    ["in the last full minute", number(last.events)],
    ["in the hour", number(minutes.reduce((sum, each) => sum + each.events, 0))],
    ["edge to worker, median", flow.median_ms === null ? "–" : `${number(flow.median_ms)} ms`],
    ["95 of 100 within", flow.p95_ms === null ? "–" : `${number(flow.p95_ms)} ms`],
    ["since the newest", span(newest) || "–"],
  ]);
  draw(minutes);
};

const refresh = async () => {
  try {
    const answer = await fetch("/ops/state");
    if (!answer.ok) throw new Error(answer.status);
    const state = await answer.json();
    answered = new Date();
    showTroubles(state.troubles);
    showFlow(state.flow, state.newest_event_s);
    showTables(state);
    find("time").textContent = `${answered.toLocaleTimeString([], { hourCycle: "h23" })}, every ${GLANCE_MS / 1000} s`;
  } catch {
    find("verdict").textContent = "om-observe does not answer";
    find("verdict").className = "badge bad";
    find("time").textContent = answered ? `what is shown is of ${answered.toLocaleTimeString([], { hourCycle: "h23" })}` : "";
  }
};

refresh();
setInterval(refresh, GLANCE_MS);
