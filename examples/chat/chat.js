// The page: two clients side by side. What is worth copying for an app is in rollcall.js; this file shows what it tells.

import { Connection } from "./rollcall.js";

const SUBSCRIBE_SECONDS = 3_600;
const TOKEN_NOT_VALID = 4501;

// What the close codes mean to somebody who uses the app. Codes below 4500 are left out: the connection comes back by itself.
const CLOSED = {
  4501: "Your access token is not valid any more. Go online again to get another one.",
  4503: "You are banned.",
  4504: "You were banned.",
  4505: "Your account is deactivated.",
  4506: "You signed in on another device.",
  4507: "You are signed in on too many devices.",
};

async function backEnd(method, path) {
  const response = await fetch(path, { method, signal: AbortSignal.timeout(10_000) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? response.statusText);
  return answer;
}

/** One user: the connection, what is known of the other user, and the half of the page that shows it. */
class Client {
  constructor(user, other) {
    this.user = user;
    this.other = other;
    this.presence = "offline";
    this.blocked = false;
    this.friends = [];
    this.requests = [];
    this.section = document.querySelector("#user").content.firstElementChild.cloneNode(true);
    this.section.id = user.user_id;
    this.section.setAttribute("aria-label", `Client of ${user.name}`);
    this.find("h2").textContent = user.name;
    this.find(".log").setAttribute("aria-label", `What happened to ${user.name}`);
    this.section.addEventListener("click", ({ target }) => this.clicked(target));
    this.connection = new Connection({ url: user.socket, token: (renew) => this.token(renew) });
    this.connection.addEventListener("state", ({ detail }) => this.stateChanged(detail));
    this.connection.addEventListener("notification", ({ detail }) => this.notified(detail));
    this.connection.addEventListener("reload", () => this.guarded(() => this.load()));
    this.stateChanged({ state: "closed" });
  }

  find(selector) {
    return this.section.querySelector(selector);
  }

  async token(renew) {
    if (renew || !this.user.token) this.user = await backEnd("POST", `/session/${this.user.user_id}`);
    return this.user.token;
  }

  /** Reads everything that notifications keep current from then on. */
  load() {
    return Promise.all([this.loadFriends(), this.loadRequests(), this.loadBlocked()]);
  }

  /** Asks to be told when the other comes and goes, and whether it is there now. */
  async follow() {
    const user_ids = [this.other.user_id];
    await this.connection.request("subscriptions.add", { user_ids, seconds: SUBSCRIBE_SECONDS });
    const { subscriptions } = await this.connection.request("subscriptions.list");
    const known = subscriptions.find(({ user_id }) => user_id === this.other.user_id);
    this.presence = known?.online ? "online" : "offline";
    this.show();
  }

  async loadFriends() {
    ({ friends: this.friends } = await this.connection.request("friends.list"));
    this.show();
  }

  async loadRequests() {
    ({ friend_requests: this.requests } = await this.connection.request("friend_requests.list", { state: "pending" }));
    this.show();
  }

  async loadBlocked() {
    ({ blocked: this.blocked } = await this.connection.request("blocklist.get", { user_id: this.other.user_id }));
    this.show();
  }

  stateChanged({ state, code, reason, retryInMs }) {
    const why = code === undefined ? reason : [CLOSED[code], `(${`${code} ${reason}`.trim()})`].filter(Boolean).join(" ");
    const text = {
      closed: why ?? "Offline.",
      connecting: "Connecting …",
      online: "Online.",
      waiting: `Connection lost ${why}. Trying again in ${Math.ceil(retryInMs / 1000)} s.`,
    }[state];
    if (code === TOKEN_NOT_VALID) this.user.token = null;
    this.section.dataset.state = state;
    this.find(".state").textContent = text;
    this.log(text);
    clearInterval(this.renewal);
    if (state === "online") {
      // Presence is not among the changes that are told after a lost connection. A subscription ends by itself: it is renewed.
      const follow = () => this.guarded(() => this.follow());
      follow();
      this.renewal = setInterval(follow, SUBSCRIBE_SECONDS * 500);
    } else {
      this.presence = "unknown";
    }
    this.show();
  }

  notified({ method, params }) {
    const { user_id = "", direction = "", online } = params;
    this.log([method, user_id, direction, online === undefined ? "" : online ? "online" : "offline"].join(" ").trim());
    if (method === "presence.changed" && user_id === this.other.user_id) {
      this.presence = online ? "online" : "offline";
      this.show();
    }
    if (method.startsWith("friend.")) this.guarded(() => Promise.all([this.loadFriends(), this.loadRequests()]));
    if (method === "blocklist.changed") this.guarded(() => this.loadBlocked());
  }

  clicked(button) {
    const { do: action, request } = button.dataset;
    const user_id = this.other.user_id;
    const actions = {
      connect: () => this.connection.open(),
      disconnect: () => this.connection.close(),
      ask: () => this.connection.request("friends.add", { user_id, text: `It is ${this.user.name}` }),
      unfriend: () => this.connection.request("friends.remove", { user_id }),
      block: () => this.connection.request("blocklist.add", { user_id }),
      unblock: () => this.connection.request("blocklist.remove", { user_id }),
      accept: () => this.connection.request("friend_requests.accept", { request_id: request }),
      refuse: () => this.connection.request("friend_requests.refuse", { request_id: request }),
      cancel: () => this.connection.request("friend_requests.cancel", { request_id: request }),
    };
    if (action) this.guarded(actions[action]);
  }

  /** Does something that may be refused, and tells so. */
  async guarded(action) {
    try {
      await action();
    } catch (error) {
      this.log(error.code === undefined ? error.message : `${error.message} (${error.code})`, "error");
    }
  }

  log(text, kind = "") {
    const list = this.find(".log");
    list.append(element("li", text, { className: kind }));
    while (list.children.length > 200) list.firstElementChild.remove();
    list.scrollTop = list.scrollHeight;
  }

  show() {
    const isOnline = this.connection.state === "online";
    const isFriend = this.friends.some(({ user_id }) => user_id === this.other.user_id);
    const isWanted = this.connection.state !== "closed";
    const can = { connect: !isWanted, disconnect: isWanted, ask: isOnline && !isFriend, unfriend: isOnline && isFriend };
    Object.assign(can, { block: isOnline && !this.blocked, unblock: isOnline && this.blocked });
    for (const [action, allowed] of Object.entries(can)) this.find(`[data-do=${action}]`).disabled = !allowed;
    this.find(".other").textContent = `${this.other.name}: ${this.presence}${this.blocked ? ", blocked" : ""}`;
    this.find(".friends").replaceChildren(...this.friends.map(({ user_id, name }) => element("li", `${name} (${user_id})`)));
    this.find(".requests").replaceChildren(...this.requests.map((request) => this.requestItem(request)));
  }

  requestItem({ request_id, direction, user_id, text }) {
    const isReceived = direction === "received";
    const item = element("li", isReceived ? `from ${user_id}${text ? `: ${text}` : ""}` : `to ${user_id}`);
    const answers = isReceived ? { accept: "Accept", refuse: "Refuse" } : { cancel: "Cancel" };
    for (const [action, label] of Object.entries(answers)) {
      const button = element("button", label, { type: "button" });
      Object.assign(button.dataset, { do: action, request: request_id });
      button.disabled = this.connection.state !== "online";
      item.append(button);
    }
    return item;
  }
}

function element(name, text, properties = {}) {
  return Object.assign(document.createElement(name), { textContent: text }, properties);
}

function moderator(users) {
  const section = document.querySelector("#moderator");
  const status = section.querySelector("[role=status]");
  for (const { user_id, name } of users) {
    for (const [method, label, done] of [["PUT", "Ban", "banned"], ["DELETE", "Unban", "not banned any more"]]) {
      const button = element("button", `${label} ${name}`, { type: "button", id: `${label.toLowerCase()}-${user_id}` });
      button.addEventListener("click", async () => {
        try {
          await backEnd(method, `/moderator/bans/${user_id}`);
          status.textContent = `${name} is ${done}.`;
        } catch (error) {
          status.textContent = error.message;
        }
      });
      section.querySelector(".buttons").append(button);
    }
  }
}

// Both are registered before either follows the other.
const users = await Promise.all(["ada", "bob"].map((id) => backEnd("POST", `/session/${id}`)));
moderator(users);
const clients = users.map((user, index) => new Client(user, users[1 - index]));
document.querySelector("#users").replaceChildren(...clients.map(({ section }) => section));
for (const { connection } of clients) connection.open();
