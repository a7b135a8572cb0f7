"use strict";
// Requests the whole state once a second and shows what has changed.

const POLL_MS = 1000;
const find = (id) => document.getElementById(id);
let chosen = null;
let shown = "";

const tag = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

const post = async (path, body = {}) => {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const content = await response.json();
  if (!response.ok) throw new Error(content.message);
  return content;
};

const showError = (error) => {
  find("error").textContent = error ? error.message : "";
  find("error").hidden = !error;
};

const describeRegistrations = (all) =>
  all.length
    ? "Posts to " + all.map((one) => `${one.kind} “${one.name}” at ${one.url}`).join(", ")
    : "Nothing is registered, so nothing is posted. Run omctl register against this address.";

// Replaces a list's items only if their content changed, and keeps the keyboard focus on the same item.
const update = (list, states, render) => {
  const state = JSON.stringify(states);
  if (list.dataset.state === state) return;
  const focused = list.contains(document.activeElement) ? document.activeElement.closest("[data-id]")?.dataset.id : null;
  list.dataset.state = state;
  list.replaceChildren(...states.map(render));
  if (focused) list.querySelector(`[data-id="${CSS.escape(focused)}"] :is(button, summary)`)?.focus();
};

const chatItem = ([chat, isChosen]) => {
  const button = tag("button", { type: "button" }, chat.customer, tag("small", { textContent: chat.state }));
  button.setAttribute("aria-current", isChosen);
  button.onclick = () => { chosen = chat.id; refresh(); };
  const item = tag("li", {}, button);
  item.dataset.id = chat.id;
  return item;
};

const messageItem = (message) =>
  tag("li", { className: message.author }, message.text, tag("small", { textContent: `${message.author}, ${message.time.slice(11, 19)}` }));

const LOOKS = { answered: "good", refused: "bad", "given up": "bad", lost: "bad" };

const badge = (text, look) => tag("span", { className: `badge ${look}`, textContent: text });

const describeAttempts = (attempts) =>
  attempts.map((one) => `${one.status ?? "no answer"} in ${one.milliseconds} ms`).join(", ") || "not sent";

const deliveryItem = (delivery) => {
  const badges = [badge(delivery.state, LOOKS[delivery.state] ?? "wait")];
  if (delivery.outcome) badges.push(badge(delivery.outcome, delivery.outcome.startsWith("dead") ? "bad" : "good"));
  const details = `${delivery.registration} · ${describeAttempts(delivery.attempts)} · ${delivery.time.slice(11, 19)}`;
  const summary = tag("summary", {}, tag("b", { textContent: delivery.kind }), ...badges, tag("small", { textContent: details }));
  const open = document.querySelector(`[data-id="${delivery.id}"] details`)?.open ?? false;
  const body = tag("pre", { textContent: JSON.stringify(delivery.payload, null, 2), tabIndex: 0 });
  const item = tag("li", {}, tag("details", { open }, summary, body));
  item.dataset.id = delivery.id;
  return item;
};

const showChat = (chat) => {
  find("nothing").hidden = Boolean(chat);
  find("chosen").hidden = !chat;
  if (!chat) return;
  find("customer").textContent = chat.customer;
  find("state").textContent = chat.state;
  update(find("messages"), chat.messages, messageItem);
  find("messages").scrollTop = find("messages").scrollHeight;
  for (const element of find("write").elements) element.disabled = chat.state === "ended";
};

const show = (state) => {
  find("registrations").textContent = describeRegistrations(state.registrations);
  find("no-deliveries").hidden = Boolean(state.deliveries.length);
  update(find("conversations"), state.conversations.map((chat) => [chat, chat.id === chosen]), chatItem);
  showChat(state.conversations.find((chat) => chat.id === chosen));
  update(find("deliveries"), state.deliveries, deliveryItem);
};

const refresh = async () => {
  try {
    const text = await (await fetch("/page/state")).text();
    if (text + chosen !== shown) show(JSON.parse(text));
    shown = text + chosen;
    showError(null);
  } catch {
    showError(new Error("The simulated platform does not answer."));
  }
};

const handle = (action) => async (event) => {
  event.preventDefault();
  try {
    await action(event);
    await refresh();
  } catch (error) {
    showError(error);
  }
};

find("begin").onsubmit = handle(async (event) => {
  const form = event.target;
  const begun = await post("/page/conversations", { customer: form.customer.value, text: form.text.value });
  chosen = begun.id;
  form.text.value = "";
});

find("write").onsubmit = handle(async (event) => {
  const form = event.target;
  const body = { text: form.text.value, lost: form.lost.checked };
  await post(`/page/conversations/${chosen}/${event.submitter?.value ?? "customer"}`, body);
  form.text.value = "";
  form.lost.checked = false;
});

find("end").onclick = handle(() => post(`/page/conversations/${chosen}/end`));

refresh();
setInterval(refresh, POLL_MS);
