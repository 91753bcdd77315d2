import { fileInput, h, heading, labelled, save } from "./dom.js";
import { Exchange, ofKind } from "./exchange.js";

const NPY = "application/x-npy";
const DICOM = "application/dicom";

export async function ct() {
  const names = await ofKind("ct-denoising");
  if (!names.length) return heading("CT", "No model for CT is served at present.");
  const exchange = new Exchange();
  const spacing = h("input", { type: "number", min: 0.1, max: 5, step: "any", placeholder: "of arrays" });
  const shown = h("canvas", { width: 1, height: 1 });
  shown.setAttribute("role", "img");
  shown.setAttribute("aria-label", "The slice, noisy to the left of the slider and denoised to its right");
  const split = h("input", { type: "range", className: "slider", min: 0, max: 100, value: 50, ariaLabel: "Before and after", oninput: () => draw() });
  const said = h("p", { className: "verdict", role: "status" }, "Choose a slice.");
  const download = h("button", { type: "button", className: "first", hidden: true, onclick: () => fetchDicom() }, "Download as DICOM");
  const stage = h("div", { className: "stage", hidden: true }, shown);
  const slider = h("div", { hidden: true }, split);
  let file, type, before, after;

  const request = (accept) => ({ path: "v1/ct/denoise", query: type === NPY ? { spacing_mm: spacing.value } : {}, type, accept, body: file, file: file.name });

  async function take([given]) {
    file = given;
    type = file.name.endsWith(".npy") ? NPY : DICOM;
    download.hidden = stage.hidden = slider.hidden = true;
    said.textContent = "Working.";
    before = null;
    const answer = await exchange.send(request("image/png"));
    if (!answer) {
      said.textContent = "";
      return;
    }
    after = await createImageBitmap(new Blob([answer.body], { type: "image/png" }));
    before = type === NPY ? greyOf(await file.arrayBuffer()) : null;
    said.textContent = before ? "Before to the left, after to the right." : "Denoised.";
    stage.hidden = false;
    slider.hidden = !before;
    download.hidden = type !== DICOM;
    draw();
  }

  function draw() {
    const { width, height } = after;
    Object.assign(shown, { width, height });
    const paper = shown.getContext("2d");
    paper.drawImage(after, 0, 0);
    if (!before) return;
    const at = Math.round((width * split.valueAsNumber) / 100);
    paper.putImageData(before, 0, 0, 0, 0, at, height);
    paper.fillStyle = "#ffb000";
    paper.fillRect(at - 1, 0, 2, height);
  }

  async function fetchDicom() {
    const answer = await exchange.send(request(DICOM));
    if (answer) save(new Blob([answer.body], { type: DICOM }), "denoised.dcm");
  }

  return [
    ...heading("CT", "A noisy slice in DICOM, or an array of Hounsfield units, comes back with less noise. No medical device."),
    fileInput("Slice, .dcm or .npy:", ".dcm,.npy,application/dicom", take),
    h("div", { className: "row" }, labelled("size of a pixel, mm", spacing), download),
    said, exchange.problem, stage, slider, exchange.element,
  ];
}

const READERS = { "<f4": Float32Array, "<f8": Float64Array, "<i2": Int16Array, "<u2": Uint16Array, "<i4": Int32Array };
const [LOW, HIGH] = [-1000, 400]; // HU, the window of the service's own preview

// An array [H, W] or [1, H, W] as a picture; null where the page cannot read its type.
function greyOf(buffer) {
  const long = new DataView(buffer).getUint8(6) > 1;
  const begin = long ? 12 : 10;
  const end = begin + (long ? new DataView(buffer).getUint32(8, true) : new DataView(buffer).getUint16(8, true));
  const header = new TextDecoder().decode(buffer.slice(begin, end));
  const Reader = READERS[/'descr': '([^']+)'/.exec(header)?.[1]];
  if (!Reader || header.includes("'fortran_order': True")) return null;
  const [height, width] = /\(([^)]*)\)/.exec(header)[1].split(",").map(Number).filter(Boolean).slice(-2);
  const hu = new Reader(buffer.slice(end));
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i += 1) {
    const grey = (255 * (hu[i] - LOW)) / (HIGH - LOW);
    image.data.set([grey, grey, grey, 255], 4 * i);
  }
  return image;
}
