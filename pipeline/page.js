"use strict";
document.addEventListener("click", (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const code = button.parentElement.querySelector("code");
  const say = (word) => {
    button.textContent = word;
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  };
  const select = () => { getSelection().selectAllChildren(code); say("selected"); };
  if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(() => say("copied"), select);
  else select();
});
for (const kind of ["mouseover", "mouseout"]) {
  document.addEventListener(kind, (event) => {
    const link = event.target.closest && event.target.closest("[data-link]");
    if (!link) return;
    const scope = link.closest(".card") || link.closest(".part") || document;
    for (const other of scope.querySelectorAll("[data-link]"))
      if (other.dataset.link === link.dataset.link) other.classList.toggle("lit", kind === "mouseover");
  });
}
function unfold(anchor) {
  const target = anchor && document.getElementById(anchor);
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", () => unfold(location.hash.slice(1)));
unfold(location.hash.slice(1));
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
