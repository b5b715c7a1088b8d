// Fields of the form on a slow network. A button waits for what is on its way to the fields that it reads, and an
// answer that was asked for before a field was changed by hand leaves this field as it is.
(() => {
  const PAUSE = 30; // milliseconds
  const QUIET = 3; // pauses in which nothing is on its way: what arrived last has then reached its field
  const LONGEST = 60_000; // milliseconds that a click waits at most
  const STARTING = 1_000; // milliseconds within which a chosen file begins to be sent

  let count = 0; // of what happened so far: a time without a clock
  let sending = 0; // uploads
  let reading = 0; // uploads of what canvases show
  let chosen = -Infinity; // when a file was chosen last that is not yet being sent
  const touched = new Map(); // field -> when it was changed by hand
  const written = new Map(); // event and field -> when the answer was asked for that the field shows
  const pending = new Set(); // events that are asked for and not over: { fn, at }
  const held = new Set(); // buttons whose click waits

  const events = () => window.gradio_config.dependencies;
  const eventOf = (record) => events().find((event) => event.id === record?.fn);
  const isLong = (event) => Boolean(event?.types?.generator); // a run: it tells how far it is, and changes no field
  const nameOf = (id) => window.gradio_config.components.find((one) => one.id === id)?.props.elem_id || `component-${id}`;

  let fields = null; // the name of its element -> a field that events read
  const fieldOf = (element) => {
    fields ??= new Map(events().flatMap((event) => event.inputs).map((id) => [nameOf(id), id]));
    const found = element?.closest?.([...fields.keys()].map((name) => `#${CSS.escape(name)}`).join());
    return found ? fields.get(found.id) : undefined;
  };
  const touch = (event) => {
    const field = fieldOf(event.target);
    if (field !== undefined) touched.set(field, ++count);
  };
  const holdsFiles = (event) => (event.target.files ?? event.dataTransfer?.files ?? event.clipboardData?.files)?.length > 0;
  for (const kind of ["input", "change", "drop", "paste"]) {
    document.addEventListener(kind, (event) => {
      touch(event);
      if (kind !== "input" && holdsFiles(event)) chosen = performance.now();
    }, true);
  }
  document.addEventListener("pointerdown", (event) => { if (event.target.closest?.("canvas, [role=option]")) touch(event); }, true);
  document.addEventListener("click", (event) => { if (event.target.closest?.("button")) touch(event); }, true);

  const isOnItsWay = (inputs) => {
    if (sending || performance.now() - chosen < STARTING) return true;
    return [...pending].map(eventOf).some((event) => !isLong(event) && event?.outputs.some((id) => inputs.includes(id)));
  };
  const isNothing = (value) => value?.__type__ === "update" && Object.keys(value).length === 1;
  const withoutValue = (value) => {
    const { value: _, ...rest } = value?.__type__ === "update" ? value : { __type__: "update" };
    return rest;
  };

  Object.assign((window.blipdiff ??= {}), {
    // Returns when nothing is on its way to these fields; a second click on a button that waits already is the same one.
    async settled(button, inputs) {
      if (held.has(button)) throw new Error("This click waits already.");
      held.add(button);
      const element = document.getElementById(nameOf(button));
      element?.setAttribute("aria-busy", "true");
      const end = performance.now() + LONGEST;
      for (let quiet = isOnItsWay(inputs) ? 0 : QUIET; quiet < QUIET && performance.now() < end;) {
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
        quiet = isOnItsWay(inputs) ? 0 : quiet + 1;
      }
      element?.removeAttribute("aria-busy");
      held.delete(button);
    },

    // What messages.js tells of the network: an event is asked for, and over; files are sent.
    asking(fn) {
      const record = { fn, at: ++count };
      pending.add(record);
      return record;
    },
    over: (record) => pending.delete(record),
    // Whenever an event tells how far it is, Gradio sends what a canvas shows, and writes it back when it has arrived: a
    // stroke that was painted meanwhile would be gone. So nothing is painted meanwhile.
    async sendingCanvas(answer) {
      reading += 1;
      document.documentElement.classList.add("canvases-wait");
      try {
        return await blipdiff.sendingFiles(answer);
      } finally {
        setTimeout(() => {
          reading -= 1;
          if (!reading) document.documentElement.classList.remove("canvases-wait");
        }, QUIET * PAUSE);
      }
    },
    async sendingFiles(answer) {
      chosen = -Infinity;
      sending += 1;
      try {
        return await answer;
      } finally {
        sending -= 1;
      }
    },

    // The answer's values, without those for fields that were changed, or answered anew, after it was asked for.
    stillWanted(record, values) {
      const event = eventOf(record);
      if (!event || isLong(event)) return values;
      return values.map((value, place) => {
        const field = event.outputs[place];
        const key = `${record.fn}/${field}`;
        if (isNothing(value)) return value;
        if ((written.get(key) ?? 0) > record.at) return { __type__: "update" };
        written.set(key, record.at);
        return (touched.get(field) ?? 0) > record.at ? withoutValue(value) : value;
      });
    },
  });
})();
