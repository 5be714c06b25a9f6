// Mark the tables that are wider than the page, so that the style sheet can say that they scroll.
function markWideTables() {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap")) {
    box.toggleAttribute("data-wide", box.scrollWidth > box.clientWidth + 1);
  }
}

addEventListener("load", markWideTables);
addEventListener("resize", markWideTables);
