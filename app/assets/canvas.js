// What Gradio's canvas does to strokes that come with a picture: a mask that is recalled. It is given picture and strokes
// twice at the same time as it comes into sight, and while one layer is being read the other turn empties the canvas: here
// one thing is done after the other. And it takes a layer for as large as whatever lies on the canvas, its brush too, which
// may be larger than the picture: then the strokes lie beside it. window.editor is the canvas that came last.
(() => {
  const sized = async (canvas, act) => {
    const { image_container: lying } = canvas;
    lying.getLocalBounds = () => ({ x: 0, y: 0, width: canvas.width, height: canvas.height });
    try {
      return await act();
    } finally {
      delete lying.getLocalBounds; // the own one; that of all containers is back
    }
  };
  const inTurn = (canvas) => {
    let last = Promise.resolve();
    const follow = (act) => {
      const turn = last.then(act);
      last = turn.catch(() => {});
      return turn;
    };
    const { add_image_from_url: picture, add_layers_from_url: strokes } = canvas;
    canvas.add_image_from_url = (...given) => follow(() => picture.apply(canvas, given));
    canvas.add_layers_from_url = (...given) => follow(() => sized(canvas, () => strokes.apply(canvas, given)));
    return canvas;
  };
  let newest = null;
  Object.defineProperty(window, "editor", { configurable: true, get: () => newest, set: (canvas) => { newest = inTurn(canvas); } });
})();
