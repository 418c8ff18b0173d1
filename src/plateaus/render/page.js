// Tabs (the WAI-ARIA pattern, with groups that switch together) and the current section in the table of contents.
(() => {
  "use strict";
  const sets = [...document.querySelectorAll(".tabset")];

  function select(set, index, focus) {
    set.tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === index));
      tab.tabIndex = i === index ? 0 : -1;
      set.panels[i].hidden = i !== index;
    });
    if (focus) set.tabs[index].focus();
  }

  function choose(chosen, index, focus) {
    const name = chosen.tabs[index].textContent;
    const top = chosen.element.getBoundingClientRect().top;
    for (const set of made) {
      const same = set === chosen ? index
        : chosen.group && set.group === chosen.group ? set.tabs.findIndex((tab) => tab.textContent === name) : -1;
      if (same >= 0) select(set, same, focus && set === chosen);
    }
    // What was switched above the reader must not move what is being read.
    window.scrollBy({ top: chosen.element.getBoundingClientRect().top - top, behavior: "instant" });
  }

  const made = sets.map((element) => {
    const panels = [...element.children].filter((child) => child.classList.contains("tab-panel"));
    const list = document.createElement("div");
    list.className = "tab-list";
    list.setAttribute("role", "tablist");
    const set = { element, panels, group: element.dataset.group || element.getAttribute("group"), tabs: [] };
    panels.forEach((panel, index) => {
      const title = panel.querySelector(".tab-title");
      const tab = document.createElement("button");
      tab.type = "button";
      tab.id = `${panel.id}-tab`;
      tab.textContent = title.textContent.trim();
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", panel.id);
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", tab.id);
      panel.tabIndex = 0;
      tab.addEventListener("click", () => choose(set, index, true));
      tab.addEventListener("keydown", (event) => {
        const last = set.tabs.length - 1;
        const to = { ArrowLeft: index ? index - 1 : last, ArrowRight: index < last ? index + 1 : 0, Home: 0, End: last }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        choose(set, to, true);
      });
      list.append(tab);
      set.tabs.push(tab);
    });
    element.prepend(list);
    element.classList.add("ready");
    select(set, 0, false);
    return set;
  });

  // A link to something inside a hidden panel opens that panel first.
  function reveal() {
    const target = window.location.hash && document.getElementById(decodeURIComponent(window.location.hash.slice(1)));
    const panel = target && target.closest(".tab-panel");
    const set = panel && made.find((one) => one.panels.includes(panel));
    if (set) {
      choose(set, set.panels.indexOf(panel), false);
      target.scrollIntoView();
    }
  }
  window.addEventListener("hashchange", reveal);
  reveal();

  const narrow = window.matchMedia("(max-width: 75.99rem)");
  const contents = document.querySelector("#toc details");
  if (contents && narrow.matches) contents.open = false;
  const links = new Map([...document.querySelectorAll("#toc a")].map((link) => [link.hash.slice(1), link]));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      const link = links.get(entry.target.id);
      if (link) link.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "0px 0px -75% 0px" });
  links.forEach((_, id) => {
    const section = document.getElementById(id);
    if (section) watcher.observe(section);
  });
})();
