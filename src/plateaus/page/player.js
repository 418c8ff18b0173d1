// The player of the mechanism: play, pause and scrub over layers. One script for all players of a page.
(() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const FRAME_MS = 350;
  const BOX = { left: 34, right: 306, points: 34, top: 70, bottom: 250 };

  function element(name, attributes, parent) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (parent) parent.appendChild(made);
    return made;
  }

  const x = (value) => BOX.left + value * (BOX.right - BOX.left);
  const y = (value) => BOX.bottom - value * (BOX.bottom - BOX.top);
  const line = (xs, ys) => xs.map((value, i) => `${i ? "L" : "M"}${x(value).toFixed(2)} ${y(ys[i]).toFixed(2)}`).join("");
  const mix = (a, b, t) => a.map((value, i) => value + (b[i] - value) * t);

  // A whole number is a frame; in between, the points are on their way to the next.
  function at(rows, frame) {
    const low = Math.floor(frame);
    return low + 1 < rows.length ? mix(rows[low], rows[low + 1], frame - low) : rows[rows.length - 1];
  }

  function panel(data, parent) {
    const box = document.createElement("div");
    box.className = "player-panel";
    parent.appendChild(box);
    const svg = element("svg", { viewBox: "0 0 320 290", role: "img", "aria-label": data.title });
    box.appendChild(svg);
    const text = (content, attributes) => { element("text", attributes, svg).textContent = content; };
    text(data.title, { x: BOX.left, y: 14, class: "player-title" });
    text("d", { x: 8, y: y(0.5) + 4, class: "player-label" });
    text("0", { x: BOX.left - 12, y: y(0) + 4, class: "player-label" });
    text("1", { x: BOX.left - 12, y: y(1) + 4, class: "player-label" });
    text("Interpolation alpha", { x: x(0.5), y: 282, class: "player-label", "text-anchor": "middle" });
    element("path", { d: line([0, 1], [0, 1]), class: "player-straight" }, svg);
    element("path", { d: `M${x(0)} ${y(1)}V${y(0)}H${x(1)}`, class: "player-axis" }, svg);
    const measured = data.measured && element("path", { class: "player-measured" }, svg);
    const predicted = element("path", { class: "player-predicted" }, svg);
    const dots = data.alpha.map((value, i) =>
      element("circle", { cy: BOX.points, r: 3, fill: data.colours[i] }, svg));
    return (part) => {
      const frame = part * (data.position.length - 1);
      const position = at(data.position, frame);
      dots.forEach((dot, i) => dot.setAttribute("cx", x(position[i]).toFixed(2)));
      predicted.setAttribute("d", line(data.alpha, position));
      if (measured) measured.setAttribute("d", line(data.alpha, at(data.measured, frame)));
    };
  }

  function start(root) {
    const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const last = data.frames.length - 1;
    const button = root.querySelector("button");
    const slider = root.querySelector("input");
    const name = root.querySelector("output");
    const draw = data.panels.map((one) => panel(one, root.querySelector(".player-panels")));
    let frame = 0;
    let playing = false;
    let before = 0;

    function show() {
      draw.forEach((one) => one(frame / last));
      const whole = Math.min(last, Math.round(frame));
      slider.value = String(whole);
      slider.setAttribute("aria-valuetext", data.frames[whole]);
      name.textContent = data.frames[whole];
    }

    function pause() {
      playing = false;
      button.textContent = "Play";
    }

    function tick(now) {
      if (!playing) return;
      const passed = (now - before) / FRAME_MS;
      if (!still.matches) {
        frame = Math.min(last, frame + passed);
        before = now;
      } else if (passed >= 3) { // one whole frame a second, without movement in between
        frame = Math.min(last, Math.floor(frame) + 1);
        before = now;
      }
      show();
      if (frame >= last) pause();
      else window.requestAnimationFrame(tick);
    }

    button.addEventListener("click", () => {
      if (playing) {
        pause();
        return;
      }
      if (frame >= last) frame = 0;
      playing = true;
      button.textContent = "Pause";
      before = window.performance.now();
      window.requestAnimationFrame(tick);
    });
    slider.addEventListener("input", () => {
      pause();
      frame = Number(slider.value);
      show();
    });
    root.hidden = false;
    show();
  }

  function begin() {
    document.querySelectorAll(".player[hidden]").forEach(start);
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
