// Makes a page to try of the OpenAPI documents that this service serves. Text is only ever set as text, never as HTML.

const FACES = [
  { url: "/openapi.json", title: "REST, for back ends, moderators and operators", credential: "api-key", variable: "API_KEY" },
  { url: "/client/openapi.json", title: "The users' own face", credential: "access-token", variable: "ACCESS_TOKEN" },
];
const METHODS = ["get", "put", "post", "patch", "delete"];
const DEPTH_MAX = 6;
const SHOWN_MAX = 200_000;
const ANSWER_MS = 60_000;

const byId = (id) => document.getElementById(id);

/** An element with properties and children; a property that no element has becomes an attribute. */
function make(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Schemas

/** A schema with its references followed. */
function resolve(document, schema) {
  let found = schema;
  for (let step = 0; found?.$ref && step < DEPTH_MAX; step++) {
    found = found.$ref.slice(2).split("/").reduce((at, part) => at?.[part], document);
  }
  return found ?? {};
}

/** The schema with the members of everything that it is made of. */
function merged(document, schema) {
  const found = resolve(document, schema);
  const parts = [...(found.allOf ?? []), ...(found.oneOf ?? found.anyOf ?? []).slice(0, 1)];
  return parts.reduce((whole, part) => {
    const { properties = {}, required = [], ...rest } = merged(document, part);
    return {
      ...rest,
      ...whole,
      properties: { ...whole.properties, ...properties },
      required: [...(whole.required ?? []), ...required],
    };
  }, found);
}

function typeOf({ type, properties, items }) {
  const types = [type].flat().filter((one) => one && one !== "null");
  return types[0] ?? (properties ? "object" : items ? "array" : "string");
}

/** A value that fits a schema. */
function example(document, schema, depth = 0) {
  const found = merged(document, schema);
  const given = found.example ?? found.examples?.[0] ?? found.const ?? found.enum?.[0] ?? found.default;
  if (given !== undefined) return given;
  if (depth > DEPTH_MAX) return {};
  const values = {
    object: () => {
      const { properties = {}, required = [] } = found;
      const names = required.length > 0 ? required : Object.keys(properties);
      return Object.fromEntries(names.map((name) => [name, example(document, properties[name], depth + 1)]));
    },
    array: () => (found.prefixItems ?? [found.items ?? {}]).map((item) => example(document, item, depth + 1)),
    integer: () => Math.max(found.minimum ?? 1, 1),
    number: () => Math.max(found.minimum ?? 1, 1),
    boolean: () => false,
    string: () => (found.format === "date-time" ? new Date().toISOString() : "text"),
  };
  return (values[typeOf(found)] ?? values.string)();
}

/** Members of a schema, one a line. */
function members(document, schema, depth = 0) {
  const { properties = {}, required = [] } = merged(document, schema);
  return Object.entries(properties).flatMap(([name, property]) => {
    const found = merged(document, property);
    const isArray = typeOf(found) === "array";
    const inner = isArray ? found.items ?? {} : property;
    const note = [required.includes(name) ? "required" : "", found.description ?? ""].filter(Boolean).join("; ");
    const kind = isArray ? `array of ${typeOf(merged(document, inner))}` : typeOf(found);
    const line = `${"  ".repeat(depth)}${name}: ${kind}${note ? ` – ${note}` : ""}`;
    return depth < DEPTH_MAX ? [line, ...members(document, inner, depth + 1)] : [line];
  });
}

function section(title, ...children) {
  return [make("h4", { textContent: title }), ...children];
}

/** One operation: its form, and what is made of it. */
class Operation {
  constructor(face, document, { path, method, description }) {
    Object.assign(this, { face, document, path, method, description });
    this.id = description.operationId;
    this.parameters = (description.parameters ?? []).map((one) => resolve(document, one));
    const bodies = Object.entries(resolve(document, description.requestBody).content ?? {});
    [this.type, this.content] = bodies.find(([type]) => type === "application/json") ?? bodies[0] ?? [];
    const summary = make("summary", {}, make("span", { className: `method ${method}`, textContent: method.toUpperCase() }));
    summary.append(" ", make("code", { textContent: path }), ` ${description.summary ?? ""}`);
    this.element = make("details", { className: "operation", id: this.anchor }, summary);
    // A form is made when somebody looks at it.
    this.element.addEventListener("toggle", () => this.build(), { once: true });
  }

  get anchor() {
    return `${this.face.credential}.${this.id}`;
  }

  matches(text) {
    const { summary = "", tags = [] } = this.description;
    return [this.method, this.path, this.id, summary, ...tags].join(" ").toLowerCase().includes(text);
  }

  build() {
    this.fields = this.parameters.map((parameter) => ({ parameter, input: this.input(parameter) }));
    this.curl = make("pre", { className: "curl", tabIndex: 0 });
    this.answer = make("div", { className: "answer", role: "status" });
    const copy = make("button", { type: "button", textContent: "Copy curl" });
    copy.addEventListener("click", () => navigator.clipboard?.writeText(this.curl.textContent));
    const form = make("form", { autocomplete: "off" }, ...this.parametersShown(), ...this.bodyShown());
    form.append(...section("The same with curl", this.curl), make("button", { textContent: "Send" }), copy);
    form.addEventListener("input", () => this.showCurl());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.element.append(make("div", {}, ...this.described(), form, this.answer));
    this.showCurl();
  }

  described() {
    const { description } = this.description;
    return description ? [make("p", { textContent: description })] : [];
  }

  input({ name, in: place, required, schema = {}, example: given }) {
    const found = resolve(this.document, schema);
    const id = `${this.anchor}.${place}.${name}`;
    if (!found.enum) return make("input", { id, name, required: required ?? false, value: given ?? "", spellcheck: false });
    const options = found.enum.map((value) => make("option", { value, textContent: value }));
    return make("select", { id, name }, ...(required ? [] : [make("option", { value: "", textContent: "" })]), ...options);
  }

  parametersShown() {
    if (this.fields.length === 0) return [];
    const rows = this.fields.flatMap(({ parameter, input }) => {
      const note = [parameter.in, parameter.required ? "required" : "", parameter.description ?? ""].filter(Boolean);
      return [make("label", { htmlFor: input.id }, make("code", { textContent: parameter.name }), ` (${note.join("; ")})`), input];
    });
    return section("Parameters", make("div", { className: "fields" }, ...rows));
  }

  bodyShown() {
    if (!this.content) return [];
    const { schema = {}, example: given, examples = {} } = this.content;
    const value = given ?? Object.values(examples)[0]?.value ?? example(this.document, schema);
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    const id = `${this.anchor}.body`;
    this.body = make("textarea", { id, spellcheck: false, value: text, "aria-label": "Body" });
    const lines = members(this.document, schema);
    const shape = make("details", {}, make("summary", { textContent: "Members" }), make("pre", { textContent: lines.join("\n") }));
    return section("Body", this.body, ...(lines.length > 0 ? [shape] : []));
  }

  /** What would be sent. */
  request() {
    const headers = { accept: "application/json" };
    const query = new URLSearchParams();
    let path = this.path;
    for (const { parameter, input } of this.fields) {
      const { name, in: place } = parameter;
      if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(input.value));
      else if (input.value !== "" && place === "query") query.append(name, input.value);
      else if (input.value !== "" && place === "header") headers[name.toLowerCase()] = input.value;
    }
    const body = this.body && this.body.value.trim() !== "" ? this.body.value : undefined;
    if (body !== undefined) headers["content-type"] = this.type;
    return { method: this.method.toUpperCase(), url: query.size > 0 ? `${path}?${query}` : path, headers, body };
  }

  showCurl() {
    const { method, url, headers, body } = this.request();
    const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
    const given = Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
    // The credential is a variable of the shell, so that what is copied does not contain it.
    const parts = [`curl -i -X ${method} ${quoted(location.origin + url)}`, `-H "authorization: Bearer $${this.face.variable}"`];
    parts.push(...given, ...(body === undefined ? [] : [`--data-raw ${quoted(body)}`]));
    this.curl.textContent = parts.join(" \\\n  ");
  }

  async send() {
    this.sending?.abort();
    const sending = (this.sending = new AbortController());
    const { method, url, headers, body } = this.request();
    headers.authorization = `Bearer ${byId(this.face.credential).value.trim()}`;
    this.answer.replaceChildren("Sending …");
    const signal = AbortSignal.any([sending.signal, AbortSignal.timeout(ANSWER_MS)]);
    try {
      const response = await fetch(url, { method, headers, body, signal, credentials: "omit", cache: "no-store" });
      const shown = await this.answered(response);
      if (this.sending === sending) this.answer.replaceChildren(...shown);
    } catch (error) {
      if (this.sending === sending) this.answer.replaceChildren(`Not answered: ${error.message}`);
    }
  }

  async answered(response) {
    const kind = response.headers.get("content-type") ?? "";
    const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    const shown = [make("h4", { className: "status", textContent: `${response.status} ${response.statusText}` })];
    shown.push(make("pre", { className: "headers", tabIndex: 0, textContent: headers }));
    if (!/json|text|html/.test(kind)) {
      const bytes = await response.blob();
      if (bytes.size === 0) return shown;
      URL.revokeObjectURL(this.download);
      this.download = URL.createObjectURL(bytes);
      return [...shown, make("a", { href: this.download, download: this.id, textContent: `Save ${bytes.size} bytes` })];
    }
    const text = await response.text();
    const pretty = /json/.test(kind) && text ? JSON.stringify(JSON.parse(text), null, 2) : text;
    const cut = pretty.length > SHOWN_MAX ? `${pretty.slice(0, SHOWN_MAX)}\n…` : pretty;
    return [...shown, make("pre", { className: "body", tabIndex: 0, textContent: cut })];
  }
}

// The page

async function load(face) {
  const response = await fetch(face.url, { signal: AbortSignal.timeout(ANSWER_MS) });
  if (!response.ok) throw new Error(`${face.url}: ${response.status}`);
  const document = await response.json();
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => new Operation(face, document, { path, method, description: item[method] })),
  );
  const groups = Map.groupBy(operations, ({ description }) => description.tags?.[0] ?? "others");
  return { face, operations, groups };
}

function show({ face, groups }) {
  const whole = make("section", {}, make("h2", { textContent: face.title }));
  const links = [];
  for (const [tag, operations] of groups) {
    const id = `${face.credential}.tag.${tag}`;
    const part = make("section", {}, make("h3", { id, textContent: tag }), ...operations.map(({ element }) => element));
    whole.append(part);
    links.push(make("li", {}, make("a", { href: `#${encodeURIComponent(id)}`, textContent: tag })));
  }
  byId("contents").append(make("p", { textContent: face.title }), make("ul", {}, ...links));
  byId("operations").append(whole);
}

function filter(operations, text) {
  for (const operation of operations) operation.element.hidden = !operation.matches(text);
  for (const part of byId("operations").querySelectorAll("section")) {
    part.hidden = part.querySelector("details.operation:not([hidden])") === null;
  }
}

/** Opens the operation that the address names. */
function follow() {
  const named = byId(decodeURIComponent(location.hash.slice(1)));
  if (named?.tagName === "DETAILS") named.open = true;
  named?.scrollIntoView();
}

byId("credentials").addEventListener("submit", (event) => event.preventDefault());
try {
  const loaded = await Promise.all(FACES.map(load));
  loaded.forEach(show);
  const operations = loaded.flatMap((one) => one.operations);
  byId("filter").addEventListener("input", ({ target }) => filter(operations, target.value.trim().toLowerCase()));
  byId("told").textContent = `${operations.length} operations`;
  addEventListener("hashchange", follow);
  follow();
} catch (error) {
  byId("told").textContent = `The documents cannot be read: ${error.message}`;
}
