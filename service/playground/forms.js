// A form for each kind of model, made from its signature.
import { bars, checkbox, debounced, fileInput, h, labelled, options, percent, table } from "./dom.js";
import { plot } from "./plot.js";

const FORMS = {
  "tabular-prediction": rowForm,
  "image-classification": pictureForm,
  "digit-classification": pictureForm,
  "clip-classification": clipForm,
  "image-transformation": transformForm,
  "sample-translation": translateForm,
  "text-classification": textForm,
  "series-forecasting": seriesForm,
  "sales-forecasting": salesForm,
};
const SHOWN = 20; // rows of a table

export const formOf = (model, exchange, result) => (FORMS[model.kind] ?? tensorForm)(model, exchange, result);

const button = (words) => h("div", { className: "row" }, h("button", { className: "first" }, words));

function submitting(work, ...children) {
  return h("form", { onsubmit: (event) => (event.preventDefault(), work()) }, children, button("Ask"));
}

const json = (path, query, body) => ({ path, query, type: "application/json", body: JSON.stringify(body) });

function complain(exchange, result, words) {
  exchange.cancel();
  result.replaceChildren(h("p", { className: "bad" }, words));
}

const whole = (share) => `${Number((100 * share).toFixed(1))} %`;
const short = (value) => Number(value.toPrecision(5)).toLocaleString("en", { maximumSignificantDigits: 5 });

function rowForm({ name, task }, exchange, result) {
  const unknown = (missing) => (missing == null ? [] : [""]);
  const controls = task.attributes.map(({ values, range, missing }) =>
    values.length ? h("select", {}, options([...unknown(missing), ...values], values[0])) : h("input", { type: "number", step: "any", required: missing == null, value: range ? (range[0] + range[1]) / 2 : 0 }));
  const fields = task.attributes.map(({ name: attribute, description, unit }, i) =>
    h("div", {}, labelled(`${attribute} `, controls[i]), h("small", {}, [description, unit].filter(Boolean).join(", "))));
  const form = submitting(async () => {
    const row = Object.fromEntries(task.attributes.map((one, i) => [one.name, one.values.length || controls[i].value === "" ? controls[i].value : controls[i].valueAsNumber]));
    const answer = await exchange.send(json("v1/tables/predict", { model: name }, { rows: [row] }));
    if (answer) result.replaceChildren(...told(answer.body.predictions[0], task));
  }, h("div", { className: "fields" }, fields));
  const file = fileInput("Or many rows, a CSV with a header:", ".csv,text/csv", async ([given]) => {
    const answer = await exchange.send({ path: "v1/tables/predict", query: { model: name }, type: "text/csv", body: given, file: given.name });
    if (answer) result.replaceChildren(tableOf(answer.body.predictions));
  });
  return h("div", {}, form, file);
}

// `several` are labels of one row, `values` numbers by name.
function tableOf(predictions) {
  const cells = ({ label, labels: several, values, probabilities = [] }) =>
    values ? Object.values(values).map(short) : [label ?? (several.join(", ") || "no label"), ...(label ? [percent(Math.max(...probabilities))] : [])];
  const [first] = predictions;
  const head = first.values ? Object.keys(first.values) : first.label ? ["Label", "Probability"] : ["Labels"];
  return h("div", {}, h("p", {}, `${predictions.length} rows${predictions.length > SHOWN ? `, of which the first ${SHOWN}` : ""}.`),
    table(["Row", ...head], predictions.slice(0, SHOWN).map((one, i) => [i + 1, ...cells(one)])));
}

function told({ label, labels: several, probabilities, values, intervals = {} }, { labels, quantities = [], coverage }) {
  const within = (name) => (intervals[name] ? `, with ${whole(coverage)} from ${intervals[name].map(short).join(" to ")}` : "");
  if (values) return Object.entries(values).map(([name, value]) => h("p", { className: "verdict" }, `${name}: ${short(value)} ${quantities.find((one) => one.name === name)?.unit ?? ""}${within(name)}`));
  return [h("p", { className: "verdict" }, label ?? (several.join(", ") || "no label")), bars(labels, probabilities, "Probability of each label")];
}

function pictureForm({ name, kind, task }, exchange, result) {
  const digits = kind === "digit-classification";
  const path = digits ? "v1/digits/classify" : "v1/images/classify";
  return fileInput("Picture", "image/*", async ([file]) => {
    const answer = await exchange.send({ path, query: { model: name }, type: file.type, body: file, file: file.name });
    if (!answer) return;
    const [first] = answer.body.predictions;
    const shown = digits ? told({ ...first, label: String(first.digit) }, { labels: first.probabilities.map((_, i) => i) }) : told(first, task);
    result.replaceChildren(preview(file, "The picture that was sent"), ...shown);
  });
}

function clipForm({ name, task }, exchange, result) {
  return fileInput("Clip: GIF, WebP or APNG", "image/gif,image/webp,image/png,image/apng", async ([file]) => {
    const answer = await exchange.send({ path: "v1/clips/classify", query: { model: name }, type: file.type.replace("apng", "png"), body: file, file: file.name });
    if (answer) result.replaceChildren(preview(file, "The clip that was sent"), ...told(answer.body.predictions[0], task));
  });
}

const preview = (blob, words) => h("figure", {}, h("img", { className: "preview", src: URL.createObjectURL(blob), alt: words }), h("figcaption", {}, words));

function transformForm({ name }, exchange, result) {
  return fileInput("Picture", "image/*", async ([file]) => {
    const answer = await exchange.send({ path: "v1/images/transform", query: { model: name }, type: file.type, accept: "image/png", body: file, file: file.name });
    if (answer) result.replaceChildren(h("div", { className: "why" }, preview(file, "Before"), preview(new Blob([answer.body], { type: "image/png" }), "After")));
  });
}

function translateForm({ name, task }, exchange, result) {
  const to = h("select", {}, options(task.domains.toReversed(), task.domains[1]));
  return h("div", {}, h("div", { className: "row" }, labelled("collection", to)), fileInput("Picture", "image/*", async ([file]) => {
    const answer = await exchange.send({ path: "v1/samples/translate", query: { model: name, to: to.value }, type: file.type, accept: "image/png", body: file, file: file.name });
    if (answer) result.replaceChildren(h("div", { className: "why" }, preview(file, "Before"), preview(new Blob([answer.body], { type: "image/png" }), "After")));
  }));
}

function textForm({ name, graphs, task }, exchange, result) {
  const text = h("textarea", { value: "A warm, funny film that never gets dull.", oninput: debounced(() => ask(), 300) });
  const explains = task.tokeniser || Object.hasOwn(graphs, "explanation");
  const [whyLabel, why] = checkbox("explain", () => ask());
  async function ask() {
    const answer = await exchange.send(json("v1/texts/classify", { model: name, explain: why.checked }, { texts: [text.value] }));
    if (!answer) return;
    const [first] = answer.body.predictions;
    const words = first.words ? [h("p", { className: "read" }, marked(text.value, first.words)), h("p", { className: "said" }, "Marked words weighed most: underlined they spoke for the label, dotted against it.")] : [];
    result.replaceChildren(...told(first, answer.body), ...words);
  }
  return submitting(ask, h("div", { className: "fields one" }, labelled("text", text)), explains ? h("div", { className: "row" }, whyLabel) : null);
}

// Places are told in characters, and some letters are two of JavaScript's.
function marked(text, words) {
  const letters = [...text];
  let end = 0;
  const pieces = words.toSorted((one, other) => one.start - other.start).flatMap((one) => {
    const before = letters.slice(end, one.start).join("");
    end = one.end;
    return [before, h("mark", { className: one.weight < 0 ? "against" : "", title: `weight ${one.weight.toFixed(2)}` }, letters.slice(one.start, one.end).join(""))];
  });
  return [...pieces, letters.slice(end).join("")];
}

const PASSENGERS = "112 118 132 129 121 135 148 148 136 119 104 118 115 126 141 135 125 149 170 170 158 133 114 140 145 150 178 163 172 178 199 199 184 162 146 166";
const numbers = (text) => text.split(/[\s,;]+/).filter(Boolean).map(Number);

function seriesForm({ name, task }, exchange, result) {
  const values = h("textarea", { value: PASSENGERS, spellcheck: false });
  const horizon = h("input", { type: "number", min: 1, max: task.horizon, step: 1, value: Math.min(12, task.horizon) });
  return submitting(async () => {
    const history = numbers(values.value);
    if (!history.length || history.some(Number.isNaN)) return complain(exchange, result, "A series is numbers with spaces, commas or lines between them.");
    const answer = await exchange.send(json("v1/series/forecast", { model: name, horizon: horizon.value }, { series: [history] }));
    if (!answer) return;
    const [forecast] = answer.body.forecasts;
    const head = [task.frequency, "forecast", ...forecast.intervals.map((one) => `${whole(one.level)} lie in`)];
    const rows = forecast.values.map((value, i) => [i + 1, short(value), ...forecast.intervals.map((one) => `${short(one.low[i])} to ${short(one.high[i])}`)]);
    result.replaceChildren(plot(history, forecast), table(head, rows));
  }, h("div", { className: "fields one" }, labelled(`values, one a ${task.frequency}`, values), labelled("how many to forecast", horizon)));
}

const YEARS = [[10, 11, 14, 13, 12, 15, 16, 15, 13, 12, 11, 14], [11, 12, 15, 13, 13, 16, 17, 16, 14, 12, 12, 15], [12, 12, 16, 15, 13, 17, 18, 17, 15, 13, 12, 17]];

function salesForm({ name }, exchange, result) {
  const history = h("textarea", { value: YEARS.map((year) => year.join(" ")).join("\n"), spellcheck: false });
  const months = h("input", { type: "number", min: 0, max: 11, step: 1, value: 4 });
  const [reached, target] = [57, 185].map((value) => h("input", { type: "number", step: "any", required: true, value }));
  return submitting(async () => {
    const years = history.value.trim().split("\n").map(numbers);
    if (years.some((year) => year.length !== 12 || year.some(Number.isNaN))) return complain(exchange, result, "Each line is a year: twelve numbers with spaces between them.");
    const year = { history: years, months: months.valueAsNumber, reached: reached.valueAsNumber, target: target.valueAsNumber };
    const answer = await exchange.send(json("v1/sales/forecast", { model: name, seed: 1 }, { forecasts: [year] }));
    if (!answer) return;
    const found = Object.entries(answer.body.forecasts[0]);
    const shares = Object.keys(found[0][1].quantiles);
    const rows = found.map(([option, one]) => [option, percent(one.probability), ...Object.values(one.quantiles).map(short)]);
    result.replaceChildren(table(["way of drawing", "reaches the target", ...shares.map((share) => `${whole(Number(share))} lie below`)], rows));
  }, h("div", { className: "fields one" }, labelled("earlier years, a line of twelve months each", history)),
  h("div", { className: "fields" }, labelled("months of this year that have passed", months), labelled("what they reached", reached), labelled("target of the year", target)));
}

function tensorForm({ name, inputs, axes, task }, exchange, result) {
  const areas = inputs.map((tensor) => h("textarea", { spellcheck: false, value: JSON.stringify(blank(tensor, axes)) }));
  const spacing = task.spacing_mm ? { spacing_mm: (task.spacing_mm[0] + task.spacing_mm[1]) / 2 } : {};
  return submitting(async () => {
    let tensors;
    try {
      tensors = inputs.map((tensor, i) => [tensor.name, JSON.parse(areas[i].value)]);
    } catch {
      return complain(exchange, result, "A tensor is written as JSON: numbers in brackets, [[1, 2], [3, 4]].");
    }
    const answer = await exchange.send(json(`v1/models/${name}/predict`, spacing, { inputs: Object.fromEntries(tensors) }));
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
