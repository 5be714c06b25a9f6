// Mark the tables and pictures that are wider than the page, so that the style sheet can say that they scroll.
function markWide() {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset p:has(img)")) {
    box.toggleAttribute("data-wide", box.scrollWidth > box.clientWidth + 1);
  }
}

addEventListener("load", markWide);
addEventListener("resize", markWide);
