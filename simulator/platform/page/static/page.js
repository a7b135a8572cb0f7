"use strict";
// Asks the platform for everything once a second, and shows what has changed.

const GLANCE_MS = 1000;
const find = (id) => document.getElementById(id);
let chosen = null;
let shown = "";

const tag = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

const post = async (path, wish = {}) => {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wish),
  });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.message);
  return content;
};

const tell = (error) => {
  find("trouble").textContent = error ? error.message : "";
  find("trouble").hidden = !error;
};

const registrationsOf = (all) =>
  all.length
    ? "Posts to " + all.map((each) => `${each.kind} “${each.name}” at ${each.url}`).join(", ")
    : "Nothing is registered, so nothing is posted: run omctl register against this address.";

const conversationItem = (talk) => {
  const button = tag("button", { type: "button" }, talk.customer, tag("small", { textContent: talk.state }));
  button.setAttribute("aria-current", talk.id === chosen);
  button.onclick = () => { chosen = talk.id; refresh(); };
  return tag("li", {}, button);
};

const saidItem = (said) =>
  tag("li", { className: said.who }, said.text, tag("small", { textContent: `${said.who}, ${said.time.slice(11, 19)}` }));

const LOOKS = { answered: "good", refused: "bad", "given up": "bad", lost: "bad" };

const badge = (text, look) => tag("span", { className: `badge ${look}`, textContent: text });

const triesOf = (tries) =>
  tries.map((each) => `${each.status ?? "no answer"} in ${each.milliseconds} ms`).join(", ") || "not sent";

const deliveryItem = (delivery, open) => {
  const badges = [badge(delivery.state, LOOKS[delivery.state] ?? "wait")];
  if (delivery.fate) badges.push(badge(delivery.fate, delivery.fate.startsWith("dead") ? "bad" : "good"));
  const summary = tag(
    "summary", {}, tag("b", { textContent: delivery.kind }), ...badges,
    tag("small", { textContent: `${triesOf(delivery.tries)} · ${delivery.time.slice(11, 19)}` }),
  );
  const details = tag(
    "details", { open: open.has(delivery.id) }, summary,
    tag("pre", { textContent: JSON.stringify(delivery.payload, null, 2) }),
  );
  details.dataset.id = delivery.id;
  return tag("li", {}, details);
};

const showTalk = (talk) => {
  find("nothing").hidden = Boolean(talk);
  find("chosen").hidden = !talk;
  if (!talk) return;
  find("customer").textContent = talk.customer;
  find("state").textContent = talk.state;
  find("said").replaceChildren(...talk.said.map(saidItem));
  find("said").scrollTop = find("said").scrollHeight;
  for (const each of find("write").elements) each.disabled = talk.state === "over";
};

const show = (state) => {
  const open = new Set([...document.querySelectorAll("details[open]")].map((each) => each.dataset.id));
  find("registrations").textContent = registrationsOf(state.registrations);
  find("conversations").replaceChildren(...state.conversations.map(conversationItem));
  showTalk(state.conversations.find((each) => each.id === chosen));
  find("deliveries").replaceChildren(...state.deliveries.map((each) => deliveryItem(each, open)));
};

const refresh = async () => {
  try {
    const text = await (await fetch("/page/state")).text();
    if (text + chosen !== shown) show(JSON.parse(text));
    shown = text + chosen;
    tell(null);
  } catch {
    tell(new Error("The simulated platform does not answer."));
  }
};

const doing = (action) => async (event) => {
  event.preventDefault();
  try {
    await action(event);
    await refresh();
  } catch (error) {
    tell(error);
  }
};

find("begin").onsubmit = doing(async (event) => {
  const form = event.target;
  const begun = await post("/page/conversations", { customer: form.customer.value, text: form.text.value });
  chosen = begun.id;
  form.text.value = "";
});

find("write").onsubmit = doing(async (event) => {
  const form = event.target;
  const wish = { text: form.text.value, lost: form.lost.checked };
  await post(`/page/conversations/${chosen}/${event.submitter?.value ?? "customer"}`, wish);
  form.text.value = "";
  form.lost.checked = false;
});

find("end").onclick = doing(() => post(`/page/conversations/${chosen}/end`));

refresh();
setInterval(refresh, GLANCE_MS);
