// The explorer: choices in form controls, charts by Observable Plot, and the choice kept in the page's address.
(() => {
  "use strict";
  const root = document.querySelector(".explorer");
  if (!root || !window.Plot || !window.DecompressionStream) return;
  const { Plot } = window;
  const { inflate, split, unpack, whenNear } = window.plateaus;
  const PREFIX = "#explore?";
  const about = JSON.parse(root.querySelector(".explorer-about").textContent);
  const conditions = Object.keys(about.conditions);
  const texts = new Map([...root.querySelectorAll(".explorer-data")].map((one) => [one.dataset.model, one.textContent]));
  const control = (name) => root.querySelector(`[name="${name}"]`);
  const [search, pairs, models, starts, records, frozen, steps] =
    ["search", "pair", "model", "start", "record", "condition", "step"].map(control);
  const chart = (name) => root.querySelector(`.explorer-${name} .explorer-chart`);
  const loaded = new Map();
  let model = null; // the data of the chosen model
  let chosen = null; // { model, pair, condition, start, record, step }

  const key = (pair, condition, start, record) => ((pair * conditions.length + condition) * 1024 + start) * 1024 + record;

  async function load(name) {
    if (loaded.has(name)) return loaded.get(name);
    const parts = split(await inflate(texts.get(name)), 3);
    const data = JSON.parse(new TextDecoder().decode(parts[0]));
    const { pair, condition, start, record } = data.curves;
    data.values = unpack(parts[1], data.steps, data.unit);
    data.probabilities = unpack(parts[2], data.steps, 1e-4);
    data.index = new Map();
    data.ofPair = data.pairs.map(() => []);
    for (let i = 0; i < pair.length; i++) {
      data.index.set(key(pair[i], condition[i], start[i], record[i]), i);
      data.ofPair[pair[i]].push(i);
    }
    data.tokensOf = data.pairs.map(() => []);
    data.tokens.pair.forEach((one, i) => data.tokensOf[one].push(i));
    loaded.set(name, data);
    return data;
  }

  const curve = (record, condition = chosen.condition, start = chosen.start) => {
    const at = model.index.get(key(chosen.pair, condition, start, record));
    return at === undefined ? null : model.values.subarray(at * model.steps, (at + 1) * model.steps);
  };
  const alpha = (step) => step / (model.steps - 1);
  const number = (value, digits = 2) => value.toFixed(digits).replace("-", "−");
  const pairName = (one) => `[${one.a} → ${one.b}]`;
  const recordName = (record) =>
    record === model.layers ? "the logits" : record > model.layers ? "next-token distribution" : `layer ${record}`;

  // Choices: each list offers what was measured for the choices before it, and a choice that is not there moves to the
  // nearest one that is.

  const distinct = (values) => [...new Set(values)].sort((a, b) => a - b);
  const nearest = (values, wanted) =>
    values.reduce((best, one) => (Math.abs(one - wanted) < Math.abs(best - wanted) ? one : best), values[0]);

  function fill(list, values, name, value) {
    list.replaceChildren(...values.map((one) => new Option(name(one), one, false, one === value)));
    list.disabled = values.length < 2;
  }

  function settle() {
    const { condition, start, record } = model.curves;
    const of = model.ofPair[chosen.pair];
    const offered = distinct(of.map((i) => condition[i]));
    if (!offered.includes(chosen.condition)) chosen.condition = 0;
    const withCondition = of.filter((i) => condition[i] === chosen.condition);
    const from = distinct(withCondition.map((i) => start[i]));
    chosen.start = nearest(from, chosen.start);
    const to = distinct(withCondition.filter((i) => start[i] === chosen.start).map((i) => record[i]));
    if (!to.includes(chosen.record)) chosen.record = to.includes(model.layers) ? model.layers : nearest(to, chosen.record);
    chosen.step = Math.min(Math.max(0, chosen.step), model.steps - 1);
    fill(frozen, offered, (one) => about.conditions[conditions[one]], chosen.condition);
    fill(starts, from, (one) => `layer ${one}`, chosen.start);
    fill(records, to.reverse(), recordName, chosen.record);
    steps.max = model.steps - 1;
    steps.value = chosen.step;
    models.value = chosen.model;
  }

  const matches = (one, words) => {
    const text = `${one.context} ${one.a} ${one.b} ${one.id}`.toLowerCase();
    return words.every((word) => text.includes(word));
  };

  function found() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    return model.pairs.map((one, i) => i).filter((i) => matches(model.pairs[i], words));
  }

  function listPairs() {
    const list = found();
    const shown = list.includes(chosen.pair) ? list : [chosen.pair, ...list];
    const groups = new Map();
    for (const i of shown) {
      const kind = model.pairs[i].kind;
      if (!groups.has(kind)) groups.set(kind, []);
      groups.get(kind).push(i);
    }
    pairs.replaceChildren(...[...groups].map(([kind, members]) => {
      const group = document.createElement("optgroup");
      group.label = kind;
      for (const i of members) {
        const one = model.pairs[i];
        group.append(new Option(`${one.context ? `${one.context} … ` : ""}${pairName(one)}`, i, false, i === chosen.pair));
      }
      return group;
    }));
    root.querySelector(".explorer-found").textContent = search.value.trim()
      ? `${list.length} of ${model.pairs.length} pairs have these words${list.length ? "; Enter chooses the first" : ""}.`
      : "";
  }

  // Charts

  const INK = "currentColor";
  const [A, B] = ["var(--a)", "var(--b)"]; // of styles.css, which has other ones for dark screens
  const KINDS = ["#c2560a", "#2f86c6", "#0a8f68", "#c0699a", "#8c7a1a"];
  const common = (box, height) => ({
    width: Math.max(280, Math.floor(box.clientWidth)),
    height,
    marginLeft: 48,
    marginBottom: 42,
    style: { background: "transparent", fontSize: "12px", overflow: "visible" },
  });

  function put(box, plot, said) {
    plot.setAttribute("aria-hidden", "true");
    box.setAttribute("aria-label", said);
    box.replaceChildren(plot);
  }

  const points = (values) => Array.from(values, (d, step) => ({ alpha: alpha(step), d }));

  // The width of the boundary on the isotonic fit is in the tables; the page shows where the curve itself crosses d = .5.
  function crossing(values) {
    for (let i = 1; i < values.length; i++) {
      if (values[i - 1] <= 0.5 && values[i] > 0.5) {
        return alpha(i - 1 + (0.5 - values[i - 1]) / (values[i] - values[i - 1]));
      }
    }
    return null;
  }

  function drawCurve() {
    const box = chart("curve");
    const main = curve(chosen.record);
    const other = [model.layers, model.layers + 1].filter((record) => record !== chosen.record && curve(record));
    const at = { alpha: alpha(chosen.step), d: main[chosen.step] };
    const plain = chosen.condition ? curve(chosen.record, 0) : null;
    const plot = Plot.plot({
      ...common(box, 270),
      x: { domain: [0, 1], label: "alpha →", labelOffset: 38, ticks: 5 },
      y: { domain: [0, 1], label: "↑ d", ticks: 5 },
      marks: [
        Plot.line([[0, 0], [1, 1]], { stroke: INK, strokeOpacity: 0.6, strokeDasharray: "1 3" }),
        ...other.map((record) => Plot.line(points(curve(record)), {
          x: "alpha", y: "d", stroke: INK, strokeOpacity: 0.55, strokeDasharray: record > model.layers ? "6 3" : null,
        })),
        plain ? Plot.line(points(plain), { x: "alpha", y: "d", stroke: A, strokeDasharray: "4 2" }) : null,
        Plot.line(points(main), { x: "alpha", y: "d", stroke: B, strokeWidth: 2.4 }),
        Plot.ruleX([at.alpha], { stroke: INK, strokeOpacity: 0.4 }),
        Plot.dot([at], { x: "alpha", y: "d", fill: B, r: 4.5 }),
        Plot.text(["A"], { x: 0, y: 0, dx: 8, dy: -8, fontWeight: 700 }),
        Plot.text(["B"], { x: 1, y: 1, dx: -8, dy: 10, fontWeight: 700 }),
      ].filter(Boolean),
    });
    const scale = plot.scale("x");
    plot.addEventListener("pointermove", (event) => {
      const left = plot.getBoundingClientRect().left;
      setStep(Math.round(scale.invert(event.clientX - left) * (model.steps - 1)));
    });
    const middle = crossing(main);
    put(box, plot, `Relative distance at ${recordName(chosen.record)} for ${pairName(model.pairs[chosen.pair])}` +
      (middle === null ? "" : `: it passes one half at alpha ${number(middle)}`));
  }

  function drawMap() {
    const box = chart("map");
    const rows = [];
    for (let record = chosen.start; record <= model.layers; record++) if (curve(record)) rows.push(record);
    const values = new Float32Array(rows.length * model.steps);
    rows.forEach((record, i) => values.set(curve(record), i * model.steps));
    const half = 0.5 / (model.steps - 1);
    const line = rows.map((record, i) => ({ alpha: crossing(curve(record)), row: i })).filter((one) => one.alpha !== null);
    const at = rows.indexOf(Math.min(chosen.record, model.layers));
    const ticks = distinct([0, 1, 2, 3, 4].map((part) => Math.round((part * (rows.length - 1)) / 4)));
    const plot = Plot.plot({
      ...common(box, 270),
      x: { domain: [-half, 1 + half], label: "alpha →", labelOffset: 38, ticks: [0, 0.2, 0.4, 0.6, 0.8, 1], tickSize: 0 },
      y: {
        domain: [-0.5, rows.length - 0.5], label: "↑ recorded at", ticks, tickSize: 0,
        tickFormat: (i) => (rows[i] === model.layers ? "logits" : String(rows[i])),
      },
      color: { type: "linear", domain: [0, 0.5, 1], range: [about.colours[0], "#f4f4f4", about.colours[1]] },
      marks: [
        Plot.raster(values, {
          width: model.steps, height: rows.length, x1: -half, x2: 1 + half, y1: -0.5, y2: rows.length - 0.5,
          imageRendering: "pixelated",
        }),
        Plot.line(line, { x: "alpha", y: "row", stroke: "#222", strokeWidth: 1.5 }),
        Plot.rect([at], { x1: -half, x2: 1 + half, y1: at - 0.5, y2: at + 0.5, stroke: "#222", fill: "none" }),
        Plot.dot([at], { x: alpha(chosen.step), y: at, stroke: "#222", fill: "#fff", r: 4 }),
      ],
    });
    const [x, y] = [plot.scale("x"), plot.scale("y")];
    plot.style.cursor = "pointer";
    plot.addEventListener("click", (event) => {
      const frame = plot.getBoundingClientRect();
      const row = Math.round(y.invert(event.clientY - frame.top));
      const step = Math.round(x.invert(event.clientX - frame.left) * (model.steps - 1));
      if (rows[row] === undefined) return;
      change({ record: rows[row], step: Math.min(Math.max(0, step), model.steps - 1) });
    });
    put(box, plot, `Relative distance by recording layer, from layer ${rows[0]} to ${recordName(rows[rows.length - 1])}`);
  }

  function drawPairs() {
    const box = chart("pairs");
    const yardstick = chosen.record > model.layers ? 1 : 0;
    const matching = new Set(search.value.trim() ? found() : model.pairs.keys());
    const data = model.pairs
      .map((one, i) => ({ ...one, i, s: one.strength[yardstick], here: matching.has(i) }))
      .filter((one) => one.s !== null);
    const kinds = [...new Set(data.map((one) => one.kind))].sort();
    const mine = data.filter((one) => one.i === chosen.pair);
    const plot = Plot.plot({
      ...common(box, 290),
      x: { label: "divergence of the ends, nats →", labelOffset: 38, nice: true, domain: [0, Math.max(...data.map((one) => one.jsd), 0.1)] },
      y: { label: `↑ strength at the ${yardstick ? "next-token distributions" : "logits"}`, nice: true },
      color: { domain: kinds, range: KINDS },
      symbol: { domain: kinds, legend: true },
      marks: [
        Plot.ruleY([0], { stroke: INK, strokeOpacity: 0.5 }),
        Plot.dot(data, {
          x: "jsd", y: "s", stroke: "kind", symbol: "kind", r: 3, strokeOpacity: (one) => (one.here ? 1 : 0.15),
        }),
        Plot.dot(mine, { x: "jsd", y: "s", stroke: INK, r: 8, strokeWidth: 2 }),
        Plot.tip(data, Plot.pointer({
          x: "jsd", y: "s", title: (one) => `${one.context ? `${one.context} …\n` : ""}${pairName(one)}\nstrength ${number(one.s)}`,
          fill: "Canvas",
        })),
      ],
    });
    const svg = plot.matches("svg") ? plot : plot.querySelector(":scope > svg");
    const [x, y] = [plot.scale("x"), plot.scale("y")];
    svg.style.cursor = "pointer";
    svg.addEventListener("click", (event) => {
      const frame = svg.getBoundingClientRect();
      const away = (one) =>
        Math.hypot(x.apply(one.jsd) - (event.clientX - frame.left), y.apply(one.s) - (event.clientY - frame.top));
      const best = data.reduce((a, b) => (away(b) < away(a) ? b : a));
      if (away(best) < 30) change({ pair: best.i });
    });
    put(box, plot, `Strength of ${data.length} pairs against the divergence of their ends` +
      (mine.length ? `; the chosen pair has strength ${number(mine[0].s)} and divergence ${number(mine[0].jsd)}` : ""));
  }

  function read() {
    const one = model.pairs[chosen.pair];
    const places = [...new Set([chosen.record, model.layers, model.layers + 1])].filter((record) => curve(record));
    const ds = places.map((record) => `d = ${number(curve(record)[chosen.step], 3)} at ${recordName(record)}`);
    const list = model.tokensOf[chosen.pair]
      .map((i) => [model.tokens.text[i], model.probabilities[i * model.steps + chosen.step]])
      .sort((a, b) => b[1] - a[1]);
    const visible = (text) => `“${text.replaceAll("\n", "⏎").replaceAll("\t", "⇥")}”`;
    const lines = [
      `${one.context ? `${one.context} … ` : ""}${pairName(one)}, alpha ${number(alpha(chosen.step), 3)}: ${ds.join("; ")}.`,
    ];
    if (list.length && chosen.condition === 0 && chosen.start === about.start) {
      const said = list.slice(0, 6).map(([text, p]) => `${visible(text)} ${(100 * p).toFixed(1)} %`);
      lines.push(`Likeliest next tokens: ${said.join(", ")}.`);
    }
    root.querySelector(".explorer-values").replaceChildren(...lines.map((line) => {
      const paragraph = document.createElement("p");
      paragraph.textContent = line;
      return paragraph;
    }));
    steps.setAttribute("aria-valuetext", `alpha ${number(alpha(chosen.step))}`);
  }

  // Changes

  function setStep(step) {
    const inside = Math.min(Math.max(0, step), model.steps - 1);
    if (inside === chosen.step) return;
    chosen.step = inside;
    steps.value = inside;
    drawCurve();
    read();
    keep();
  }

  let waiting = null;
  // Browsers refuse more than about a hundred changes of the address within some seconds.
  function keep() {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const told = new URLSearchParams({
        model: chosen.model, pair: model.pairs[chosen.pair].id, start: chosen.start, record: chosen.record,
        frozen: conditions[chosen.condition], step: chosen.step,
      });
      window.history.replaceState(null, "", PREFIX + told);
    }, 250);
  }

  function draw() {
    settle();
    listPairs();
    drawCurve();
    drawMap();
    drawPairs();
    read();
  }

  function change(to) {
    Object.assign(chosen, to);
    draw();
    keep();
  }

  async function changeModel(name, to = {}) {
    const id = to.pair ?? (model ? model.pairs[chosen.pair].id : about.pair);
    const beyond = chosen ? chosen.record - model.layers : 0; // 0 are the logits, 1 is the next-token distribution
    model = await load(name);
    chosen = {
      condition: 0, start: about.start, step: Math.floor(model.steps / 2), ...chosen, ...to, model: name,
      pair: Math.max(0, model.pairs.findIndex((one) => one.id === id)),
      record: to.record ?? (beyond < 0 ? chosen.record : model.layers + beyond),
    };
    draw();
  }

  function address() {
    if (!window.location.hash.startsWith(PREFIX)) return null;
    const told = new URLSearchParams(window.location.hash.slice(PREFIX.length));
    const found = {};
    for (const name of ["start", "record", "step"]) {
      const value = Number.parseInt(told.get(name), 10);
      if (Number.isFinite(value)) found[name] = value;
    }
    if (told.get("pair")) found.pair = told.get("pair");
    found.condition = Math.max(0, conditions.indexOf(told.get("frozen")));
    return { model: texts.has(told.get("model")) ? told.get("model") : null, found };
  }

  async function fromAddress() {
    const told = address();
    if (!told) return;
    await changeModel(told.model ?? chosen?.model ?? texts.keys().next().value, told.found);
    root.scrollIntoView();
  }

  async function begin() {
    fill(models, [...texts.keys()], (name) => name, null);
    root.hidden = false;
    const first = address() ? null : texts.keys().next().value;
    await (first ? changeModel(first) : fromAddress());
    models.addEventListener("change", async () => { await changeModel(models.value); keep(); });
    pairs.addEventListener("change", () => change({ pair: Number(pairs.value) }));
    starts.addEventListener("change", () => change({ start: Number(starts.value) }));
    records.addEventListener("change", () => change({ record: Number(records.value) }));
    frozen.addEventListener("change", () => change({ condition: Number(frozen.value) }));
    steps.addEventListener("input", () => setStep(Number(steps.value)));
    search.addEventListener("input", () => { listPairs(); drawPairs(); });
    search.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      const list = found();
      if (list.length) change({ pair: list[0] });
    });
    window.addEventListener("hashchange", fromAddress);
    let width = root.clientWidth;
    new ResizeObserver(() => {
      if (root.clientWidth === width) return;
      width = root.clientWidth;
      draw();
    }).observe(root);
  }
  if (address()) begin();
  else whenNear(root, begin);
})();
