// The map of the tape, on which the walk goes: each node where the drawing of the tape has it.

minigrad.views.explorer.map = (parent, walk, onChoose) => {
  "use strict";

  const { element } = minigrad;
  const { data, entries, stepForward, stepBack, waits, wild, titleOf, describe } = walk;

  const COLOURS = {
    not: ["#ffffff", "#c8ced5"],
    ran: ["#d7e8f5", "#7fa9c9"],
    waits: ["#fbd9a5", "#d55e00"],
    done: ["#ececec", "#9a9a9a"],
  };
  const ROUND = new Set(["parameter", "input", "constant"]);
  const FOUND = "#cc79a7";
  const INK = minigrad.colour("ink");
  const paths = [
    [pieces(data.map.edges), "#b9c0c7"],
    [pieces(data.map.carried), "#8fb8d6"],
  ];
  let zoom = vendor.d3.zoomIdentity;

  /** Edges in pieces from left to right, so that only those in sight need to be drawn. */
  function pieces(edges_) {
    const found = new Map();
    for (const edge of edges_.split("M").slice(1)) {
      const xs = edge
        .match(/-?\d+/g)
        .filter((_, i) => i % 2 === 0)
        .map(Number);
      const [low, high] = [Math.min(...xs), Math.max(...xs)];
      const key = high - low > 2000 ? `${low} ${high}` : Math.floor(low / 1000);
      const piece = found.get(key) ?? { text: "", low, high };
      found.set(key, {
        text: `${piece.text}M${edge}`,
        low: Math.min(low, piece.low),
        high: Math.max(high, piece.high),
      });
    }
    return [...found.values()].map(({ text, low, high }) => ({ path: new Path2D(text), low, high }));
  }

  function stageOf(index, step) {
    if (waits(index, step)) return "waits";
    if (stepBack[index] && stepBack[index] <= step) return "done";
    return !stepForward[index] || stepForward[index] <= step ? "ran" : "not";
  }

  const map = minigrad.canvas(
    parent,
    340,
    "the tape; drag and turn the wheel to move in it",
    (context, width, height) => {
      context.save();
      context.translate(zoom.x, zoom.y);
      context.scale(zoom.k, zoom.k);
      context.lineWidth = 1 / Math.max(zoom.k, 0.4);
      for (const [parts, colour] of paths) {
        context.strokeStyle = colour;
        for (const { path, low, high } of parts) {
          if (low * zoom.k + zoom.x < width && high * zoom.k + zoom.x > 0) context.stroke(path);
        }
      }
      context.restore();
      const letters = zoom.k > 0.55;
      context.font = `${11 * Math.min(zoom.k, 1.2)}px system-ui, sans-serif`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.lineWidth = 1;
      for (let i = 0; i < entries.length; i += 1) {
        const place = placeOf(i);
        const [x, y, w, h] = place;
        if (!w || x > width || y > height || x + w < 0 || y + h < 0) continue;
        const [fill, line] = COLOURS[stageOf(i, walk.step)];
        const isFound = walk.found.has(i);
        box(context, entries[i].kind, place, fill, isFound ? FOUND : line, isFound ? 3 : 1);
        if (letters) label(context, i, place, width);
      }
      const [x, y, w, h] = placeOf(walk.node);
      if (w) {
        box(context, entries[walk.node].kind, [x - 2, y - 2, w + 4, h + 4], null, INK, 3);
        if (!letters) tag(context, titleOf(walk.node), x + w / 2, y > 30 ? y - 14 : y + h + 14, width);
      }
      for (let i = 0; i < entries.length; i += 1) {
        const [x, y, w] = wild[i] ? placeOf(i) : [0, 0, 0];
        if (w) mark(context, x + w, y);
      }
    },
  );

  map.tabIndex = 0;

  function placeOf(index) {
    const [x, y, w, h] = data.map.boxes[index];
    return [x * zoom.k + zoom.x, y * zoom.k + zoom.y, w * zoom.k, h * zoom.k];
  }

  function box(context, kind, [x, y, w, h], fill, line, thick) {
    context.beginPath();
    context.roundRect(x, y, w, h, ROUND.has(kind) ? h / 2 : Math.min(4, h / 4));
    context.fillStyle = fill;
    if (fill) context.fill();
    context.strokeStyle = line;
    context.lineWidth = thick;
    context.setLineDash(kind === "constant" || kind === "freed" ? [3, 2] : []);
    context.stroke();
    context.setLineDash([]);
  }

  /** The name of a node, in the middle of what is seen of it. */
  function label(context, i, [x, y, w, h], width) {
    const { op, name, kind } = entries[i];
    const words = minigrad.visible(data.map.names[i] || op || name || kind);
    const most = Math.max(Math.floor(w / (context.measureText("n").width || 6)), 3);
    const short = words.length > most ? `${words.slice(0, most - 1)}…` : words;
    context.fillStyle = INK;
    const middle = w > width ? (Math.max(x, 0) + Math.min(x + w, width)) / 2 : x + w / 2;
    context.fillText(short, middle, y + h / 2);
  }

  /** The name of the node of this step, where the letters on the nodes would be too small. */
  function tag(context, text, x, y, width) {
    const words = minigrad.visible(text.length > 40 ? `${text.slice(0, 39)}…` : text);
    context.font = "12px system-ui, sans-serif";
    const half = context.measureText(words).width / 2 + 5;
    const middle = Math.min(Math.max(x, half + 2), width - half - 2);
    context.fillStyle = INK;
    context.fillRect(middle - half, y - 9, 2 * half, 18);
    context.fillStyle = "#ffffff";
    context.fillText(words, middle, y);
  }

  /** A cross where something is not finite. */
  function mark(context, x, y) {
    context.fillStyle = "#000000";
    context.beginPath();
    context.arc(x, y, 6, 0, 2 * Math.PI);
    context.fill();
    context.strokeStyle = "#ffffff";
    context.lineWidth = 1.6;
    context.beginPath();
    context.moveTo(x - 2.6, y - 2.6);
    context.lineTo(x + 2.6, y + 2.6);
    context.moveTo(x + 2.6, y - 2.6);
    context.lineTo(x - 2.6, y + 2.6);
    context.stroke();
  }

  const zooming = vendor.d3
    .zoom()
    .scaleExtent([Math.min(whole(), 0.3), 4])
    .on("zoom", (event) => {
      zoom = event.transform;
      map.redraw();
    });
  vendor.d3.select(map).call(zooming).on("dblclick.zoom", null);

  /** The node under the pointer. */
  function nodeAt(event) {
    const { left: x0, top: y0 } = map.getBoundingClientRect();
    const [px, py] = [event.clientX - x0, event.clientY - y0];
    for (let i = entries.length - 1; i >= 0; i -= 1) {
      const [x, y, w, h] = placeOf(i);
      if (w && px >= x && px <= x + w && py >= y && py <= y + h) return i;
    }
    return -1;
  }
  map.addEventListener("click", (event) => {
    const index = nodeAt(event);
    if (index >= 0) onChoose(index);
  });
  map.addEventListener("pointermove", (event) => {
    const index = event.buttons ? -1 : nodeAt(event);
    map.style.cursor = index >= 0 ? "pointer" : "grab";
    if (index >= 0) minigrad.tip.show(describe(index), event.clientX, event.clientY);
    else minigrad.tip.hide();
  });
  map.addEventListener("pointerleave", minigrad.tip.hide);

  function moveTo(x, y, k) {
    const transform = vendor.d3.zoomIdentity
      .translate(map.clientWidth / 2 - x * k, map.clientHeight / 2 - y * k)
      .scale(k);
    vendor.d3.select(map).call(zooming.transform, transform);
  }

  /** The scale at which all of the map is seen. */
  function whole() {
    return Math.min(map.clientWidth / data.map.width, map.clientHeight / data.map.height, 1.2);
  }

  function showWhole() {
    moveTo(data.map.width / 2, data.map.height / 2, whole());
  }

  function centre(k) {
    const [x, y, w, h] = data.map.boxes[walk.node];
    moveTo(w * k > map.clientWidth ? x + map.clientWidth / 2 / k : x + w / 2, y + h / 2, k);
  }

  /** Move the map if the node is outside of it. */
  function follow() {
    const [x, y, w, h] = placeOf(walk.node);
    const [right, bottom] = [map.clientWidth, map.clientHeight];
    if (w && (x + Math.min(w, right) < 20 || x > right - 20 || y < 8 || y + h > bottom - 8))
      centre(zoom.k);
  }

  const swatch = (name, [fill, line]) =>
    element("span", {}, element("i", { style: `background: ${fill}; border-color: ${line}` }), name);
  parent.append(
    element(
      "p",
      { class: "legend faint" },
      swatch("not run yet", COLOURS.not),
      swatch("has run, or is given", COLOURS.ran),
      swatch("a gradient has arrived", COLOURS.waits),
      swatch("passed on", COLOURS.done),
      wild.some(Boolean)
        ? element("span", {}, element("b", { class: "cross" }, "✕"), "not finite")
        : null,
    ),
    minigrad.button("whole map", showWhole),
  );

  /** The whole map; or if one could not read it, as much of it as one can. */
  function begin() {
    if (whole() >= 0.3) showWhole();
    else centre(Math.max(Math.min(map.clientHeight / data.map.height, 1), 0.6));
  }

  return { begin, follow, redraw: map.redraw };
};
