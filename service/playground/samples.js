import { debounced, h, heading, labelled, options, save } from "./dom.js";
import { Exchange, get, ofKind } from "./exchange.js";

const STEPS = 17; // from one sample to the other
const SIDE = 9; // of the grid
const FORMS = { "sheet, PNG": "image/png", "animation, WebP": "image/webp", "pictures, zip": "application/zip", "array, npy": "application/x-npy" };

export async function samples(chosen) {
  const names = await ofKind("sample-generation");
  if (!names.length) return heading("Samples", "No model that draws is served at present.");
  const name = names.includes(chosen) ? chosen : names[0];
  const { task, description } = await get(`v1/models/${name}`);
  const exchange = new Exchange();
  const request = (wish, accept = "application/json") => ({ path: "v1/samples/generate", query: { model: name }, type: "application/json", accept, body: JSON.stringify(wish) });
  const send = (wish) => exchange.send(request(wish));
  const keep = (wish) => exchange.keep(request(wish));
  const model = h("select", { onchange: () => (location.hash = `#samples/${model.value}`) }, options(names, name));
  const label = h("select", { onchange: () => (ask(), parts.forEach((one) => one.renew())) }, options(["any", ...task.labels], "any"));
  const labels = () => (label.value === "any" ? {} : { label: label.value });
  const seed = h("input", { type: "number", min: 0, step: 1, value: 1, oninput: () => ask() });
  const count = h("input", { type: "number", min: 1, max: 64, step: 1, value: 24, oninput: () => ask() });
  const truncation = h("input", { type: "range", min: 0.1, max: 1, step: 0.1, value: 1, oninput: () => ask() });
  const form = h("select", {}, options(Object.keys(FORMS), "sheet, PNG"));
  const said = h("p", { className: "said", role: "status" });
  const sheet = h("ul", { className: "sheet" });
  const [translator] = await ofKind("sample-translation");
  const translated = translator ? [translation(await get(`v1/models/${translator}`), sheet, exchange)] : [];
  const parts = [
    way(task, labels, keep),
    ...(task.latent_size === 2 ? [plane(task, labels, send, keep)] : []),
    ...translated,
  ];

  function wish() {
    const drawn = { count: count.valueAsNumber || 1, seed: seed.valueAsNumber || 0, ...labels() };
    return truncation.value === "1" ? drawn : { ...drawn, truncation: truncation.valueAsNumber };
  }

  const ask = debounced(async () => {
    const answer = await send(wish());
    if (!answer) return;
    const { labels: known, samples: drawn } = answer.body;
    said.textContent = `${drawn.length} samples of seed ${answer.body.seed}.`;
    sheet.replaceChildren(...drawn.map((one, i) => h("li", {}, h("img", { src: source(one), alt: known[i] ? `a ${known[i]}` : `sample ${i + 1}` }))));
    translated.forEach((one) => one.renew());
  });

  async function download() {
    const type = FORMS[form.value];
    const answer = await exchange.keep(request(wish(), type));
    if (answer) save(new Blob([answer.body], { type }), `samples.${type.split(/[/-]/).at(-1)}`);
  }

  ask();
  return [
    ...heading("Samples", description),
    h("div", { className: "row" }, names.length > 1 ? labelled("model", model) : null, task.labels.length ? labelled("label", label) : null,
      labelled("seed", seed), labelled("count", count), labelled("truncation", truncation)),
    exchange.problem, said, sheet,
    h("div", { className: "row" }, labelled("form", form), h("button", { type: "button", onclick: download }, "Download")),
    ...parts.flatMap((one) => one.elements),
    exchange.element,
  ];
}

const source = (data) => `data:image/png;base64,${data}`;
const random = () => crypto.getRandomValues(new Uint32Array(1))[0] % 1000;

// From the sample of one seed to that of another.
function way(task, labels, keep) {
  const between = h("img", { className: "pixels", alt: "The sample between the two", hidden: true });
  const walk = h("input", { type: "range", min: 0, max: STEPS - 1, value: 0, oninput: () => step() });
  const ends = [1, 2].map((value) => h("input", { type: "number", min: 0, step: 1, value, oninput: () => renew() }));
  let frames = [];

  async function fetch() {
    const steady = task.labels.length ? { label: task.labels[0], ...labels() } : {};
    const answer = await keep({ interpolate: ends.map((one) => one.valueAsNumber || 0), count: STEPS, ...steady });
    if (answer) frames = answer.body.samples;
  }

  async function step() {
    if (!frames.length) await fetch();
    if (frames.length) Object.assign(between, { src: source(frames[walk.value]), hidden: false });
  }

  function renew() {
    frames = [];
    between.hidden = true;
    walk.value = 0;
  }

  function others() {
    for (const one of ends) one.value = random();
    renew();
    return step();
  }

  async function animate() {
    for (let i = 0; i < STEPS && walk.isConnected; i += 1) {
      walk.value = i;
      await step();
      await new Promise((resolve) => setTimeout(resolve, 90));
    }
  }

  const elements = [
    h("h3", {}, "From one to another"),
    h("div", { className: "row" }, between, labelled("from seed", ends[0]), labelled("to seed", ends[1]), labelled("way", walk),
      h("button", { type: "button", onclick: others }, "Two others"), h("button", { type: "button", onclick: animate }, "Animate")),
  ];
  return { elements, renew };
}

// All that a code of two numbers can be, and one sample of it.
function plane(task, labels, send, keep) {
  const steady = () => (task.labels.length ? { label: task.labels[0], ...labels() } : {});
  const grid = h("ul", { className: "sheet grid" });
  grid.style.gridTemplateColumns = `repeat(${SIDE}, 1fr)`;
  const one = h("img", { className: "pixels", alt: "The sample of this code", hidden: true });
  const axes = [0, 1].map(() => h("input", { type: "range", min: -3, max: 3, step: 0.1, value: 0, oninput: () => move() }));

  async function draw() {
    const answer = await keep({ grid: SIDE, ...steady() });
    if (answer) grid.replaceChildren(...answer.body.samples.map((data, i) => h("li", {}, h("img", { src: source(data), alt: `row ${Math.floor(i / SIDE) + 1}, column ${(i % SIDE) + 1}` }))));
  }

  const move = debounced(async () => {
    const answer = await send({ latents: [axes.map((axis) => axis.valueAsNumber)], ...steady() });
    if (answer) Object.assign(one, { src: source(answer.body.samples[0]), hidden: false });
  }, 40);

  const elements = [
    h("h3", {}, "The grid of its codes"),
    h("div", { className: "row" }, h("button", { type: "button", onclick: draw }, "Draw the grid"), labelled("first number", axes[0]), labelled("second number", axes[1]), one),
    grid,
  ];
  return { elements, renew: () => (grid.replaceChildren(), (one.hidden = true)) };
}

// The samples of the sheet, made to look like those of another collection.
function translation({ name, task, description }, sheet, exchange) {
  const to = h("select", {}, options(task.domains.toReversed(), task.domains[1]));
  const made = h("ul", { className: "sheet" });

  async function translate() {
    const images = [...sheet.querySelectorAll("img")].map((one) => one.src.split(",")[1]);
    const answer = await exchange.keep({ path: "v1/samples/translate", query: { model: name, to: to.value }, type: "application/json", accept: "application/json", body: JSON.stringify({ images }) });
    if (answer) made.replaceChildren(...answer.body.translations.map((data, i) => h("li", {}, h("img", { src: source(data), alt: `sample ${i + 1}, translated` }))));
  }

  const elements = [
    h("h3", {}, "As another collection has them"),
    h("p", {}, description),
    h("div", { className: "row" }, labelled("collection", to), h("button", { type: "button", onclick: translate }, "Translate the samples")),
    made,
  ];
  return { elements, renew: () => made.replaceChildren() };
}
