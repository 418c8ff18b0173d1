// Scrollable boxes, and the table of contents. Tabs are in tabs.js.
(() => {
  "use strict";

  // Make each box that scrolls focusable, so that it can be scrolled with the keyboard.
  function markScrollers() {
    for (const box of document.querySelectorAll(".table-box, pre, math[display='block']")) {
      if (box.scrollWidth > box.clientWidth + 1) box.setAttribute("tabindex", "0");
      else box.removeAttribute("tabindex");
    }
  }
  window.addEventListener("resize", markScrollers);
  document.addEventListener("tabchange", markScrollers);

  // The table of contents is folded on narrow screens, and the current section is marked.
  const contents = document.querySelector("#toc details");
  const narrow = window.matchMedia("(max-width: 71.99rem)");
  const fold = () => { if (contents) contents.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
  if (contents) {
    contents.addEventListener("click", (event) => {
      if (narrow.matches && event.target.closest("a")) contents.open = false;
    });
  }

  const links = [...document.querySelectorAll("#toc a")];
  const targets = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));
  let current = null;
  let waiting = false;
  function mark() {
    waiting = false;
    const line = window.innerHeight / 4;
    const atEnd = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 2;
    let found = -1;
    targets.forEach((target, i) => {
      if (target && (target.getBoundingClientRect().top <= line || (atEnd && i === links.length - 1))) found = i;
    });
    if (links[found] === current) return;
    if (current) current.removeAttribute("aria-current");
    current = links[found] || null;
    if (!current) return;
    current.setAttribute("aria-current", "true");
    const nav = document.getElementById("toc");
    const { top, bottom } = current.getBoundingClientRect();
    if (!narrow.matches && (top < 0 || bottom > nav.clientHeight)) nav.scrollTop += top - nav.clientHeight / 2;
  }
  window.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(mark);
  }, { passive: true });

  mark();
  markScrollers();
})();
