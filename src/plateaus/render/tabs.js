// Tabs by the WAI-ARIA pattern, with groups that switch together, on the page of either renderer.
(() => {
  "use strict";

  // Quarto's tabs become the elements that the built-in renderer makes. This runs before Quarto's own script for tabs,
  // which switches only one set with the arrow keys and does not follow links into hidden tabs.
  for (const element of document.querySelectorAll(".panel-tabset")) {
    const list = element.querySelector(":scope > .nav-tabs");
    const content = element.querySelector(":scope > .tab-content");
    if (!list || !content) continue;
    const titles = [...list.querySelectorAll(".nav-link")];
    [...content.children].forEach((panel, index) => {
      const title = document.createElement("div");
      title.className = "tab-title";
      title.innerHTML = titles[index].innerHTML;
      panel.prepend(title);
      panel.className = "tab-panel";
      panel.removeAttribute("aria-labelledby");
      element.append(panel);
    });
    list.remove();
    content.remove();
    element.className = "tabset";
  }

  // Tabs. Without this script all panels are shown, each under its title.

  const sets = [...document.querySelectorAll(".tabset")].map((element) => {
    const panels = [...element.children].filter((child) => child.classList.contains("tab-panel"));
    return { element, panels, tabs: [], group: element.dataset.group };
  }).filter((set) => set.panels.length);

  function select(set, index) {
    set.tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === index));
      tab.tabIndex = i === index ? 0 : -1;
      set.panels[i].hidden = i !== index;
    });
  }

  function choose(chosen, index) {
    const name = chosen.tabs[index].textContent;
    const top = chosen.element.getBoundingClientRect().top;
    for (const set of sets) {
      const grouped = chosen.group && set.group === chosen.group;
      const same = set === chosen ? index : grouped ? set.tabs.findIndex((tab) => tab.textContent === name) : -1;
      if (same >= 0) select(set, same);
    }
    // Tabs that switch above this one change the height of the page, so scroll to keep this one in place.
    window.scrollBy({ top: chosen.element.getBoundingClientRect().top - top, behavior: "instant" });
    document.dispatchEvent(new Event("tabchange"));
  }

  for (const set of sets) {
    const list = document.createElement("div");
    list.className = "tab-list";
    list.setAttribute("role", "tablist");
    set.panels.forEach((panel, index) => {
      const tab = document.createElement("button");
      tab.type = "button";
      tab.id = `${panel.id}-tab`;
      tab.innerHTML = panel.querySelector(".tab-title").innerHTML.trim();
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", panel.id);
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", tab.id);
      panel.tabIndex = 0;
      tab.addEventListener("click", () => choose(set, index));
      tab.addEventListener("keydown", (event) => {
        const last = set.tabs.length - 1;
        const to = {
          ArrowLeft: index ? index - 1 : last, ArrowRight: index < last ? index + 1 : 0, Home: 0, End: last,
        }[event.key];
        if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
        event.preventDefault();
        choose(set, to);
        set.tabs[to].focus({ preventScroll: true });
      });
      list.append(tab);
      set.tabs.push(tab);
    });
    set.panels[0].before(list);
    set.element.classList.add("ready");
    select(set, 0);
  }

  // Before a link leads to something that is folded or in a hidden panel, open the fold or the panel.
  function reveal() {
    const target = window.location.hash && document.getElementById(decodeURIComponent(window.location.hash.slice(1)));
    if (!target) return;
    let changed = false;
    for (let at = target.parentElement; at; at = at.parentElement) {
      if (at.matches("details:not([open])")) at.open = changed = true;
      const set = at.matches(".tab-panel[hidden]") && sets.find((one) => one.panels.includes(at));
      if (set) {
        choose(set, set.panels.indexOf(at));
        changed = true;
      }
    }
    if (changed) target.scrollIntoView();
  }
  window.addEventListener("hashchange", reveal);
  // When the same link is followed twice, the hash does not change, so there is no hashchange event.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link && link.hash === window.location.hash) reveal();
  });

  reveal();
})();
