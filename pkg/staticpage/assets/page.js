"use strict";
// Draws the page's plots from the JSON beside it. Each plot is an image to a screen
// reader: its label says what it shows, and the table below it has the numbers.
(() => {
  const data = JSON.parse(document.getElementById("plots").textContent);
  const root = document.documentElement;
  root.classList.add("js");

  const ink = "var(--ink)", muted = "var(--muted)", rule = "var(--rule)", strong = "var(--rule-strong)";
  const accent = "var(--accent)", second = "var(--second)", surface = "var(--surface)";
  const percent = (share) => `${+(100 * share).toPrecision(3)} %`;
  const day = (text) => new Date(`${text}T00:00:00Z`);
  const dated = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  const compact = new Intl.NumberFormat("en-GB", { notation: "compact" });
  const short = (text, width) => (text.length * 6.6 > width ? `${text.slice(0, Math.max(6, Math.floor(width / 6.6) - 1))}…` : text);
  const style = { background: "none", color: muted, fontSize: "12px", overflow: "visible" };
  // Names of rows take what a phone can spare.
  const named = (width, names) => Math.round(Math.min(width * 0.42, 14 + 6.7 * Math.max(...names.map((name) => name.length))));
  const bare = { label: null, tickSize: 0 };
  const release = (i, n) => `color-mix(in srgb, var(--accent) ${Math.round(12 + (88 * (i + 1)) / n)}%, var(--surface))`;

  const rows = (width, all, options, marks, grid = {}) => {
    const left = named(width, all.map((d) => d.name));
    return Plot.plot({
      width, height: 44 + 24 * all.length, marginLeft: left, marginRight: 22, marginTop: 6, marginBottom: 34, style,
      y: { domain: all.map((d) => d.name), label: null, padding: 0.2 }, ...options,
      marks: [
        Plot.gridX({ stroke: rule, strokeOpacity: 1, ...grid }),
        Plot.axisY({ ...bare, fill: ink, tickPadding: 8, tickFormat: (name) => short(name, left - 12) }),
        ...marks,
      ],
    });
  };

  const days = (width, n) => ({ type: "utc", label: null, ticks: Math.max(1, Math.min(width < 480 ? 4 : 8, n - 1)), tickFormat: (d) => dated.format(d), tickSize: 3 });

  const draw = {
    adoption(width) {
      const all = data.features.filter((f) => f.after !== null).map((f) => ({ ...f, name: f.key, label: f.name, changed: f.before !== null }));
      if (all.length === 0) return null;
      const labels = new Map(all.map((d) => [d.name, d.label]));
      const left = named(width, all.map((d) => d.label));
      return Plot.plot({
        width, height: 60 + 22 * all.length, marginLeft: left, marginRight: 24, marginTop: 28, marginBottom: 32, style,
        x: { domain: [0, 1], axis: "both", label: null, tickFormat: percent, ticks: width < 480 ? 4 : 10, tickSize: 3 }, y: { domain: all.map((d) => d.name), label: null },
        marks: [
          Plot.gridX({ stroke: rule, strokeOpacity: 1, ticks: width < 480 ? 4 : 10 }),
          Plot.axisY({ ...bare, fill: ink, tickPadding: 8, tickFormat: (key) => short(labels.get(key), left - 12) }),
          Plot.ruleY(all.filter((d) => d.changed), { y: "name", x1: "before", x2: "after", stroke: strong, strokeWidth: 2 }),
          Plot.dot(all.filter((d) => d.changed), { y: "name", x: "before", r: 4, fill: surface, stroke: strong, strokeWidth: 2 }),
          Plot.dot(all, { y: "name", x: "after", r: 5, symbol: (d) => (d.legacy ? "square" : "circle"), fill: (d) => (d.legacy ? second : accent), stroke: surface, strokeWidth: 1 }),
        ],
        symbol: { type: "identity" }, color: { type: "identity" },
      });
    },
    retirement(width) {
      const top = Math.max(...data.retirement.map((d) => Math.max(d.worst, d.keep))) || 0.01;
      const wide = width > 560, ticks = width < 480 ? 4 : 8;
      return rows(width, data.retirement, { marginRight: wide ? 132 : 22, x: { domain: [0, Math.min(1, top * 1.06)], label: null, tickFormat: percent, ticks, tickSize: 3 } }, [
        Plot.ruleY(data.retirement, { y: "name", x1: "low", x2: "worst", stroke: strong, strokeWidth: 2 }),
        Plot.tickX(data.retirement, { y: "name", x: "worst", stroke: strong, strokeWidth: 2, inset: 4 }),
        Plot.barX(data.retirement, { y: "name", x1: "low", x2: (d) => Math.max(d.high, d.low + top / 150), fill: accent, insetTop: 2, insetBottom: 2, rx: 2 }),
        Plot.tickX(data.retirement, { y: "name", x: "keep", stroke: second, strokeWidth: 2, strokeDasharray: "3,2", inset: -2 }),
        wide ? Plot.text(data.retirement, { y: "name", frameAnchor: "right", dx: 14, textAnchor: "start", text: "verdict", fill: ink }) : null,
      ], { ticks });
    },
    compliance(width) {
      const all = data.compliance, top = Math.max(...all.map((d) => d.possible)), low = Math.min(1, ...all.map((d) => d.certain).filter((x) => x > 0));
      const log = top > 8; // excesses of 2 and of 200 times beside each other
      const steps = !log ? [0, 1, 2, 3, 4, 5, 6, 7, 8].filter((x) => x <= top * 1.08) : [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1e4, 1e5, 1e6, 1e9].filter((x) => x <= top * 1.08 && (width >= 480 || /^10*$/.test(x)));
      const clip = (x) => (log ? Math.max(x, low) : x);
      return rows(width, all, { x: { type: log ? "log" : "linear", domain: [log ? low * 0.9 : 0, top * 1.08], label: null } }, [
        Plot.axisX(steps, { text: (x) => `${compact.format(x)}×`, label: null, tickSize: 3 }),
        Plot.ruleX([1], { stroke: second, strokeWidth: 2, strokeDasharray: "4,3" }),
        Plot.ruleY(all, { y: "name", x1: (d) => clip(d.certain), x2: "possible", stroke: strong, strokeWidth: 2 }),
        Plot.tickX(all.filter((d) => d.possible > d.certain), { y: "name", x: "possible", stroke: strong, strokeWidth: 2, inset: 5 }),
        Plot.dot(all, { y: "name", x: (d) => clip(d.certain), r: 5, fill: (d) => (d.verdict === "over" ? accent : surface), stroke: (d) => (d.verdict === "over" ? accent : strong), strokeWidth: 2 }),
      ], { ticks: steps });
    },
    uptake(width, figure) {
      const app = data.uptake[figure.dataset.index], order = app.releases;
      const totals = new Map();
      for (const d of app.days) totals.set(d.day, (totals.get(d.day) ?? 0) + d.n);
      const found = new Map(app.days.map((d) => [`${d.day} ${d.release}`, d.n]));
      const busiest = Math.max(...totals.values()); // of hardly anybody a share says nothing
      for (const [of, total] of totals) if (total < busiest / 10) totals.delete(of);
      const all = [...totals].flatMap(([of, total]) => order.map((name) => ({ day: day(of), release: name, share: (found.get(`${of} ${name}`) ?? 0) / total })));
      for (const swatch of figure.querySelectorAll("[data-release]")) swatch.style.background = release(order.indexOf(swatch.dataset.release), order.length);
      const area = totals.size > 1 ? Plot.areaY : (values, options) => Plot.barY(values, { ...options, x: (d) => dated.format(d.day) });
      return Plot.plot({
        width, height: 260, marginLeft: 46, marginRight: 28, marginTop: 8, marginBottom: 28, style,
        x: totals.size > 1 ? days(width, totals.size) : { label: null }, y: { domain: [0, 1], label: null, tickFormat: percent, ticks: 4, tickSize: 3 },
        marks: [area(all, { x: "day", y: "share", z: "release", order, fill: (d) => release(order.indexOf(d.release), order.length), stroke: surface, strokeWidth: 1 })],
        color: { type: "identity" },
      });
    },
    editions(width) {
      const all = data.editions.map((d) => ({ name: d.edition, ...d })), top = Math.max(...all.map((d) => Math.max(d.sold, d.reported)));
      return rows(width, all, { x: { domain: [0, top * 1.05], label: null, ticks: width < 480 ? 4 : 8, tickFormat: (x) => compact.format(x), tickSize: 3 } }, [
        Plot.ruleY(all, { y: "name", x1: "sold", x2: "reported", stroke: strong, strokeWidth: 2 }),
        Plot.dot(all, { y: "name", x: "reported", r: 5, fill: accent }),
        Plot.dot(all, { y: "name", x: "sold", r: 6, stroke: strong, strokeWidth: 2 }),
      ]);
    },
    coverage(width) {
      const kinds = [["in_force", strong, "6,3"], ["full", second, "2,3"], ["reporting", accent, null]];
      const all = data.coverage.map((d) => ({ ...d, day: day(d.day) })), top = Math.max(1, ...all.map((d) => Math.max(d.in_force, d.reporting)));
      return Plot.plot({
        width, height: 230, marginLeft: 42, marginRight: 28, marginTop: 12, marginBottom: 28, style,
        x: days(width, all.length), y: { domain: [0, top * 1.06], label: null, ticks: 4, tickFormat: (x) => compact.format(x), tickSize: 3 },
        marks: [
          Plot.gridY({ stroke: rule, strokeOpacity: 1, ticks: 4 }),
          ...kinds.map(([field, colour, dash]) => Plot.lineY(all, { x: "day", y: field, stroke: colour, strokeWidth: 2, strokeDasharray: dash })),
        ],
      });
    },
    delay(width) {
      const all = data.quality.filter((d) => d.landed > 0).map((d) => ({ ...d, day: day(d.day), median: Math.max(d.median, 0.01), p99: Math.max(d.p99, 0.01) }));
      if (all.length === 0) return null;
      const steps = [[0.01, "10 ms"], [0.1, "0.1 s"], [1, "1 s"], [10, "10 s"], [60, "1 min"], [600, "10 min"], [3600, "1 h"], [36000, "10 h"], [86400, "1 day"], [691200, "8 days"], [2592000, "30 days"]];
      const low = Math.min(...all.map((d) => d.median)) * 0.7, high = Math.max(...all.map((d) => d.p99)) * 1.5;
      const inside = steps.filter(([s]) => s >= low && s <= high);
      return Plot.plot({
        width, height: 190, marginLeft: 52, marginRight: 28, marginTop: 10, marginBottom: 28, style,
        x: days(Math.min(width, 470), all.length), y: { type: "log", domain: [low, high], label: null },
        marks: [
          Plot.gridY(inside.map(([s]) => s), { stroke: rule, strokeOpacity: 1 }),
          Plot.axisY(inside.map(([s]) => s), { text: (s) => new Map(steps).get(s), label: null, tickSize: 3 }), // as text: a formatter would have some left out
          Plot.lineY(all, { x: "day", y: "p99", stroke: strong, strokeWidth: 2, strokeDasharray: "5,3" }),
          Plot.lineY(all, { x: "day", y: "median", stroke: accent, strokeWidth: 2 }),
        ],
      });
    },
    dead(width) {
      const all = data.quality.map((d) => ({ ...d, day: day(d.day), end: new Date(day(d.day).getTime() + 864e5) })), top = Math.max(...all.map((d) => d.dead));
      if (all.length === 0) return null;
      return Plot.plot({
        width, height: 190, marginLeft: 42, marginRight: 28, marginTop: 10, marginBottom: 28, style,
        x: days(Math.min(width, 470), all.length + 1), y: { domain: [0, Math.max(4, top * 1.1)], label: null, ticks: 4, tickFormat: (x) => (Number.isInteger(x) ? compact.format(x) : ""), tickSize: 3 },
        marks: [
          Plot.gridY({ stroke: rule, strokeOpacity: 1, ticks: 4 }),
          Plot.rectY(all, { x1: "day", x2: "end", y: "dead", fill: second, insetLeft: 1, insetRight: 1 }),
          top === 0 ? Plot.text(["none"], { frameAnchor: "middle", fill: muted, fontSize: 13 }) : null,
          Plot.ruleY([0], { stroke: strong }),
        ],
      });
    },
  };

  // One panel a feature, all on one scale.
  const panels = (canvas) => {
    const weeks = data.features.flatMap((f) => f.weeks.map((w) => +day(w.day))), span = [new Date(Math.min(...weeks)), new Date(Math.max(...weeks))];
    canvas.replaceChildren(...data.features.map((f) => {
      const panel = document.createElement("div"), title = document.createElement("p"), now = document.createElement("p");
      panel.className = "panel";
      title.className = "name";
      now.className = "now";
      title.textContent = f.name;
      const points = f.weeks.filter((w) => w.value !== null).map((w) => ({ day: day(w.day), value: w.value })), colour = f.legacy ? second : accent;
      now.textContent = `${points.length ? percent(points.at(-1).value) : "not known"}${f.legacy ? ", legacy" : ""}`;
      const svg = Plot.plot({
        width: 170, height: 62, margin: 5, style, axis: null, x: { type: "utc", domain: span[0] < span[1] ? span : [new Date(span[0] - 864e5), new Date(+span[1] + 864e5)] }, y: { domain: [0, 1] },
        marks: [
          Plot.ruleY([0, 1], { stroke: rule, strokeOpacity: 1 }),
          Plot.areaY(points, { x: "day", y: "value", fill: colour, fillOpacity: 0.12 }),
          Plot.lineY(points, { x: "day", y: "value", stroke: colour, strokeWidth: 2 }),
          Plot.dot(points.slice(-1), { x: "day", y: "value", r: 3, fill: colour }),
        ],
      });
      settle(svg);
      panel.append(title, svg, now);
      return panel;
    }));
  };

  // The page's policy allows no style but its own, so a plot goes without the one that
  // the library puts into it; ours has the same rules.
  const settle = (svg) => {
    for (const own of svg.querySelectorAll("style")) own.remove();
    for (const part of svg.querySelectorAll("[aria-label], [aria-description]")) {
      part.removeAttribute("aria-label");
      part.removeAttribute("aria-description");
    }
    svg.removeAttribute("aria-label");
    svg.setAttribute("aria-hidden", "true");
    svg.setAttribute("focusable", "false");
  };

  const paint = (figure) => {
    const canvas = figure.querySelector(".canvas"), kind = figure.dataset.plot;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", figure.dataset.label);
    if (kind === "trend") return panels(canvas);
    const svg = draw[kind](Math.max(260, Math.floor(canvas.clientWidth)), figure);
    if (!svg) return canvas.replaceChildren("Nothing to show.");
    settle(svg);
    canvas.replaceChildren(svg);
  };

  const figures = [...document.querySelectorAll("figure[data-plot]")];
  const widths = new Map();
  const observer = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const width = Math.floor(target.clientWidth), figure = target.closest("figure");
      if (width === 0 || widths.get(figure) === width) continue;
      widths.set(figure, width);
      paint(figure);
    }
  });
  for (const figure of figures) {
    const canvas = figure.querySelector(".canvas");
    widths.set(figure, Math.floor(canvas.clientWidth));
    paint(figure);
    observer.observe(canvas);
  }

  // One dimension at a time; without a script, and in print, all of them stand.
  const choice = document.getElementById("heat-choice");
  if (choice) {
    const show = () => {
      const chosen = choice.querySelector("input:checked").value;
      for (const table of document.querySelectorAll(".heat")) table.hidden = table.id !== chosen;
    };
    choice.hidden = false;
    choice.addEventListener("change", show);
    show();
  }

  // Paper cannot be clicked.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const part of closed) part.open = true;
  });
  addEventListener("afterprint", () => {
    for (const part of closed) part.open = false;
  });
})();
