import { h, heading, table } from "./dom.js";
import { Exchange, get, models as list, picture } from "./exchange.js";
import { formOf } from "./forms.js";
import { markdown } from "./markdown.js";

// Kinds that have a view of their own, which takes the name of a model.
const VIEWS = { "credit-scoring": "credit", "ct-denoising": "ct", "digit-classification": "digits", "sample-generation": "samples" };

export async function models(name) {
  return name ? one(await get(`v1/models/${encodeURIComponent(name)}`)) : all(await list());
}

function all(known) {
  const rows = known.map((one) => [h("a", { href: `#models/${one.name}` }, one.name), one.description, one.default ? `${one.kind}, by default` : one.kind, one.version]);
  const shown = table(["Model", "What it does", "Kind", "Version"], rows);
  shown.classList.add("models");
  return [...heading("Models", "All models that are served. Each has a form to ask it, and its card. One of a kind answers by default, where a request names none."), shown];
}

function one(model) {
  const result = h("div", { className: "result", role: "status" });
  const exchange = new Exchange(result);
  const view = VIEWS[model.kind];
  return [
    ...heading(model.name, model.description),
    h("p", {}, h("a", { href: "#models" }, "All models"), ...(view ? [" · ", h("a", { href: `#${view}/${model.name}` }, "Ask it in a view of its own")] : [])),
    h("div", { className: "card" }, formOf(model, exchange, result), exchange.problem, result),
    exchange.element,
    h("h3", {}, "Signature"),
    table(["Tensor", "Type", "Shape", "What it is"], [...model.inputs.map((each) => signature("in", each)), ...model.outputs.map((each) => signature("out", each))]),
    h("h3", {}, "Drift"),
    drift(model.name),
    h("h3", {}, "Card"),
    h("article", { className: "card" }, markdown(model.card.replace(/^# .*\n/, ""), (file) => picture(`v1/models/${model.name}/card/${file}`))),
  ];
}

const signature = (way, { name, dtype, shape, description, unit }) => [`${way}: ${name}`, dtype, `[${shape.join(", ")}]`, [description, unit].filter(Boolean).join(", ")];

// How far what the model is asked lately is from its training data.
function drift(name) {
  const shown = h("div", { role: "status" });
  const figure = (value) => (value === null ? "too few" : String(Number(value.toPrecision(2))));
  async function look() {
    const { features } = await get(`v1/models/${name}/drift`);
    const rows = features.map((each) => [each.feature, each.rows, ...[each.psi, each.expected_psi, each.p_value].map(figure)]);
    shown.replaceChildren(rows.length ? table(["Feature", "Rows lately", "PSI", "PSI by chance", "p-value"], rows) : h("p", {}, "Nothing of this model is watched."));
  }
  return h("div", {}, h("button", { type: "button", onclick: look }, "Compare lately with training"), shown);
}
