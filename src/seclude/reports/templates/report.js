"use strict";
// The page is whole without this: it adds a filter, opens what a link leads to, and opens everything for printing.
(() => {
  const items = [...document.querySelectorAll("details.item")];
  const sections = [...document.querySelectorAll("section.category")];
  const box = document.getElementById("filter");
  const input = document.getElementById("filter-text");
  const status = document.getElementById("filter-status");
  const texts = new Map();
  const text = (item) => {
    if (!texts.has(item)) texts.set(item, item.textContent.toLowerCase());
    return texts.get(item);
  };
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    for (const item of items) {
      item.hidden = wanted !== "" && !text(item).includes(wanted);
      shown += item.hidden ? 0 : 1;
    }
    for (const section of sections) section.hidden = !section.querySelector("details.item:not([hidden])");
    status.textContent = wanted === "" ? "" : `${shown} of ${items.length} entries`;
  });
  box.hidden = false;

  const reveal = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") target.open = true;
  };
  addEventListener("hashchange", reveal);
  reveal();

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of opened) each.open = false;
  });
})();
