// Follows the page: the server sends a new rendering of <main> whenever something changes.
"use strict";
(() => {
  const main = document.querySelector("main");
  const mark = document.querySelector("#live");
  if (!main || !mark || !window.EventSource) return;
  const say = (state, words) => {
    mark.hidden = false;
    mark.dataset.state = state;
    mark.querySelector("b").textContent = words;
  };
  const swap = (html) => {
    // What a person has opened or closed stays so, and so does the place in a wide graph.
    const open = new Map([...main.querySelectorAll("details[id]")].map((d) => [d.id, d.open]));
    const graph = main.querySelector(".graph");
    const left = graph ? graph.scrollLeft : 0;
    const focus = document.activeElement && document.activeElement.id;
    main.innerHTML = html;
    for (const d of main.querySelectorAll("details[id]")) if (open.has(d.id)) d.open = open.get(d.id);
    const again = main.querySelector(".graph");
    if (again) again.scrollLeft = left;
    if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
  };
  const source = new EventSource("/events?page=" + encodeURIComponent(decodeURIComponent(location.pathname)));
  source.addEventListener("open", () => say("on", "Live"));
  source.addEventListener("error", () => say("off", "Reconnecting"));
  source.addEventListener("page", (event) => {
    const selection = document.getSelection();
    // Text that is being marked is not taken away.
    if (selection && !selection.isCollapsed && main.contains(selection.anchorNode)) return;
    swap(event.data);
  });
})();
