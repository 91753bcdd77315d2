// Elements, and the few things that every view does with them. Texts are never parsed as HTML.

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const heading = (title, lead) => [h("h2", {}, title), h("p", { className: "lead" }, lead)];

export const labelled = (words, control) => h("label", {}, words, control);

export const checkbox = (words, onchange) => {
  const input = h("input", { type: "checkbox", onchange });
  return [h("label", {}, input, words), input];
};

export const options = (values, chosen) =>
  values.map((value) => h("option", { value, selected: value === chosen }, String(value).replaceAll("_", " ")));

export function debounced(work, wait = 150) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), wait);
  };
}

export const percent = (share) => `${(100 * share).toFixed(share > 0.0005 && share < 0.9995 ? 1 : 0)} %`;

export function bars(labels, probabilities, caption) {
  const rows = labels.map((label, i) => {
    const bar = h("div", { className: "bar" });
    bar.style.width = `${100 * probabilities[i]}%`;
    return h("tr", {}, h("th", { scope: "row" }, String(label)), h("td", {}, bar), h("td", {}, percent(probabilities[i])));
  });
  return h("table", { className: "bars", "aria-label": caption }, h("tbody", {}, rows));
}

export function table(head, rows) {
  const top = h("tr", {}, head.map((words) => h("th", { scope: "col" }, words)));
  const body = rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))));
  return h("div", { className: "scroll", tabIndex: 0, role: "group", ariaLabel: `Table: ${head.join(", ")}` }, h("table", {}, h("thead", {}, top), h("tbody", {}, body)));
}

export function save(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// A place for files: chosen, dropped on `area`, or pasted while it is shown.
export function fileInput(words, accept, take, area, multiple = false) {
  const input = h("input", { type: "file", accept, multiple, onchange: () => input.files.length && take([...input.files]) });
  const zone = h("div", { className: "drop" }, labelled(`${words} `, input));
  for (const target of new Set([zone, area ?? zone])) {
    target.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
    target.addEventListener("dragleave", () => zone.classList.remove("over"));
    target.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
    });
  }
  const paste = (event) => {
    if (!zone.isConnected) document.removeEventListener("paste", paste);
    else if (event.clipboardData.files.length) take([...event.clipboardData.files]);
  };
  document.addEventListener("paste", paste);
  return zone;
}
