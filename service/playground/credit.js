import { debounced, fileInput, h, heading, options, percent, save } from "./dom.js";
import { Exchange, get, ofKind } from "./exchange.js";

export async function credit() {
  const names = await ofKind("credit-scoring");
  if (!names.length) return heading("Credit", "No model for credit is served at present.");
  const [document_, model] = await Promise.all([get("openapi.json"), get(`v1/models/${names[0]}`)]);
  const { properties } = document_.components.schemas.ScoreRequest.properties.applicants.items;
  const codes = new Map(model.task.attributes.map((one) => [one.name, one.codes]));
  const drawn = new Map(model.reference.map((one) => [one.feature, one]));
  const exchange = new Exchange();
  const verdict = h("p", { className: "verdict", role: "status" });
  const ask = debounced(async () => {
    const applicant = Object.fromEntries(fields.map((one) => [one.name, one.value()]));
    const body = JSON.stringify({ applicants: [applicant] });
    const answer = await exchange.send({ path: "v1/credit/score", type: "application/json", body });
    if (answer) show(answer.body.predictions[0]);
  });
  const fields = Object.entries(properties).map(([name, schema]) => {
    const known = schema.enum?.filter((value) => !codes.get(name)?.includes(value));
    return known ? choice(name, schema, known, ask) : number(name, schema, drawn.get(name), ask);
  });

  function show({ default_probability: probability, decision }) {
    verdict.textContent = `${decision === "approve" ? "Approve" : "Decline"}: ${percent(probability)} probability of default`;
    verdict.className = `verdict ${decision === "approve" ? "good" : "bad"}`;
  }

  function random() {
    for (const one of fields) one.draw();
    ask();
  }

  async function table([file]) {
    const text = await file.text();
    const answer = await exchange.send({ path: "v1/credit/score", type: "text/csv", body: file, file: file.name });
    if (!answer) return;
    save(new Blob([scored(text, answer.body.predictions)], { type: "text/csv" }), file.name.replace(/(\.csv)?$/i, "-scored.csv"));
    const declined = answer.body.predictions.filter((one) => one.decision === "decline").length;
    verdict.className = "verdict";
    verdict.textContent = `${answer.body.predictions.length} applicants, ${declined} declined: saved with their scores.`;
  }

  random();
  return [
    ...heading("Credit", `${model.description} The answer follows each change.`),
    h("div", { className: "card" }, verdict, exchange.problem,
      h("div", { className: "row" }, h("button", { type: "button", className: "first", onclick: random }, "Random applicant")),
      h("div", { className: "fields" }, fields.map((one) => one.element))),
    h("h3", {}, "Many applicants"),
    fileInput("A CSV with a header gives one back with scores:", ".csv,text/csv", table),
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
function number(name, schema, reference, changed) {
  const { edges = [schema.minimum, schema.maximum], counts = [1] } = reference ?? {};
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
