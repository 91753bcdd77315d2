import { h } from "./dom.js";
import { forget, key } from "./exchange.js";
import { credit } from "./credit.js";
import { ct } from "./ct.js";
import { digits } from "./digits.js";
import { models } from "./models.js";
import { releases } from "./releases.js";
import { samples } from "./samples.js";

const VIEWS = { digits, credit, ct, samples, models, releases };
const main = document.getElementById("main");
let turn = 0;

async function show() {
  const [name, argument] = location.hash.slice(1).split("/");
  if (name === "main") return;
  const view = Object.hasOwn(VIEWS, name) ? name : "digits";
  const mine = ++turn;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  let content;
  try {
    content = await VIEWS[view](argument && decodeURIComponent(argument));
  } catch (error) {
    const words = error instanceof TypeError ? "The service cannot be reached: is it running?" : error.message;
    content = [h("p", { className: "problem", role: "alert" }, words)];
  }
  if (mine === turn) main.replaceChildren(...content);
}

addEventListener("hashchange", async () => {
  await show();
  main.focus();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault()); // a file beside its place opens nothing
const field = document.getElementById("key");
field.value = key.get();
field.addEventListener("change", () => {
  key.set(field.value.trim());
  forget();
  show();
});
show();
