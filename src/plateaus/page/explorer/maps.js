// The maps of plateaus: choose one, and read at any point the likeliest next token and the distances to the corners.
(() => {
  "use strict";
  const root = document.querySelector(".explorer-maps");
  if (!root || !window.Plot || !window.DecompressionStream) return;
  const { Plot, d3 } = window;
  const { inflate, split, unpack, whenNear } = window.plateaus;
  const about = JSON.parse(root.querySelector(".explorer-about").textContent);
  const corners = about.colours.map((colour) => d3.rgb(colour));
  const [list, across, up] = ["map", "across", "up"].map((name) => root.querySelector(`[name="${name}"]`));
  const chart = root.querySelector(".explorer-chart");
  const said = root.querySelector(".explorer-values");
  const HEIGHT = Math.sqrt(3) / 2;
  let data = null;
  let map = null;
  let scales = null;

  const number = (value, digits = 2) => value.toFixed(digits).replace("-", "−");

  // The colours of the corners, mixed by the inverse squares of the distances, as in the figure.
  function colour(place) {
    const weights = map.distances.map((of) => (of[place] + about.softening) ** -2);
    const sum = d3.sum(weights);
    const mixed = ["r", "g", "b"].map((part) => d3.sum(corners, (corner, i) => (corner[part] * weights[i]) / sum));
    return d3.rgb(...mixed).toString();
  }

  function choose(index) {
    map = data.maps[index];
    across.max = up.max = map.side - 1;
    if (!map.colours) {
      map.colours = Array.from(map.token, (_, place) => colour(place));
      map.nearest = Float32Array.from(map.token, (_, place) => Math.min(...map.distances.map((of) => of[place])));
    }
    draw();
  }

  function draw() {
    const half = (map.x[1] - map.x[0]) / (map.side - 1) / 2;
    const box = { x1: map.x[0] - half, x2: map.x[1] + half, y1: map.y[0] - half, y2: map.y[1] + half };
    const grid = { width: map.side, height: map.side, ...box };
    const places = [[0, 0], [1, 0], [0.5, HEIGHT]].map(([x, y], i) => ({ x, y, word: map.words[i] }));
    const width = Math.max(280, Math.min(440, Math.floor(chart.clientWidth)));
    const plot = Plot.plot({
      width,
      height: Math.round((width * (box.y2 - box.y1)) / (box.x2 - box.x1)),
      margin: 0,
      axis: null,
      style: { background: "transparent", fontSize: "13px" },
      x: { domain: [box.x1, box.x2] },
      y: { domain: [box.y1, box.y2] },
      color: { type: "identity" },
      marks: [
        Plot.raster(map.colours, { ...grid, imageRendering: "pixelated" }),
        Plot.contour(map.nearest, { ...grid, thresholds: [0.1, 0.2, 0.3, 0.4], stroke: "#fff", strokeWidth: 0.8 }),
        Plot.text(places, { x: "x", y: "y", text: "word", fill: "#fff", stroke: "#1c242a", strokeWidth: 3, fontWeight: 700 }),
        Plot.dot([0], { x: at(map.x, across), y: at(map.y, up), r: 5, stroke: "#fff", fill: "#1c242a" }),
      ],
    });
    scales = [plot.scale("x"), plot.scale("y")];
    plot.setAttribute("aria-hidden", "true");
    plot.addEventListener("pointermove", (event) => {
      const frame = plot.getBoundingClientRect();
      const [x, y] = [scales[0].invert(event.clientX - frame.left), scales[1].invert(event.clientY - frame.top)];
      const to = (range, value) => Math.round(((value - range[0]) / (range[1] - range[0])) * (map.side - 1));
      move(to(map.x, x), to(map.y, y));
    });
    chart.replaceChildren(plot);
    chart.setAttribute("aria-label", `Map of ${map.model}: ${map.context} … ${map.words.join(", ")}`);
    read();
  }

  const at = (range, control) => range[0] + ((range[1] - range[0]) * control.value) / (map.side - 1);

  function move(column, row) {
    const inside = (value) => Math.min(Math.max(0, value), map.side - 1);
    if (inside(column) === Number(across.value) && inside(row) === Number(up.value)) return;
    [across.value, up.value] = [inside(column), inside(row)];
    draw();
  }

  function read() {
    const place = Number(up.value) * map.side + Number(across.value);
    const token = data.tokens[map.token[place]].replaceAll("\n", "⏎").replaceAll("\t", "⇥");
    const away = map.words.map((word, i) => `${number(map.distances[i][place])} from “${word}”`);
    said.textContent = `Here “${token}” is the likeliest next token (${(100 * map.probability[place]).toFixed(1)} %). ` +
      `The distance of the next-token distribution is ${away.join(", ")}.`;
  }

  async function begin() {
    const [text, numbers] = split(await inflate(root.querySelector(".explorer-data").textContent), 2);
    data = JSON.parse(new TextDecoder().decode(text));
    let from = 0;
    for (const one of data.maps) {
      const values = unpack(numbers.subarray(from, (from += one.bytes)), one.side, data.unit);
      const part = one.side * one.side;
      one.distances = [0, 1, 2].map((i) => values.subarray(i * part, (i + 1) * part));
      one.probability = values.subarray(3 * part);
    }
    list.replaceChildren(...data.maps.map((one, i) => new Option(`${one.context} … ${one.words.join(", ")} (${one.model})`, i)));
    across.max = up.max = data.maps[0].side - 1;
    across.value = up.value = Math.floor(data.maps[0].side / 2);
    list.addEventListener("change", () => choose(Number(list.value)));
    across.addEventListener("input", draw);
    up.addEventListener("input", draw);
    choose(0);
  }

  whenNear(root, begin);
})();
