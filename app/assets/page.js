// What Gradio's controls leave to the page: the keyboard, and where a small screen looks.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    document.querySelector("#generate")?.click();
  }
});

// On a phone the pictures are below the form: show them when drawing begins.
new MutationObserver((changes) => {
  const begins = changes.some((change) =>
    [...change.addedNodes].some((node) => node.querySelector?.(".previews .blank") || node.matches?.(".previews")));
  const stage = document.querySelector("#stage");
  if (begins && stage && stage.getBoundingClientRect().top > window.innerHeight - 200) {
    stage.scrollIntoView({ behavior: "smooth", block: "start" });
  }
}).observe(document.documentElement, { childList: true, subtree: true });

// The last sentence of a run is read aloud; the steps in between are not.
new MutationObserver((_, observer) => {
  const status = document.querySelector("#status");
  if (status) {
    status.setAttribute("role", "status");
    observer.disconnect();
  }
}).observe(document.documentElement, { childList: true, subtree: true });
