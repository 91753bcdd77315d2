// One request and its answer, and the panel that shows both.
import { h, save } from "./dom.js";

const ROOT = new URL("../", import.meta.url); // wherever a proxy has put the service
const STORED = "quartet-key";

export const key = {
  get: () => sessionStorage.getItem(STORED) ?? "",
  set: (text) => (text ? sessionStorage.setItem(STORED, text) : sessionStorage.removeItem(STORED)),
};

export async function get(path) {
  const response = await fetch(new URL(path, ROOT), { headers: authorization() });
  const body = await response.json();
  if (!response.ok) throw new Problem(body);
  return body;
}

// A command, which wants the admin's token.
export async function post(path, order, token) {
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
  const response = await fetch(new URL(path, ROOT), { method: "POST", headers, body: JSON.stringify(order) });
  const body = await response.json();
  if (!response.ok) throw new Problem({ ...body, code: "" });
  return body;
}

// The address of a picture, which an element could not ask for with a key; null where it is not there.
export async function picture(path) {
  const response = await fetch(new URL(path, ROOT), { headers: authorization() });
  return response.ok ? URL.createObjectURL(await response.blob()) : null;
}

export class Problem extends Error {
  constructor({ detail, field, code }) {
    const hint = code === "unauthorized" ? " The field for it is at the top of this page." : "";
    super(`${field ? `${field}: ` : ""}${detail}${hint}`);
    this.code = code;
  }
}

const authorization = () => (key.get() ? { authorization: `Bearer ${key.get()}` } : {});
const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const ENDINGS = { "application/x-npy": "npy", "application/dicom": "dcm", "image/png": "png", "image/webp": "webp", "application/zip": "zip" };

// A request is {path, query, type, accept, body, file}; `file` is the name of a body that is a file. In place of type and
// body, `form` is {name, files}: files under that name.
export function address({ path, query = {} }) {
  const url = new URL(path, ROOT);
  for (const [name, value] of Object.entries(query)) if (value !== "" && value !== false) url.searchParams.set(name, value);
  return url.href;
}

const headersOf = ({ type, accept = "application/json" }) => ({ ...(type ? { "content-type": type } : {}), accept });

// The key itself is never shown: what is copied may be passed on.
export const snippets = {
  curl(request) {
    const headers = Object.entries(headersOf(request)).map(([name, value]) => `-H ${shell(`${name}: ${value}`)}`);
    if (key.get()) headers.push('-H "authorization: Bearer $QUARTET_KEY"');
    const ending = ENDINGS[request.accept];
    const body = request.form ? request.form.files.map((one) => `-F ${shell(`${request.form.name}=@${one.name}`)}`)
      : [`--data-binary ${request.file ? `@${shell(request.file)}` : shell(request.body)}`];
    return [`curl -s ${shell(address(request))}`, ...headers, ...body, ...(ending ? [`-o answer.${ending}`] : [])].join(" \\\n  ");
  },
  Python(request) {
    const headers = Object.entries(headersOf(request)).map(([name, value]) => `    "${name}": "${value}",`);
    if (key.get()) headers.push('    "authorization": f"Bearer {os.environ[\'QUARTET_KEY\']}",');
    const ending = ENDINGS[request.accept];
    return [
      ...(key.get() ? ["import os"] : []),
      "from pathlib import Path\n\nimport httpx\n",
      ...(request.form
        ? [`names = ${JSON.stringify(request.form.files.map((one) => one.name))}`, `body = [(${JSON.stringify(request.form.name)}, Path(name).open("rb")) for name in names]`]
        : [`body = ${request.file ? `Path(${JSON.stringify(request.file)}).read_bytes()` : JSON.stringify(request.body)}`]),
      `headers = {\n${headers.join("\n")}\n}`,
      `answer = httpx.post(${JSON.stringify(address(request))}, headers=headers, ${request.form ? "files" : "content"}=body)`,
      "answer.raise_for_status()",
      ending ? `Path("answer.${ending}").write_bytes(answer.content)` : "print(answer.json())",
    ].join("\n");
  },
  JavaScript(request) {
    const headers = Object.entries(headersOf(request)).map(([name, value]) => `    "${name}": "${value}",`);
    if (key.get()) headers.push("    authorization: `Bearer ${process.env.QUARTET_KEY}`,");
    const ending = ENDINGS[request.accept];
    return [
      'import { readFile, writeFile } from "node:fs/promises";\n',
      ...(request.form
        ? ["const body = new FormData();", `for (const name of ${JSON.stringify(request.form.files.map((one) => one.name))})`, `  body.append(${JSON.stringify(request.form.name)}, new Blob([await readFile(name)]), name);`]
        : [`const body = ${request.file ? `await readFile(${JSON.stringify(request.file)})` : JSON.stringify(request.body)};`]),
      `const answer = await fetch(${JSON.stringify(address(request))}, {\n  method: "POST",\n  headers: {\n${headers.join("\n")}\n  },\n  body,\n});`,
      "if (!answer.ok) throw new Error(await answer.text());",
      ending ? `await writeFile("answer.${ending}", Buffer.from(await answer.arrayBuffer()));` : "console.log(await answer.json());",
    ].join("\n");
  },
};

function filled({ name, files }) {
  const data = new FormData();
  for (const file of files) data.append(name, file, file.name);
  return data;
}

const LONG = 120; // characters of a text, or numbers of an array, of which the panel shows the beginning

function abridged(name, value) {
  if (typeof value === "string" && value.length > LONG && name !== "detail") return `${value.slice(0, 40)}... (${value.length} characters)`;
  if (Array.isArray(value) && value.length > LONG) return [...value.slice(0, 8), `... (${value.length} in all)`];
  return value;
}

export class Exchange {
  #running = null;
  #latest = Promise.resolve();
  #kept = Promise.resolve();
  #request = null;
  #answer = "";

  // `result` shows an answer: where a later request fails, it is emptied, for it would belie the problem.
  constructor(result) {
    this.result = result;
    this.text = h("pre", { tabIndex: 0, ariaLabel: "Request or answer" }, "Nothing has been sent yet.");
    this.said = h("p", { className: "said" });
    this.problem = h("p", { className: "problem", role: "alert", hidden: true });
    this.copied = h("span", { className: "said", role: "status" });
    this.file = h("button", { type: "button", hidden: true, onclick: () => save(this.#request.body, this.#request.file) });
    const group = `exchange-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    const choices = [...Object.keys(snippets), "Answer"].map((name, i) =>
      h("label", {}, h("input", { type: "radio", name: group, value: name, checked: i === 0, onchange: () => this.#choose(name) }), name),
    );
    this.shown = "curl";
    const copy = h("button", { type: "button", onclick: () => this.#copy() }, "Copy");
    const tabs = h("fieldset", { className: "tabs", ariaLabel: "Shown as" }, choices, this.copied, this.file, copy);
    this.element = h("section", { className: "exchange", ariaLabel: "Request and answer" }, h("h3", {}, "The very request"), tabs, this.text, this.said);
  }

  // The answer, or null where a later request took its place or this one failed: then the problem is shown.
  send(request) {
    return (this.#latest = this.#kept.then(() => this.#ask(request)));
  }

  // As send, but a later request waits for it in place of breaking it off, and it for an earlier one.
  keep(request) {
    return (this.#kept = this.#latest.then(() => this.#ask(request)));
  }

  async #ask(request) {
    this.#running?.abort();
    const running = (this.#running = new AbortController());
    this.#request = request;
    this.file.hidden = !request.file;
    this.file.textContent = `Save ${request.file}`;
    this.#show();
    const began = performance.now();
    try {
      const headers = { ...headersOf(request), ...authorization() };
      const response = await fetch(address(request), { method: "POST", headers, body: request.form ? filled(request.form) : request.body, signal: running.signal });
      const json = response.headers.get("content-type").includes("json");
      const body = json ? await response.json() : await response.arrayBuffer();
      const took = `${response.status}, ${Math.round(performance.now() - began)} ms, request ${response.headers.get("x-request-id")}`;
      this.said.textContent = took;
      this.#answer = json ? JSON.stringify(body, abridged, 1) : `${body.byteLength} bytes of ${response.headers.get("content-type")}`;
      this.#show();
      if (!response.ok) throw new Problem(body);
      this.problem.hidden = true;
      return { body, headers: response.headers };
    } catch (error) {
      if (error.name === "AbortError") return null;
      this.problem.textContent = error instanceof TypeError ? "The service cannot be reached: is it running?" : error.message;
      this.problem.hidden = false;
      this.result?.replaceChildren();
      return null;
    }
  }

  cancel() {
    this.#running?.abort();
    this.problem.hidden = true;
  }

  #choose(name) {
    this.shown = name;
    this.#show();
  }

  #written() {
    return this.shown === "Answer" ? this.#answer : snippets[this.shown](this.#request);
  }

  #show() {
    if (this.#request) this.text.textContent = this.#written();
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.text.textContent);
      this.copied.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(this.text);
      this.copied.textContent = "Selected: copy it by keyboard.";
    }
    setTimeout(() => (this.copied.textContent = ""), 3000);
  }
}

let known;
export const models = () => (known ??= get("v1/models").then((body) => body.models));
export const forget = () => (known = undefined);
// The one that answers where a request names none comes first.
export const ofKind = async (kind) =>
  (await models()).filter((one) => one.kind === kind).sort((one, other) => other.default - one.default).map((one) => one.name);
