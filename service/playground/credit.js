import { debounced, fileInput, h, heading, labelled, options, percent, save, table } from "./dom.js";
import { Exchange, get, ofKind } from "./exchange.js";
import { waterfall } from "./waterfall.js";

const WORDS = { approve: "Approve", decline: "Decline", refer: "A person decides" };
const SHOWN = 20; // rows of a scored table

export async function credit(chosen) {
  const names = await ofKind("credit-scoring");
  if (!names.length) return heading("Credit", "No model for credit is served at present.");
  const called = names.includes(chosen) ? chosen : names[0];
  const [document_, model] = await Promise.all([get("openapi.json"), get(`v1/models/${called}`)]);
  const explain = Object.hasOwn(model.graphs, "explanation");
  const other = h("select", { onchange: () => (location.hash = `#credit/${other.value}`) }, options(names, called));
  const { properties } = document_.components.schemas.ScoreRequest.properties.applicants.items;
  const codes = new Map(model.task.attributes.map((one) => [one.name, one.codes]));
  const drawn = new Map(model.reference.map((one) => [one.feature, one]));
  const seen = new Map(model.task.attributes.map((one) => [one.name, one.seen]));
  const exchange = new Exchange();
  const query = chosen ? { model: called } : {};
  const verdict = h("p", { className: "verdict", role: "status" });
  const why = h("div");
  const scores = h("div");
  const ask = debounced(async () => {
    const applicant = Object.fromEntries(fields.map((one) => [one.name, one.value()]));
    const body = JSON.stringify({ applicants: [applicant] });
    const answer = await exchange.send({ path: "v1/credit/score", query: { ...query, explain }, type: "application/json", body });
    if (answer) show(answer.body.predictions[0]);
  });
  const fields = Object.entries(properties).map(([name, schema]) => {
    const known = schema.enum?.filter((value) => !codes.get(name)?.includes(value));
    return known ? choice(name, schema, known, ask) : number(name, schema, drawn.get(name), seen.get(name), ask);
  });

  function show(prediction) {
    const within = prediction.interval ? `, between ${prediction.interval.map(percent).join(" and ")}` : "";
    verdict.textContent = `${WORDS[prediction.decision]}: ${percent(prediction.default_probability)} probability of default${within}`;
    verdict.className = `verdict ${prediction.decision === "approve" ? "good" : "bad"}`;
    why.replaceChildren(...(prediction.reasons ? waterfall(prediction, model.task) : [h("p", { className: "said" }, "This model gives no reasons.")]));
  }

  function random() {
    for (const one of fields) one.draw();
    ask();
  }

  async function many([file]) {
    const text = await file.text();
    const answer = await exchange.keep({ path: "v1/credit/score", query, type: "text/csv", body: file, file: file.name });
    scores.replaceChildren();
    if (!answer) return;
    const { predictions } = answer.body;
    const declined = predictions.filter((one) => one.decision === "decline").length;
    const given = () => save(new Blob([scored(text, predictions)], { type: "text/csv" }), file.name.replace(/(\.csv)?$/i, "-scored.csv"));
    const rows = predictions.slice(0, SHOWN).map((one, i) => [i + 1, percent(one.default_probability), WORDS[one.decision]]);
    scores.append(
      h("p", { role: "status" }, `${predictions.length} applicants, ${declined} declined.`),
      h("button", { type: "button", className: "first", onclick: given }, "Save the CSV with scores"),
      table(["Row", "Probability of default", "Decision"], rows),
    );
  }

  random();
  return [
    ...heading("Credit", `${model.description} The answer follows each change.`),
    h("div", { className: "verdict-bar" }, verdict),
    exchange.problem,
    h("div", { className: "row" }, h("button", { type: "button", className: "first", onclick: random }, "Random applicant"), labelled("model", other)),
    h("div", { className: "columns" }, h("div", { className: "card reasons" }, h("h3", {}, "Reasons"), why), h("div", { className: "fields" }, fields.map((one) => one.element))),
    h("h3", {}, "Many applicants"),
    fileInput("A CSV with a header gives one back with scores:", ".csv,text/csv", many),
    scores,
    exchange.element,
  ];
}

const title = (name) => name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");

function framed(name, { description }, control, shown = control) {
  const hint = h("small", { id: `hint-${name}` }, description);
  control.id = `field-${name}`;
  control.setAttribute("aria-describedby", hint.id);
  return h("div", {}, h("label", { htmlFor: control.id }, title(name)), shown, hint);
}

function choice(name, schema, known, changed) {
  const control = h("select", { onchange: changed }, options(known, known[0]));
  const draw = () => (control.selectedIndex = Math.floor(Math.random() * known.length));
  return { name, element: framed(name, schema, control), value: () => control.value, draw };
}

// A slider goes as far as the data that the model has learned from; the field as far as the model allows.
function number(name, schema, reference, seen, changed) {
  const [least, most] = seen ?? [schema.minimum, schema.maximum];
  const { edges: reached, counts } = reference ?? { edges: [least, most], counts: [1] };
  const edges = reached.map((edge) => Math.min(most, Math.max(least, edge)));
  const range = h("input", { type: "range", min: Math.max(schema.minimum, Math.floor(edges[0])), max: Math.min(schema.maximum, Math.ceil(edges.at(-1))), step: 1, tabIndex: -1, ariaHidden: "true" });
  const control = h("input", { type: "number", min: schema.minimum, max: schema.maximum, step: "any" });
  range.addEventListener("input", () => ((control.value = range.value), changed()));
  control.addEventListener("input", () => ((range.value = control.value), changed()));
  const draw = () => {
    let left = Math.random() * counts.reduce((sum, one) => sum + one, 0);
    const bin = Math.max(0, counts.findIndex((one) => (left -= one) < 0));
    const drawn = Math.round(edges[bin] + Math.random() * (edges[bin + 1] - edges[bin]));
    control.value = range.value = Math.min(schema.maximum, Math.max(schema.minimum, drawn));
  };
  return { name, element: framed(name, schema, control, h("div", { className: "pair" }, control, range)), value: () => (control.value === "" ? "" : control.valueAsNumber), draw };
}

// The lines of a CSV, whose quotes may hold line ends, each with its score behind it.
function scored(text, predictions) {
  const [header, ...rows] = text.match(/(?:"[^"]*"|[^"\r\n])+/g);
  const separator = [",", ";", "\t", "|"].sort((one, other) => header.split(other).length - header.split(one).length)[0];
  const lines = rows.slice(0, predictions.length).map((row, i) => [row, predictions[i].default_probability, predictions[i].decision].join(separator));
  return `${[header, "default_probability", "decision"].join(separator)}\n${lines.join("\n")}\n`;
}
