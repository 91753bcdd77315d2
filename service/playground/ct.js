import { checkbox, debounced, fileInput, h, heading, labelled, options, save } from "./dom.js";
import { Exchange, get, ofKind } from "./exchange.js";

const TYPES = { npy: "application/x-npy", zip: "application/zip" };
const DICOM = "application/dicom";
const WINDOWS = { lung: [-600, 1500], "soft-tissue": [40, 400], bone: [400, 1800], brain: [40, 80] };
const [ALONG, ACROSS] = [4, 4]; // HU that a pixel of dragging moves the width and the centre

export async function ct(chosen) {
  const names = await ofKind("ct-denoising");
  if (!names.length) return heading("CT", "No model for CT is served at present.");
  const name = names.includes(chosen) ? chosen : names[0];
  const { task } = await get(`v1/models/${name}`);
  const exchange = new Exchange();
  const again = debounced(() => ask());
  const model = h("select", { onchange: () => (location.hash = `#ct/${model.value}`) }, options(names, name));
  const spacing = h("input", { type: "number", min: 0.1, max: 5, step: "any", placeholder: "the file's", oninput: again });
  const strength = h("input", { type: "range", min: 0, max: 1, step: 0.05, value: 1, oninput: again });
  const preset = h("select", { onchange: () => choose() }, options(["of the model", ...Object.keys(WINDOWS), "own"], "of the model"));
  const centre = h("input", { type: "number", step: 10, oninput: () => own() });
  const width = h("input", { type: "number", step: 10, min: 1, oninput: () => own() });
  const zoom = h("input", { type: "range", min: 1, max: 4, step: 0.25, value: 1, oninput: () => (shown.style.width = `${100 * zoom.value}%`) });
  const [differenceLabel, difference] = checkbox("difference", again);
  const [anonymousLabel, anonymous] = checkbox("without the patient's data", () => {});
  const turn = h("input", { type: "range", min: 1, max: 1, value: 1, oninput: again });
  const shown = h("canvas", { width: 1, height: 1, className: "window" });
  shown.setAttribute("role", "img");
  const split = h("input", { type: "range", min: 0, max: 100, value: 50, oninput: () => draw() });
  const said = h("p", { className: "verdict below", role: "status" }, "Choose a slice.");
  const noise = h("p", { className: "noise" });
  const download = h("button", { type: "button", className: "first", onclick: () => fetchAll() }, "Download as DICOM");
  const slider = labelled("before and after", split);
  const which = labelled("slice", turn);
  const panel = h("div", { hidden: true },
    h("div", { className: "stage wide", tabIndex: 0, role: "group", ariaLabel: "The slice, which scrolls when it is enlarged" }, shown), h("div", { className: "row spread" }, slider, which));
  let files = [];
  let type, picture;
  choose();

  function choose() {
    const [middle, wide] = WINDOWS[preset.value] ?? (preset.value === "own" ? [centre.valueAsNumber, width.valueAsNumber] : [(task.window[0] + task.window[1]) / 2, task.window[1] - task.window[0]]);
    [centre.value, width.value] = [middle, wide];
    if (files.length) again();
  }

  function own() {
    preset.value = "own";
    if (files.length && centre.value && width.valueAsNumber > 0) again();
  }

  function query() {
    const spaced = spacing.value ? { spacing_mm: spacing.value } : {};
    return { ...(chosen ? { model: name } : {}), ...spaced, ...(strength.value === "1" ? {} : { strength: strength.value }) };
  }

  function window_() {
    if (preset.value === "of the model") return {};
    return { window: preset.value === "own" ? `${centre.value}/${width.value}` : preset.value };
  }

  function take(given) {
    files = given;
    type = TYPES[files[0].name.split(".").at(-1).toLowerCase()] ?? DICOM;
    Object.assign(turn, { max: files.length, value: 1 });
    which.hidden = files.length === 1;
    panel.hidden = true;
    picture = null;
    said.textContent = "Working.";
    download.hidden = anonymousLabel.hidden = type === TYPES.npy;
    if (type === TYPES.zip) said.textContent = "A series: download it.";
    else ask();
  }

  async function ask() {
    if (!files.length || type === TYPES.zip) return;
    const file = files[turn.value - 1];
    const view = difference.checked ? "difference" : "compare";
    const answer = await exchange.send({ path: "v1/ct/denoise", query: { ...query(), ...window_(), view }, type, accept: "image/png", body: file, file: file.name });
    if (!answer) {
      if (exchange.problem.hidden === false) said.textContent = noise.textContent = "";
      return;
    }
    picture = await createImageBitmap(new Blob([answer.body], { type: "image/png" }));
    const compared = view === "compare";
    said.textContent = compared ? "Before to the left, after to the right." : "After minus before: grey where nothing was changed.";
    shown.setAttribute("aria-label", compared ? "The slice, noisy to the left of the line and denoised to its right" : "What was changed of the slice");
    noise.textContent = measured(answer.headers);
    slider.hidden = !compared;
    panel.hidden = false;
    draw();
  }

  function draw() {
    const compared = !slider.hidden;
    const high = picture.height;
    const wide = picture.width / (compared ? 2 : 1);
    Object.assign(shown, { width: wide, height: high });
    const paper = shown.getContext("2d");
    paper.drawImage(picture, compared ? wide : 0, 0, wide, high, 0, 0, wide, high);
    if (!compared) return;
    const at = Math.round((wide * split.valueAsNumber) / 100);
    if (at) paper.drawImage(picture, 0, 0, at, high, 0, 0, at, high);
    paper.fillStyle = "#ffb000";
    paper.fillRect(Math.min(at, wide - 1), 0, Math.max(1, wide / 400), high);
  }

  async function fetchAll() {
    if (!files.length) return;
    const several = files.length > 1 || type === TYPES.zip;
    const wanted = several ? "application/zip" : DICOM;
    const sent = files.length > 1 ? { form: { name: "dicom", files } } : { type, body: files[0], file: files[0].name };
    const answer = await exchange.keep({ path: "v1/ct/denoise", query: { ...query(), deidentify: anonymous.checked }, accept: wanted, ...sent });
    if (answer) save(new Blob([answer.body], { type: wanted }), several ? "denoised.zip" : "denoised.dcm");
  }

  // To the right the window grows wider, downwards its middle rises and the slice darkens, as in viewers.
  let last = null;
  shown.addEventListener("pointerdown", (event) => {
    shown.setPointerCapture(event.pointerId);
    last = event;
  });
  shown.addEventListener("pointermove", (event) => {
    if (!last) return;
    width.value = Math.max(1, Math.round(width.valueAsNumber + ALONG * (event.clientX - last.clientX)));
    centre.value = Math.round(centre.valueAsNumber + ACROSS * (event.clientY - last.clientY));
    last = event;
    own();
  });
  for (const end of ["pointerup", "pointercancel"]) shown.addEventListener(end, () => (last = null));

  download.hidden = anonymousLabel.hidden = true;
  return [
    ...heading("CT", "A noisy slice in DICOM, or an array of Hounsfield units, comes back with less noise. No medical device."),
    fileInput("Slices, .dcm, .zip or .npy:", ".dcm,.ima,.npy,.zip,application/dicom", take, undefined, true),
    said, noise, exchange.problem,
    h("div", { className: "columns side" }, panel,
      h("div", { className: "card controls" }, labelled("window", preset),
        h("div", { className: "row" }, labelled("centre", centre), labelled("width", width)),
        h("small", {}, "In Hounsfield units. Dragging over the slice changes both."),
        labelled("strength", strength), labelled("zoom", zoom), differenceLabel, labelled("size of a pixel, mm", spacing),
        names.length > 1 ? labelled("model", model) : null, anonymousLabel, download)),
    exchange.element,
  ];
}

function measured(headers) {
  const hu = (name) => headers.get(name) && Number(headers.get(name)).toFixed(1);
  const [before, after, change] = ["x-noise-before-hu", "x-noise-after-hu", "x-change-hu"].map(hu);
  const found = before && after ? `Noise found: ${before} HU before, ${after} HU after.` : "";
  const warned = headers.get("warning")?.replaceAll(/299 \S+ /g, "") ?? "";
  return [found, change ? `Changed by ${change} HU.` : "", warned].filter(Boolean).join(" ");
}
