// What scripts say, in the language of the page: the server puts that, and the texts, before all scripts.
Object.assign((window.blipdiff ??= {}), {
  said: (text, values = {}) =>
    (blipdiff.texts?.[text] ?? text).replace(/\{(\w+)\}/g, (place, name) => values[name] ?? place),

  // The language that was chosen in this browser, "auto" for none; and another one, in which the page comes again.
  chosenLanguage: () => document.cookie.match(/(?:^|; )blipdiff-language=(\w+)/)?.[1] ?? "auto",
  speak: (language) => {
    if (language === blipdiff.chosenLanguage()) return;
    const seconds = language === "auto" ? 0 : 365 * 24 * 3600;
    document.cookie = `blipdiff-language=${language}; path=/; max-age=${seconds}; samesite=strict`;
    window.location.reload();
  },
});

// Gradio's words that are in none of its catalogues: what its buttons tell to readers of screens, titles of messages.
(() => {
  const known = blipdiff.texts ?? {};
  if (!Object.keys(known).length) return;
  const LABELS = ["aria-label", "title"];
  const TOLD = "[aria-label], [title], .toast-title";
  const tell = (element) => {
    for (const label of LABELS) {
      const told = known[element.getAttribute(label)];
      if (told) element.setAttribute(label, told);
    }
    const text = element.matches(".toast-title") ? element.firstChild : null;
    const told = known[text?.data?.trim()];
    if (told) text.data = told;
  };
  const tellAll = (node) => {
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    if (node.matches(TOLD)) tell(node);
    node.querySelectorAll(TOLD).forEach(tell);
  };
  tellAll(document.documentElement);
  new MutationObserver((changes) => changes.forEach(({ addedNodes }) => addedNodes.forEach(tellAll)))
    .observe(document.documentElement, { childList: true, subtree: true });
})();
