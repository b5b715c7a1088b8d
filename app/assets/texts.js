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
