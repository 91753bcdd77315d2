// A series and what comes next, with its intervals.
const SPACE = "http://www.w3.org/2000/svg";
const [WIDE, HIGH, EDGE] = [640, 260, 46];

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function plot(history, { values, intervals }) {
  const all = [...history, ...values, ...intervals.flatMap((one) => [...one.low, ...one.high])];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const x = (step) => EDGE + ((WIDE - EDGE - 8) * step) / Math.max(1, history.length + values.length - 1);
  const y = (value) => HIGH - 14 - ((HIGH - 28) * (value - low)) / (high - low || 1);
  const points = (numbers, first) => numbers.map((value, i) => `${x(first + i).toFixed(1)},${y(value).toFixed(1)}`);
  const last = history.at(-1);
  const begin = history.length - 1;
  const bands = intervals.toSorted((one, other) => other.level - one.level).map((one) =>
    svg("polygon", { class: "band", points: [...points([last, ...one.high], begin), ...points([last, ...one.low], begin).reverse()].join(" ") }));
  const ends = [high, low].map((value) => svg("text", { x: 0, y: y(value) + 4 }, Number(value.toPrecision(4)).toLocaleString("en")));
  return svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "plot", role: "img", "aria-label": `${history.length} values and ${values.length} that are forecast` },
    ...ends, ...bands,
    svg("polyline", { class: "history", points: points(history, 0).join(" ") }),
    svg("polyline", { class: "forecast", points: points([last, ...values], begin).join(" ") }));
}
