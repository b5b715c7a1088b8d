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

// What was typed outlives a reload. The browser keeps it and brings it back by itself: an answer of the server
// could come late, over what is being typed.
window.blipdiff = {
  named: (names, values) => Object.fromEntries(names.map((name, place) => [name, values[place]])),

  // Kept values that a form of this version can still hold; `choices` lists what a choice may be.
  restored: (names, choices, kept, current) => names.map((name, place) => {
    const value = kept?.[name];
    const fits = typeof value === typeof current[place] && (!choices[name] || choices[name].includes(value));
    return fits ? value : current[place];
  }),
};
