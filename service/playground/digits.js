import { bars, checkbox, debounced, fileInput, h, heading, labelled, options, percent } from "./dom.js";
import { Exchange, ofKind } from "./exchange.js";

const TALL = 320;
const REASONS = { "no-ink": "Nothing is drawn", "unlike-a-digit": "Not a digit" };
const STEP = 8; // of the pen that arrow keys move, in pixels

export async function digits(chosen) {
  const exchange = new Exchange();
  const names = await ofKind("digit-classification");
  const model = h("select", { onchange: () => ask() }, options(names, names.includes(chosen) ? chosen : names[0]));
  const [manyLabel, many] = checkbox("several digits", () => (picture ? ask() : resize()));
  const [whyLabel, why] = checkbox("explain", () => ask());
  const width = h("input", { type: "range", min: 6, max: 40, value: 22 });
  const canvas = h("canvas", { className: "pen", width: TALL, height: TALL, tabIndex: 0 });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Paper to draw on: arrow keys move the pen, with Shift they draw");
  const image = h("img", { alt: "The picture that was chosen", hidden: true });
  const marks = h("div");
  const stage = h("div", { className: "stage" }, canvas, image, marks);
  const verdict = h("p", { className: "verdict", role: "status" }, "Draw a digit.");
  const result = h("div");
  const paper = canvas.getContext("2d");
  let picture = null;
  let last = null;
  let at = [TALL / 2, TALL / 2];

  function clear() {
    exchange.cancel();
    picture = last = null;
    image.hidden = true;
    canvas.hidden = false;
    paper.fillStyle = "#fff";
    paper.fillRect(0, 0, canvas.width, canvas.height);
    marks.replaceChildren();
    result.replaceChildren();
    verdict.textContent = many.checked ? "Draw digits side by side." : "Draw a digit.";
  }

  function resize() {
    canvas.width = many.checked ? 2 * TALL : TALL;
    clear();
  }

  function stroke(from, to) {
    Object.assign(paper, { lineWidth: width.valueAsNumber, lineCap: "round", lineJoin: "round", strokeStyle: "#000" });
    paper.beginPath();
    paper.moveTo(...from);
    paper.lineTo(...to);
    paper.stroke();
    drawn();
  }

  const place = (event) => [(event.offsetX * canvas.width) / canvas.clientWidth, (event.offsetY * canvas.height) / canvas.clientHeight];
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    stroke(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const one of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
      const next = place(one);
      stroke(last, next);
      last = next;
    }
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));
  canvas.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const next = [Math.min(canvas.width, Math.max(0, at[0] + STEP * way[0])), Math.min(TALL, Math.max(0, at[1] + STEP * way[1]))];
    if (event.shiftKey) stroke(at, next);
    at = next;
  });

  const drawn = debounced(() => canvas.toBlob((blob) => canvas.isConnected && send(blob, "drawing.png", "image/png")));
  const ask = () => (picture ? send(picture, picture.name, picture.type) : drawn());

  function take([file]) {
    clear();
    picture = file;
    image.src = URL.createObjectURL(file);
    image.hidden = false;
    canvas.hidden = true;
    ask();
  }

  async function send(body, file, type) {
    const query = { model: model.value, many: many.checked, explain: why.checked };
    const answer = await exchange.send({ path: "v1/digits/classify", query, type: type || "image/png", body, file });
    if (answer) show(answer.body.predictions);
  }

  function show(predictions) {
    const wide = image.hidden ? canvas.width : image.naturalWidth;
    const high = image.hidden ? canvas.height : image.naturalHeight;
    const boxed = predictions.filter((one) => one.box);
    marks.replaceChildren(...boxed.map((one) => mark(one, wide, high)));
    if (many.checked) {
      verdict.textContent = predictions.length ? `Read: ${predictions.map(word).join(" ")}` : "Nothing is drawn.";
      result.replaceChildren(h("ol", { className: "several" }, predictions.map((one) => h("li", {}, h("b", {}, word(one)), ` ${percent(one.confidence)}`, pictures(one)))));
      return;
    }
    const [only] = predictions;
    if (!only) return;
    verdict.textContent = only.accepted ? `${only.digit}, ${percent(only.confidence)} sure` : `${REASONS[only.reason] ?? "Not a digit"}.`;
    verdict.classList.toggle("bad", !only.accepted);
    const nearest = only.reason === "unlike-a-digit" ? [h("p", { className: "said" }, `If it were one, it would be ${only.digit}:`)] : [];
    const table = only.reason === "no-ink" ? [] : [bars([...only.probabilities.keys()], only.probabilities, "Probability of each digit"), pictures(only)];
    result.replaceChildren(...nearest, ...table);
  }

  const word = (one) => (one.accepted ? String(one.digit) : "?");

  function mark({ box: [left, top, across, down], ...one }, wide, high) {
    const element = h("div", { className: "box" }, h("span", {}, word(one)));
    const share = { left: left / wide, top: top / high, width: across / wide, height: down / high };
    for (const [side, value] of Object.entries(share)) element.style[side] = `${100 * value}%`;
    return element;
  }

  function pictures({ seen, heat_map }) {
    const figure = (data, words) => data && h("figure", {}, h("img", { className: "pixels", src: `data:image/png;base64,${data}`, alt: words }), h("figcaption", {}, words));
    return h("div", { className: "why" }, figure(seen, "What the model saw"), figure(heat_map, "What speaks for it"));
  }

  clear();
  return [
    ...heading("Digits", "Draw with a mouse, a pen or a finger; or choose, drop, paste or photograph a picture. The answer follows."),
    h("div", { className: "columns" },
      h("div", {}, stage,
        h("div", { className: "row" }, h("button", { type: "button", onclick: clear }, "Clear"), labelled("pen", width), manyLabel, whyLabel),
        h("div", { className: "row" }, labelled("model", model)),
        fileInput("Picture", "image/*", take, stage)),
      h("div", { className: "card" }, verdict, exchange.problem, result)),
    exchange.element,
  ];
}
