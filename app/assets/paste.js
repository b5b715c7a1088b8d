// Ctrl-V gives a picture to the field that was used last, or else to the first one of the open tab.
(() => {
  const FIELDS = ".takes-paste";
  let last = null;
  const isThere = (field) => field?.isConnected && field.closest("[role=tabpanel]")?.offsetParent !== null;
  const inputOf = (field) => field?.querySelector("input[type=file]");
  const remember = (event) => { last = event.target.closest?.(FIELDS) ?? last; };
  for (const kind of ["pointerdown", "focusin", "dragover"]) document.addEventListener(kind, remember, true);

  document.addEventListener("paste", (event) => {
    const pictures = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith("image/"));
    if (!pictures.length) return;
    const fields = [...document.querySelectorAll(FIELDS)].filter((field) => isThere(field) && inputOf(field));
    const field = fields.includes(last) ? last : fields[0];
    if (!field) return;
    event.preventDefault();
    const input = inputOf(field);
    const files = new DataTransfer();
    pictures.slice(0, input.multiple ? pictures.length : 1).forEach((file) => files.items.add(file));
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
})();
