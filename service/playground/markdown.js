// The part of Markdown that cards are written in, as elements.
import { h } from "./dom.js";

export function markdown(text) {
  // Blank lines part blocks, but not within a fence.
  return text.trim().split(/(^```[^]*?^```$)/m).flatMap((part) => (part.startsWith("```") ? [part] : part.split(/\n{2,}/)))
    .map((part) => part.replace(/^\n+|\s+$/g, "")).filter(Boolean).map(block);
}

function block(text) {
  const title = /^(#{1,4}) (.*)/.exec(text);
  if (title) return h(`h${Math.min(6, title[1].length + 2)}`, {}, inline(title[2]));
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

// Pictures of a card lie in its bundle and are not served: their words stand for them.
function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*|!?\[[^\]]*\]\([^)\s]+\))/).map((piece) => {
    if (/^`.+`$/.test(piece)) return h("code", {}, piece.slice(1, -1));
    if (/^\*\*.+\*\*$/.test(piece)) return h("strong", {}, piece.slice(2, -2));
    const [, picture, words, target] = /^(!?)\[([^\]]*)\]\(([^)\s]+)\)$/.exec(piece) ?? [];
    if (target === undefined) return piece;
    if (picture) return h("em", {}, `Picture in the bundle: ${words || target}`);
    return /^https?:/.test(target) ? h("a", { href: target, rel: "noreferrer" }, words) : words;
  });
}
