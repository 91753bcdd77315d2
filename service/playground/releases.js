// The releases of each model: its versions with their figures, what is tried on live traffic, and the commands.
import { heading, h, labelled, options, percent, table } from "./dom.js";
import { get, post } from "./exchange.js";

export async function releases(name) {
  return name ? one(name) : all((await get("v1/releases")).releases);
}

function all(known) {
  const rows = known.map(({ name, served, trying, versions }) => [h("a", { href: `#releases/${name}` }, name), served ?? "nothing", trying ?? "", versions.length]);
  return [...heading("Releases", "Which version of each model is served, and what is tried beside it."), table(["Model", "Served", "Tried", "Versions"], rows)];
}

async function one(name) {
  const told = await get(`v1/releases/${encodeURIComponent(name)}`);
  return [
    ...heading(name, told.served ? `Serves ${told.served}.` : "Serves nothing."),
    h("p", {}, h("a", { href: "#releases" }, "All releases"), " · ", h("a", { href: `#models/${name}` }, "The model")),
    table(["Version", "Figures", "Gate", "What turned out"], told.versions.map((version) => row(version, told.served))),
    h("h3", {}, "On live traffic"),
    ...trying(told.rollout),
    h("h3", {}, "Commands"),
    commands(told),
    h("h3", {}, "History"),
    h("ul", {}, told.history.map((line) => h("li", {}, line))),
  ];
}

const short = (value) => String(Number(value.toPrecision(3)));

function row({ version, metrics, gate, objection, live }, served) {
  const figures = metrics.slice(0, 3).map((each) => `${each.name} ${short(each.value)}`).join(", ");
  const verdict = gate ? gate.map((check) => `${check.passed ? "ok" : "BAD"} ${check.name}`).join(", ") : "none";
  const known = Object.entries(live ?? {}).filter(([, value]) => value !== null).map(([each, value]) => `${each.replaceAll("_", " ")} ${short(value)}`);
  return [version === served ? `${version} (served)` : version, figures, objection || verdict, known.join(", ") || "nothing yet"];
}

function trying(rollout) {
  if (!rollout) return [h("p", {}, "Nothing has been tried yet.")];
  const { evidence } = rollout;
  if (!evidence) return [h("p", {}, rollout.told)];
  const sides = ["candidate", "served"].map((side) => [side, evidence[side].answers, evidence[side].errors, `${short(1000 * evidence[side].mean_s)} ms`]);
  const points = evidence.over_time.filter((point) => point.agreement !== null);
  const rows = points.slice(-20).map((point) => [new Date(1000 * point.when).toLocaleTimeString(), point.rows, percent(point.agreement)]);
  return [
    h("p", {}, rollout.told),
    table(["", "Answers", "Errors", "Mean time"], sides),
    h("p", {}, `${evidence.compared.rows} rows compared, mean difference ${short(evidence.compared.mean_difference)}${evidence.agreement === null ? "" : `, ${percent(evidence.agreement)} agree`}.`),
    ...(rows.length ? [table(["Time", "Rows", "Agreement"], rows)] : []),
  ];
}

function commands({ name, served, versions }) {
  const token = h("input", { type: "password", autocomplete: "off" });
  const version = h("select", {}, options(versions.map((each) => each.version).filter((each) => each !== served)));
  const reason = h("input", { type: "text" });
  const force = h("input", { type: "checkbox" });
  const mode = h("select", {}, options(["shadow", "canary"], "shadow"));
  const steps = h("input", { type: "text", value: "10%" });
  const said = h("p", { role: "status" });
  async function give(verb, more = {}) {
    try {
      const { done } = await post(`v1/releases/${name}/${verb}`, { reason: reason.value, ...more }, token.value);
      said.textContent = done;
    } catch (error) {
      said.textContent = error.message;
    }
  }
  const chosen = () => ({ version: version.value, force: force.checked });
  const button = (words, work) => h("button", { type: "button", onclick: work }, words);
  return h("div", { className: "card" },
    h("div", { className: "row" },
      labelled("Admin token ", token), labelled("Version ", version), labelled("Reason ", reason),
      h("label", {}, force, "Without a passed gate"), labelled("As ", mode), labelled("Shares ", steps)),
    h("p", {}, button("Try", () => give("start", { ...chosen(), mode: mode.value, steps: steps.value })), " ",
      button("Promote", () => give("promote", chosen())), " ", button("Roll back", () => give("rollback"))),
    said);
}
