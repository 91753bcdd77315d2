// The part of Markdown that cards are written in, as elements.
import { h } from "./dom.js";

// `pictures` gives the address of one by its name, or null.
export function markdown(text, pictures) {
  // Blank lines part blocks, but not within a fence.
  return text.trim().split(/(^```[^]*?^```$)/m).flatMap((part) => (part.startsWith("```") ? [part] : part.split(/\n{2,}/)))
    .map((part) => part.replace(/^\n+|\s+$/g, "")).filter(Boolean).map((part) => block(part, pictures));
}

function block(text, pictures) {
  const title = /^(#{1,4}) (.*)/.exec(text);
  if (title) return h(`h${Math.min(6, title[1].length + 2)}`, {}, inline(title[2]));
  const shown = /^!\[([^\]]*)\]\(([^)\s]+)\)$/.exec(text);
  if (shown) return figure(shown[1], pictures(shown[2]));
  const lines = text.split("\n");
  if (lines[0].startsWith("|")) return table(lines);
  if (text.startsWith("```")) return h("pre", { tabIndex: 0 }, lines.slice(1, -1).join("\n"));
  if (lines.every((line) => line.startsWith("- "))) return h("ul", {}, lines.map((line) => h("li", {}, inline(line.slice(2)))));
  return h("p", {}, inline(lines.join(" ")));
}

function table([head, , ...rows]) {
  const cells = (line) => line.replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const body = rows.map((row) => h("tr", {}, cells(row).map((cell) => h("td", {}, inline(cell)))));
  const top = h("tr", {}, cells(head).map((cell) => h(cell ? "th" : "td", {}, inline(cell))));
  return h("div", { className: "scroll", tabIndex: 0, role: "group", ariaLabel: `Table: ${cells(head).filter(Boolean).join(", ")}` }, h("table", {}, h("thead", {}, top), h("tbody", {}, body)));
}

// The words stand there until the picture comes, and remain where it does not: the service may be without it.
function figure(words, address) {
  const caption = h("figcaption", {}, words);
  const element = h("figure", { className: "of-card" }, caption);
  address.then((found) => found && element.prepend(h("img", { src: found, alt: words }))).catch(() => {});
  return element;
}

function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]*\]\([^)\s]+\))/).map((piece) => {
    if (/^`.+`$/.test(piece)) return h("code", {}, piece.slice(1, -1));
    if (/^\*\*.+\*\*$/.test(piece)) return h("strong", {}, piece.slice(2, -2));
    const [, words, target] = /^\[([^\]]*)\]\(([^)\s]+)\)$/.exec(piece) ?? [];
    if (target === undefined) return piece;
    return /^https?:/.test(target) ? h("a", { href: target, rel: "noreferrer" }, words) : words;
  });
}
