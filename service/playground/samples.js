import { debounced, h, heading, labelled, options } from "./dom.js";
import { Exchange, get, ofKind } from "./exchange.js";

const STEPS = 16; // from one latent code to the other

export async function samples() {
  const names = await ofKind("sample-generation");
  if (!names.length) return heading("Samples", "No model that draws is served at present.");
  const { task, description } = await get(`v1/models/${names[0]}`);
  const exchange = new Exchange();
  const said = h("p", { className: "said", role: "status" });
  const label = h("select", { onchange: () => ask() }, options(["any", ...task.labels], "any"));
  const seed = h("input", { type: "number", min: 0, step: 1, value: 1, oninput: () => ask() });
  const count = h("input", { type: "number", min: 1, max: 64, step: 1, value: 24, oninput: () => ask() });
  const sheet = h("ul", { className: "sheet" });
  const between = h("img", { className: "pixels", alt: "The sample between the two", hidden: true });
  const walk = h("input", { type: "range", min: 0, max: STEPS, value: 0, oninput: () => step() });
  let codes = [0, 1].map(() => latent(task.latent_size));
  let frames = [];

  const send = (wish) => exchange.send({ path: "v1/samples/generate", query: { model: names[0] }, type: "application/json", body: JSON.stringify(wish) });
  const source = (data) => `data:image/png;base64,${data}`;

  const ask = debounced(async () => {
    const wish = { count: count.valueAsNumber || 1, seed: seed.valueAsNumber || 0 };
    if (label.value !== "any") wish.label = label.value;
    const answer = await send(wish);
    if (!answer) return;
    const { labels } = answer.body;
    said.textContent = `${answer.body.samples.length} samples of seed ${answer.body.seed}.`;
    sheet.replaceChildren(...answer.body.samples.map((one, i) => h("li", {}, h("img", { src: source(one), alt: labels[i] ? `a ${labels[i]}` : `sample ${i + 1}` }))));
  });

  async function interpolate() {
    const latents = Array.from({ length: STEPS + 1 }, (_, i) => codes[0].map((one, axis) => one + ((codes[1][axis] - one) * i) / STEPS));
    const wish = { latents };
    if (task.labels.length) wish.label = label.value === "any" ? task.labels[0] : label.value;
    const answer = await send(wish);
    if (!answer) return;
    frames = answer.body.samples;
    step();
  }

  function step() {
    if (frames.length) Object.assign(between, { src: source(frames[walk.value]), hidden: false });
    else interpolate();
  }

  async function other() {
    codes = [0, 1].map(() => latent(task.latent_size));
    walk.value = 0;
    await interpolate();
  }

  async function animate() {
    if (!frames.length) await interpolate();
    for (let i = 0; i <= STEPS && walk.isConnected; i += 1) {
      walk.value = i;
      step();
      await new Promise((resolve) => setTimeout(resolve, 90));
    }
  }

  ask();
  return [
    ...heading("Samples", description),
    h("div", { className: "row" }, labelled("label", label), labelled("seed", seed), labelled("count", count)),
    exchange.problem, said, sheet,
    h("h3", {}, "From one to another"),
    h("div", { className: "row" }, between, labelled("way", walk),
      h("button", { type: "button", onclick: other }, "Two others"), h("button", { type: "button", onclick: animate }, "Animate")),
    exchange.element,
  ];
}

// Draws of a standard normal (Box and Muller, 1958).
const latent = (size) => Array.from({ length: size }, () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()));
