// Points of a score, one reason after the other, from what all else gives to their sum.
import { h, percent } from "./dom.js";

const plain = (name) => name.replaceAll("_", " ");
const signed = (points) => `${points < 0 ? "−" : "+"}${Math.abs(points).toFixed(1)}`;

export function waterfall({ points, reasons, other_points: base, change, unusual }, { points: scale, decision_threshold: threshold }) {
  const bound = scale.base + scale.double * Math.log2((1 - threshold) / threshold / scale.odds);
  let reached = base;
  const steps = reasons.map((one) => ({ words: one.text, from: reached, to: (reached += one.points), said: signed(one.points) }));
  const ends = [base, points, bound, ...steps.map((one) => one.to)];
  const low = Math.min(...ends) - 8;
  const span = Math.max(...ends) + 2 - low;
  const rows = [
    { words: "all else", from: low, to: base, said: base.toFixed(1), kind: "sum" },
    ...steps,
    { words: "together", from: low, to: points, said: points.toFixed(1), kind: "sum" },
  ];
  return [
    h("table", { className: "bars waterfall", ariaLabel: "Points: what all else gives, what each reason adds or takes, and their sum" }, h("tbody", {}, rows.map((one) => row(one, low, span, bound)))),
    h("p", { className: "said" }, `Approved from ${bound.toFixed(0)} points, the line; ${scale.double} points more double the odds of being paid back.`),
    change ? h("p", {}, h("strong", {}, "What would change it: "), `${plain(change.attribute)} ${plain(String(change.to))} in place of ${plain(String(change.from))}, which makes ${percent(change.default_probability)}.`) : null,
    unusual?.length ? h("p", {}, h("strong", {}, "Unlike the data it was trained on: "), unusual.map(plain).join(", ")) : null,
  ].filter(Boolean);
}

function row({ words, from, to, said, kind = to < from ? "down" : "up" }, low, span, bound) {
  const share = (points) => `${(100 * (points - low)) / span}%`;
  const bar = h("div", { className: `bar ${kind}` });
  bar.style.marginLeft = share(Math.min(from, to));
  bar.style.width = `${(100 * Math.abs(to - from)) / span}%`;
  const line = h("div", { className: "bound" });
  line.style.left = share(bound);
  return h("tr", {}, h("th", { scope: "row" }, words), h("td", {}, h("div", { className: "track" }, bar, line)), h("td", {}, said));
}
