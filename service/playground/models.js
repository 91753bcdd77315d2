import { bars, fileInput, h, heading, labelled, options } from "./dom.js";
import { Exchange, get, models as list } from "./exchange.js";
import { markdown } from "./markdown.js";

export async function models(name) {
  return name ? one(await get(`v1/models/${encodeURIComponent(name)}`)) : all(await list());
}

function all(known) {
  const rows = known.map(({ name, version, kind, description }) =>
    h("tr", {}, h("th", { scope: "row" }, h("a", { href: `#models/${name}` }, name)), h("td", {}, description), h("td", {}, kind), h("td", {}, version)));
  const head = h("tr", {}, ["Model", "What it does", "Kind", "Version"].map((words) => h("th", { scope: "col" }, words)));
  return [...heading("Models", "All models that are served. Each has a form to ask it, and its card."), h("div", { className: "scroll models" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows)))];
}

function one(model) {
  const exchange = new Exchange();
  const result = h("div", { role: "status" });
  const form = { "tabular-prediction": rowForm, "image-classification": pictureForm }[model.task.kind] ?? tensorForm;
  return [
    ...heading(model.name, model.description),
    h("p", {}, h("a", { href: "#models" }, "All models")),
    h("div", { className: "card" }, form(model, exchange, result), exchange.problem, result),
    exchange.element,
    h("h3", {}, "Card"),
    h("article", { className: "card" }, markdown(model.card.replace(/^# .*\n/, ""))),
  ];
}

const button = (words) => h("div", { className: "row" }, h("button", { className: "first" }, words));

function submitting(work, ...children) {
  return h("form", { onsubmit: (event) => (event.preventDefault(), work()) }, children, button("Ask"));
}

function rowForm({ name, task }, exchange, result) {
  const unknown = (missing) => (missing == null ? [] : [""]);
  const controls = task.attributes.map(({ values, range, missing }) =>
    values.length ? h("select", {}, options([...unknown(missing), ...values], values[0])) : h("input", { type: "number", step: "any", required: missing == null, value: range ? (range[0] + range[1]) / 2 : 0 }));
  const fields = task.attributes.map(({ name: attribute, description, unit }, i) =>
    h("div", {}, labelled(`${attribute} `, controls[i]), h("small", {}, [description, unit].filter(Boolean).join(", "))));
  return submitting(async () => {
    const row = Object.fromEntries(task.attributes.map((one, i) => [one.name, one.values.length || controls[i].value === "" ? controls[i].value : controls[i].valueAsNumber]));
    const answer = await exchange.send({ path: "v1/tables/predict", query: { model: name }, type: "application/json", body: JSON.stringify({ rows: [row] }) });
    if (answer) result.replaceChildren(...told(answer.body.predictions[0], task));
  }, h("div", { className: "fields" }, fields));
}

function told({ label, labels: several, probabilities, values, intervals = {} }, { labels, quantities = [], coverage }) {
  const within = (name) => (intervals[name] ? `, with ${coverage * 100} % from ${intervals[name].map((end) => end.toPrecision(5)).join(" to ")}` : "");
  if (values) return Object.entries(values).map(([name, value]) => h("p", { className: "verdict" }, `${name}: ${value.toPrecision(5)} ${quantities.find((one) => one.name === name)?.unit ?? ""}${within(name)}`));
  return [h("p", { className: "verdict" }, label ?? (several.join(", ") || "no label")), bars(labels, probabilities, "Probability of each label")];
}

function pictureForm({ name, task }, exchange, result) {
  return fileInput("Picture", "image/*", async ([file]) => {
    const answer = await exchange.send({ path: "v1/images/classify", query: { model: name }, type: file.type, body: file, file: file.name });
    if (answer) result.replaceChildren(...told(answer.body.predictions[0], task));
  });
}

function tensorForm({ name, inputs, axes, task }, exchange, result) {
  const areas = inputs.map((tensor) => h("textarea", { spellcheck: false, value: JSON.stringify(blank(tensor, axes)) }));
  const spacing = task.spacing_mm ? { spacing_mm: (task.spacing_mm[0] + task.spacing_mm[1]) / 2 } : {};
  return submitting(async () => {
    let tensors;
    try {
      tensors = inputs.map((tensor, i) => [tensor.name, JSON.parse(areas[i].value)]);
    } catch {
      result.replaceChildren(h("p", { className: "bad" }, "A tensor is written as JSON: numbers in brackets, [[1, 2], [3, 4]]."));
      return;
    }
    const body = JSON.stringify({ inputs: Object.fromEntries(tensors) });
    const answer = await exchange.send({ path: `v1/models/${name}/predict`, query: spacing, type: "application/json", body });
    if (answer) result.replaceChildren(h("pre", { tabIndex: 0 }, JSON.stringify(answer.body.outputs).slice(0, 4000)));
  }, h("div", { className: "fields" }, inputs.map((tensor, i) =>
    h("div", {}, labelled(tensor.name, areas[i]), h("small", {}, `${tensor.dtype} [${tensor.shape.join(", ")}] ${tensor.description}`)))));
}

// One row of zeros, or of empty texts, in the shape of the tensor.
function blank({ shape, dtype }, axes) {
  const [size, ...rest] = shape;
  if (size === undefined) return dtype === "string" ? "" : 0;
  const length = size === "batch" ? 1 : (axes[size]?.least ?? size);
  return Array.from({ length }, () => blank({ shape: rest, dtype }, axes));
}
