// A user's connection to Rollcall: JSON-RPC 2.0 over a WebSocket that comes back by itself. No dependencies; copy it.
//
//   const connection = new Connection({ url, token: async (renew) => "…" });
//   connection.addEventListener("notification", ({ detail: { method, params } }) => …);
//   connection.addEventListener("reload", () => …);            // read every list anew
//   connection.addEventListener("state", ({ detail }) => …);   // { state, code, reason, retryInMs }
//   connection.open();
//   const { friends } = await connection.request("friends.list", { limit: 50 });

const REQUEST_MS = 15_000;
const CONNECT_MS = 10_000;
const RETRY_FIRST_MS = 1_000;
const RETRY_MAX_MS = 30_000;

// From here on a close code says: do not come back by yourself.
const FINAL_FROM = 4500;
const TOKEN_EXPIRED = 4502;

/** What the service or the connection answered instead of a result. */
export class RequestError extends Error {
  constructor(message, code, problem) {
    super(message);
    this.code = code;
    this.problem = problem;
  }
}

/** Events: `state`, `notification`, `reload`. States: `closed`, `connecting`, `online`, `waiting`. */
export class Connection extends EventTarget {
  #url;
  #token;
  #platform;
  #socket = null;
  #wanted = false;
  #state = "closed";
  #attempts = 0;
  #position;
  #renew = false;
  #nextId = 1;
  #pending = new Map();
  #connectTimer;
  #retryTimer;
  #silenceTimer;
  #silenceMs = 60_000;

  /**
   * @param {{ url: string, token: (renew: boolean) => Promise<string>, platform?: string }} options
   * `token` asks the app's own back end for an access token; with `renew`, for a new one, because the old one has expired.
   */
  constructor({ url, token, platform = "web" }) {
    super();
    this.#url = url;
    this.#token = token;
    this.#platform = platform;
  }

  get state() {
    return this.#state;
  }

  /** Connects, and connects again whenever the connection is lost, until `close` or a close code that forbids it. */
  open() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#attempts = 0;
    addEventListener("online", this.#retryNow);
    this.#connect();
  }

  /** Disconnects and stays so. */
  close() {
    this.#drop(1000);
    this.#settle("closed", {});
  }

  /** Sends a request; resolves with its result, rejects with a `RequestError`. */
  request(method, params = {}) {
    if (this.#state !== "online") return Promise.reject(new RequestError("not connected"));
    return this.#send(method, params);
  }

  async #connect() {
    this.#announce("connecting");
    let token;
    try {
      token = await this.#token(this.#renew);
    } catch (error) {
      if (this.#wanted) this.#retry({ reason: `no access token: ${error.message}` });
      return;
    }
    if (!this.#wanted || this.#socket) return;
    this.#renew = false;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    // What a socket says that was given up is of no interest any more.
    const current = (handler) => (event) => this.#socket === socket && handler(event);
    this.#connectTimer = setTimeout(() => this.#lost({ reason: "no answer in time" }), CONNECT_MS);
    socket.onclose = current(({ code, reason }) => this.#lost({ code, reason }));
    socket.onmessage = current(({ data }) => this.#received(JSON.parse(data)));
    socket.onopen = current(async () => {
      const since = this.#position;
      try {
        // The token is in the first frame, never in the URL: URLs end up in logs.
        const connected = await this.#send("connect", { token, platform: this.#platform, since });
        if (this.#socket === socket) this.#connected(connected);
      } catch {
        // The close code that follows says why.
      }
    });
  }

  #connected({ position, resumed, heartbeat_seconds }) {
    clearTimeout(this.#connectTimer);
    this.#attempts = 0;
    this.#silenceMs = heartbeat_seconds * 2_000;
    this.#heard();
    this.#announce("online");
    if (resumed) return; // Everything that was missed follows as notifications, which carry their positions.
    this.#position = position;
    this.dispatchEvent(new Event("reload"));
  }

  #send(method, params) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new RequestError(`${method} was not answered in time`));
      }, REQUEST_MS);
      this.#pending.set(id, { resolve, reject, timer });
      this.#socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    });
  }

  #received(frame) {
    this.#heard();
    if (frame.id === undefined) {
      this.#position = frame.params.position ?? this.#position;
      if (frame.method === "token.expiring") this.#renew = true;
      this.dispatchEvent(new CustomEvent("notification", { detail: frame }));
      return;
    }
    const waiting = this.#pending.get(frame.id);
    if (!waiting) return;
    this.#pending.delete(frame.id);
    clearTimeout(waiting.timer);
    const { error } = frame;
    if (error) waiting.reject(new RequestError(error.message, error.code, error.data));
    else waiting.resolve(frame.result);
  }

  // A browser answers the service's pings by itself and does not show them to a page. So a page that has heard nothing for a
  // while asks something cheap, and gives the connection up where there is no answer.
  #heard() {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(async () => {
      const socket = this.#socket;
      try {
        const { changes, reload, position } = await this.request("changes.get", { since: this.#position });
        // With nothing on its way, all that happened up to there is known.
        if (changes.length === 0 && !reload && this.#socket === socket) this.#position = position;
      } catch {
        if (this.#socket === socket) this.#lost({ reason: "no sign of life" });
      }
    }, this.#silenceMs);
  }

  #lost({ code, reason }) {
    const isFinal = code >= FINAL_FROM && code < 5000 && code !== TOKEN_EXPIRED;
    this.#renew ||= code === TOKEN_EXPIRED;
    this.#drop(4000, !isFinal);
    if (isFinal) this.#settle("closed", { code, reason });
    else this.#retry({ code, reason });
  }

  /** Lets go of the socket and of everything that waits for it. */
  #drop(code, wanted = false) {
    this.#wanted = wanted;
    for (const timer of [this.#connectTimer, this.#silenceTimer, this.#retryTimer]) clearTimeout(timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(code);
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new RequestError("the connection was lost"));
    }
    this.#pending.clear();
  }

  #settle(state, detail) {
    removeEventListener("online", this.#retryNow);
    this.#announce(state, detail);
  }

  // After a random part of a time that doubles: when a node stops, its clients do not all come to the next one at once.
  #retry(detail) {
    const most = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.#attempts++);
    const retryInMs = Math.round(most * (0.2 + 0.8 * Math.random()));
    this.#retryTimer = setTimeout(() => this.#connect(), retryInMs);
    this.#announce("waiting", { ...detail, retryInMs });
  }

  #retryNow = () => {
    if (this.#state !== "waiting") return;
    clearTimeout(this.#retryTimer);
    this.#connect();
  };

  #announce(state, detail = {}) {
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, ...detail } }));
  }
}
