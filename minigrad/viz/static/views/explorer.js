// The walk along a tape, step by step: `minigrad/viz/explorer/explorer_page.py` makes the data.
//
// Steps count from 1: first the forward pass, then the walk back. `state.node` is what is shown: the
// node of the step, or another one that somebody has chosen.

minigrad.views.explorer = (root, data) => {
  "use strict";

  const { element, number, format } = minigrad;
  const { entries, summaries, forward, back } = data;
  const order = [...forward, ...back];
  const last = order.length;
  const isBack = (step) => step > forward.length;

  const stepForward = new Int32Array(entries.length); // 0: none
  const stepBack = new Int32Array(entries.length);
  forward.forEach((index, i) => (stepForward[index] = i + 1));
  back.forEach((index, i) => (stepBack[index] = forward.length + i + 1));

  const state = { step: 1, node: order[0] ?? 0, playing: false, found: new Set() };

  // ---------------------------------------------------------------- what the data says

  const [NORM, MEAN, LEAST, MOST, NAN, INFINITE, FIRST, LARGEST, ROWS, COLUMNS, CELLS] =
    Array(11).keys();

  const results = (entry) => entry.results;
  const edges = (entry) => entry.edges ?? [];
  const isWild = (i) => i >= 0 && summaries[i][NAN] + summaries[i][INFINITE] > 0;
  const titleOf = (index) => {
    const { op, name, kind } = entries[index];
    return `#${index} ${op || name || kind}`;
  };

  /** When the first gradient arrives at each node: it waits from then to the node's own step. */
  const arrives = new Int32Array(entries.length).fill(last + 1);
  for (const index of back) {
    for (const [source, , , hasRule, gradient] of edges(entries[index])) {
      if (hasRule && gradient >= 0) arrives[source] = Math.min(arrives[source], stepBack[index]);
    }
  }
  const waits = (index, step) => arrives[index] <= step && step < stepBack[index];

  const wild = entries.map(
    (entry) =>
      results(entry).some(([, , value, gradient]) => isWild(value) || isWild(gradient)) ||
      edges(entry).some(([, , , , gradient]) => isWild(gradient)),
  );

  /** Whether something that is not finite appears at a step. */
  function wildAt(step) {
    const entry = entries[order[step - 1]];
    if (!isBack(step)) return results(entry).some(([, , value]) => isWild(value));
    return (
      results(entry).some(([, , , gradient]) => isWild(gradient)) ||
      edges(entry).some(([, , , , gradient]) => isWild(gradient))
    );
  }

  /** The norms of the gradients that come in at a step. */
  function normsAt(step) {
    if (!isBack(step)) return [];
    const found = results(entries[order[step - 1]]).map(([, , , gradient]) => gradient);
    return found.filter((i) => i >= 0).map((i) => number(summaries[i][NORM]));
  }

  // ---------------------------------------------------------------- going from step to step

  const STOPS = {
    never: () => false,
    "not finite": wildAt,
    "norm above": (step) => normsAt(step).some((norm) => norm > limit.valueAsNumber),
    "norm below": (step) => normsAt(step).some((norm) => norm < limit.valueAsNumber),
  };
  const stopsAt = (step) => STOPS[stop.value](step);

  function go(step, node = null) {
    state.step = Math.min(Math.max(Math.round(step), 1), last);
    state.node = node ?? order[state.step - 1];
    told.textContent = "";
    show();
  }

  /** Show a node: at its step in this half of the walk, in the other half, or as it is. */
  function goToNode(index) {
    const steps = isBack(state.step) ? [stepBack, stepForward] : [stepForward, stepBack];
    go(steps[0][index] || steps[1][index] || state.step, index);
  }

  function play(playing) {
    if (playing && state.step === last) go(1);
    state.playing = playing;
    playButton.textContent = playing ? "❚❚" : "▶";
    playButton.setAttribute("aria-label", playing ? "pause" : "play");
    playButton.title = playing ? "pause (space)" : "play (space)";
    if (!playing) return note();
    let due = performance.now() + 1000 / speed;
    const tick = (now) => {
      if (!state.playing) return;
      if (now >= due) {
        due = Math.max(due + 1000 / speed, now - 1000 / speed);
        go(state.step + 1);
        const stopped = stopsAt(state.step);
        if (stopped) told.textContent = `stopped at step ${state.step}: ${stopWord()}`;
        if (stopped || state.step === last) return play(false);
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  /** To the next step where the play would stop. */
  function run() {
    play(false);
    for (let step = state.step + 1; step <= last; step += 1) {
      if (stopsAt(step)) {
        go(step);
        told.textContent = `step ${step}: ${stopWord()}`;
        return;
      }
    }
    told.textContent = `no step after this one: ${stopWord()}`;
  }

  const stopWord = () =>
    stop.value.startsWith("norm") ? `a gradient's ${stop.value} ${limit.value}` : `a value is ${stop.value}`;

  /** Note the place in the address. */
  function note() {
    const isOfStep = order[state.step - 1] === state.node;
    minigrad.hash.set("step", state.step);
    minigrad.hash.set("node", isOfStep ? null : state.node);
  }

  function goToAddress() {
    const [step, node] = ["step", "node"].map((key) => parseInt(minigrad.hash.get(key), 10));
    const isNode = node >= 0 && node < entries.length;
    if (isNode && !(step >= 1)) goToNode(node);
    else go(step >= 1 ? step : state.step, isNode ? node : null);
  }

  // ---------------------------------------------------------------- controls

  const button = (sign, name, key, action) => {
    const node = minigrad.button(sign, action, name);
    node.title = `${name} (${key})`;
    return node;
  };
  const playButton = button("▶", "play", "space", () => play(!state.playing));
  const hand = (step) => () => {
    play(false);
    go(step());
  };
  const toStart = hand(() => 1);
  const toEnd = hand(() => last);
  const toPrevious = hand(() => state.step - 1);
  const toNext = hand(() => state.step + 1);

  let speed = 5;
  const speeds = minigrad.choice(
    "steps per second",
    [1, 2, 5, 10, 30, 60].map((x) => [x, String(x)]),
    speed,
    (x) => (speed = x),
  );
  const slider = minigrad.slider(
    "step",
    { min: 1, max: Math.max(last, 1), show: (step) => `${step} of ${last}, ${isBack(step) ? "back" : "forward"}` },
    (step) => {
      play(false);
      go(step);
    },
  );
  slider.classList.add("steps");

  const search = element("input", { type: "search", placeholder: "op, name, line, layer or #node", "aria-label": "search" });
  const hits = element("ol", { class: "hits", hidden: true });
  const stop = element(
    "select",
    { "aria-label": "stop at", onchange: () => (limit.hidden = !stop.value.startsWith("norm")) },
    Object.keys(STOPS).map((name) => element("option", {}, name)),
  );
  const limit = element("input", { type: "number", step: "any", value: 1, "aria-label": "norm", hidden: true });
  const told = element("output", { class: "told", role: "status" });

  root.append(
    minigrad.controls(
      element(
        "span",
        { class: "buttons" },
        button("«", "to the start", "Home", toStart),
        button("‹", "a step back", "←", toPrevious),
        playButton,
        button("›", "a step on", "→", toNext),
        button("»", "to the end", "End", toEnd),
      ),
      slider,
      speeds,
    ),
    minigrad.controls(
      element("span", { class: "search" }, element("label", {}, "find ", search), hits),
      element("label", {}, "stop at", stop, limit),
      minigrad.button("run there", run),
      told,
    ),
  );

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inField = event.target.closest?.("input:not([type=range]), select, textarea");
    if (inField || (event.key === " " && event.target.closest?.("button, a, summary"))) return;
    const action = {
      " ": () => play(!state.playing),
      ArrowLeft: toPrevious,
      ArrowRight: toNext,
      Home: toStart,
      End: toEnd,
      "/": () => search.focus(),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  // ---------------------------------------------------------------- search

  const texts = entries.map((entry, index) => {
    const [file, line, where] = entry.line === undefined ? [] : data.lines[entry.line];
    const at = file === undefined ? "" : `${data.files[file].name}:${line} ${where} ${data.files[file].lines[line] ?? ""}`;
    return `#${index} ${entry.op} ${entry.name ?? ""} ${entry.kind} ${at} ${data.layers[entry.layers] ?? ""}`.toLowerCase();
  });

  function find() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const exact = /^#?(\d+)$/.exec(search.value.trim());
    const found = !words.length
      ? []
      : exact && exact[1] < entries.length
        ? [Number(exact[1])]
        : [...entries.keys()].filter((i) => words.every((word) => texts[i].includes(word)));
    const isNamed = (i) => words.includes(entries[i].op) || words.includes(entries[i].name?.toLowerCase());
    found.sort((a, b) => isNamed(b) - isNamed(a));
    state.found = new Set(found);
    hits.hidden = !words.length;
    hits.replaceChildren(
      element("li", { class: "faint" }, `${found.length} ${found.length === 1 ? "node" : "nodes"}`),
      ...found.slice(0, 50).map((index) =>
        element("li", {}, element("button", { type: "button", onclick: () => choose(index) }, describe(index))),
      ),
    );
    map.redraw();
  }

  function describe(index) {
    const entry = entries[index];
    const line = entry.line === undefined ? "" : ` · ${lineName(entry.line)}`;
    return `${titleOf(index)} ${results(entry)[0][0]}${line}`;
  }

  function choose(index) {
    hits.hidden = true;
    play(false);
    goToNode(index);
  }
  search.addEventListener("input", find);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && state.found.size) choose([...state.found][0]);
    if (event.key === "Escape") hits.hidden = true;
  });
  addEventListener("pointerdown", (event) => {
    if (!event.target.closest?.(".search")) hits.hidden = true;
  });

  const lineName = (i) => `${data.files[data.lines[i][0]].name}:${data.lines[i][1]}`;

  // ---------------------------------------------------------------- the map

  const left = element("div", { class: "left" });
  const panel = element("div", { class: "panel" });
  root.append(element("div", { class: "columns" }, left, panel));

  const COLOURS = {
    not: ["#ffffff", "#c8ced5"],
    ran: ["#d7e8f5", "#7fa9c9"],
    waits: ["#fbd9a5", "#d55e00"],
    done: ["#ececec", "#9a9a9a"],
  };
  const SIGNS = { parameter: "parameter", input: "input", constant: "constant" };
  const paths = [[pieces(data.map.edges), "#b9c0c7"], [pieces(data.map.carried), "#8fb8d6"]];
  let zoom = vendor.d3.zoomIdentity;

  /** Edges in pieces from left to right, so that only those in sight need to be drawn. */
  function pieces(edges_) {
    const found = new Map();
    for (const edge of edges_.split("M").slice(1)) {
      const xs = edge.match(/-?\d+/g).filter((_, i) => i % 2 === 0).map(Number);
      const [low, high] = [Math.min(...xs), Math.max(...xs)];
      const key = high - low > 2000 ? `${low} ${high}` : Math.floor(low / 1000);
      const piece = found.get(key) ?? { text: "", low, high };
      found.set(key, { text: `${piece.text}M${edge}`, low: Math.min(low, piece.low), high: Math.max(high, piece.high) });
    }
    return [...found.values()].map(({ text, low, high }) => ({ path: new Path2D(text), low, high }));
  }

  function stageOf(index, step) {
    if (waits(index, step)) return "waits";
    if (stepBack[index] && stepBack[index] <= step) return "done";
    return !stepForward[index] || stepForward[index] <= step ? "ran" : "not";
  }

  const map = minigrad.canvas(left, 340, "the tape; drag and turn the wheel to move in it", (context, width, height) => {
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
      const [x, y, w, h] = placeOf(i);
      if (!w || x > width || y > height || x + w < 0 || y + h < 0) continue;
      const [fill, line] = COLOURS[stageOf(i, state.step)];
      box(context, entries[i].kind, x, y, w, h, fill, state.found.has(i) ? "#cc79a7" : line, state.found.has(i) ? 3 : 1);
      if (letters) label(context, i, x, y, w, h);
    }
    if (placeOf(state.node)[2]) {
      const [x, y, w, h] = placeOf(state.node);
      box(context, entries[state.node].kind, x - 2, y - 2, w + 4, h + 4, "transparent", "#24292f", 3);
      if (!letters) tag(context, titleOf(state.node), x + w / 2, y > 30 ? y - 14 : y + h + 14, width);
    }
    for (let i = 0; i < entries.length; i += 1) {
      const [x, y, w] = wild[i] ? placeOf(i) : [0, 0, 0];
      if (w) mark(context, x + w, y);
    }
  });

  function placeOf(index) {
    const [x, y, w, h] = data.map.boxes[index];
    return [x * zoom.k + zoom.x, y * zoom.k + zoom.y, w * zoom.k, h * zoom.k];
  }

  function box(context, kind, x, y, w, h, fill, line, thick) {
    context.beginPath();
    context.roundRect(x, y, w, h, kind in SIGNS ? h / 2 : Math.min(4, h / 4));
    context.fillStyle = fill;
    if (fill !== "transparent") context.fill();
    context.strokeStyle = line;
    context.lineWidth = thick;
    context.setLineDash(kind === "constant" || kind === "freed" ? [3, 2] : []);
    context.stroke();
    context.setLineDash([]);
  }

  function label(context, i, x, y, w, h) {
    const { op, name, kind } = entries[i];
    const words = minigrad.visible(op || name || kind);
    const most = Math.max(Math.floor(w / (context.measureText("n").width || 6)), 3);
    const short = words.length > most ? `${words.slice(0, most - 1)}…` : words;
    context.fillStyle = minigrad.colour("ink");
    const middle = Math.min(Math.max(x + w / 2, Math.min(40, x + w / 2)), map.clientWidth - 40);
    context.fillText(short, w > map.clientWidth ? middle : x + w / 2, y + h / 2);
  }

  /** The name of the node of this step, where the letters on the nodes would be too small. */
  function tag(context, text, x, y, width) {
    const words = minigrad.visible(text.length > 40 ? `${text.slice(0, 39)}…` : text);
    context.font = "12px system-ui, sans-serif";
    const half = context.measureText(words).width / 2 + 5;
    const middle = Math.min(Math.max(x, half + 2), width - half - 2);
    context.fillStyle = "#24292f";
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

  const zooming = vendor.d3.zoom().scaleExtent([Math.min(whole(), 0.3), 4]).on("zoom", (event) => {
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
    if (index >= 0) choose(index);
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
    const [x, y, w, h] = data.map.boxes[state.node];
    moveTo(w * k > map.clientWidth ? x + map.clientWidth / 2 / k : x + w / 2, y + h / 2, k);
  }

  /** Move the map if the node is outside of it. */
  function follow() {
    const [x, y, w, h] = placeOf(state.node);
    const [right, bottom] = [map.clientWidth, map.clientHeight];
    if (w && (x + Math.min(w, right) < 20 || x > right - 20 || y < 8 || y + h > bottom - 8)) centre(zoom.k);
  }

  const swatch = (name, [fill, line]) =>
    element("span", {}, element("i", { style: `background: ${fill}; border-color: ${line}` }), name);
  left.append(
    element(
      "p",
      { class: "legend faint" },
      swatch("not run yet", COLOURS.not),
      swatch("has run, or is given", COLOURS.ran),
      swatch("a gradient waits", COLOURS.waits),
      swatch("passed on", COLOURS.done),
      wild.some(Boolean) ? element("span", {}, element("b", { class: "cross" }, "✕"), "not finite") : null,
    ),
    minigrad.button("whole map", showWhole),
  );

  // ---------------------------------------------------------------- the memory

  const memoryTold = element("p", { class: "memory" });
  const chart = element("div", { class: "chart" });
  left.append(memoryTold, chart);
  const total = data.saved.map((bytes, i) => bytes + data.gradients[i]);
  const cursor = element("div", { class: "cursor" });

  const curve = new vendor.uPlot(
    {
      width: 600,
      height: 160,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false }, y: { range: (_, least, most) => [0, most * 1.08 || 1] } },
      axes: [
        { label: "step of the walk", labelSize: 20, size: 30, incrs: [1, 2, 5].flatMap((n) => [n, 10 * n, 100 * n, 1000 * n, 10000 * n]).sort((a, b) => a - b), stroke: minigrad.colour("faint"), grid: { stroke: "#eceff2" } },
        {
          size: 64,
          values: (_, ticks) => ticks.map(minigrad.bytes),
          stroke: minigrad.colour("faint"),
          grid: { stroke: "#eceff2" },
        },
      ],
      series: [
        {},
        { stroke: minigrad.colour("c1"), fill: "rgba(86, 180, 233, 0.25)", width: 1.5, points: { show: false }, paths: vendor.uPlot.paths.stepped({ align: 1 }) },
        { stroke: minigrad.colour("c2"), dash: [5, 3], width: 1.5, points: { show: false }, paths: vendor.uPlot.paths.stepped({ align: 1 }) },
      ],
      hooks: { draw: [divide] },
    },
    [order.map((_, i) => i + 1), data.saved, total],
    chart,
  );
  curve.over.append(cursor);

  /** A line between the two halves of the walk. */
  function divide(plot) {
    const x = plot.valToPos(forward.length + 0.5, "x", true);
    const { top, height } = plot.bbox;
    const { ctx } = plot;
    ctx.save();
    ctx.strokeStyle = "#8c959f";
    ctx.setLineDash([2, 3]);
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, top + height);
    ctx.stroke();
    ctx.fillStyle = "#656d76";
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textBaseline = "top";
    ctx.textAlign = "right";
    ctx.fillText("forward ", x, top);
    ctx.textAlign = "left";
    ctx.fillText(" back", x, top);
    ctx.restore();
  }

  const toPointer = (event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const { left: x0 } = curve.over.getBoundingClientRect();
    play(false);
    go(curve.posToVal(event.clientX - x0, "x"));
  };
  curve.over.addEventListener("pointerdown", toPointer);
  curve.over.addEventListener("pointermove", toPointer);
  new ResizeObserver(() => {
    curve.setSize({ width: Math.max(chart.clientWidth, 200), height: 160 });
    showMemory();
  }).observe(chart);

  function showMemory() {
    const i = state.step - 1;
    cursor.style.left = `${curve.valToPos(state.step, "x")}px`;
    memoryTold.replaceChildren(
      element("span", { class: "kept" }, `kept for the way back ${minigrad.bytes(data.saved[i] ?? 0)}`),
      element("span", { class: "waiting" }, `with the gradients ${minigrad.bytes(total[i] ?? 0)}`),
      element("span", { class: "faint" }, `leaves, apart ${minigrad.bytes(data.leaves)}`),
    );
  }

  // ---------------------------------------------------------------- arrays in the panel

  const shades = [...Array(64).keys()].map((i) => {
    if (i === 63) return [0, 0, 0];
    const { r, g, b } = rgb(minigrad.diverging((i - 31) / 31));
    return [r, g, b];
  });

  function rgb(colour) {
    const [r, g, b] = colour.match(/[\d.]+/g).map(Number);
    return { r, g, b };
  }
  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
  const shadeOf = new Uint8Array(128);
  for (let i = 0; i < 64; i += 1) shadeOf[LETTERS.charCodeAt(i)] = i;

  /** The heat map of an array. */
  function picture(summary) {
    const [rows, columns] = [summary[ROWS], summary[COLUMNS]];
    const node = element("canvas", { class: "heat", width: columns, height: rows, role: "img",
      "aria-label": `heat map, ${rows} by ${columns} cells` });
    const size = Math.max(2, Math.min(10, Math.floor(168 / columns), Math.floor(120 / rows)));
    node.style.width = `${columns * size}px`;
    node.style.height = `${rows * size}px`;
    const context = node.getContext("2d");
    const image = context.createImageData(columns, rows);
    for (let i = 0; i < rows * columns; i += 1) {
      const [r, g, b] = shades[shadeOf[summary[CELLS].charCodeAt(i)]];
      image.data.set([r, g, b, 255], 4 * i);
    }
    context.putImageData(image, 0, 0);
    node.title = `orange: below 0, white: 0, blue: above 0; the darkest is ${format(summary[LARGEST])}` +
      " in size; black: not finite. Of a large array, a cell is the element of a block that is the largest in size.";
    return node;
  }

  /** What is known of an array. */
  function array(i) {
    if (i < 0) return element("p", { class: "faint" }, "not known: ", data.unknown);
    const summary = summaries[i];
    const [nan, infinite] = [summary[NAN], summary[INFINITE]];
    const wildWord = [nan && `${nan.toLocaleString("en")} NaN`, infinite && `${infinite.toLocaleString("en")} infinite`];
    const single = !summary[CELLS];
    return element(
      "div",
      { class: "array" },
      single ? null : picture(summary),
      element(
        "div",
        {},
        nan + infinite ? element("p", { class: "wild" }, "✕ not finite: ", wildWord.filter(Boolean).join(", ")) : null,
        single
          ? null
          : element("p", {}, stat("norm", summary[NORM]), stat("mean", summary[MEAN]), stat("min", summary[LEAST]), stat("max", summary[MOST])),
        element("p", { class: "mono first" }, summary[FIRST].replaceAll("-", "−")),
      ),
    );
  }

  const stat = (name, x) => element("span", { class: "stat" }, `${name} `, element("b", {}, format(x)));

  /** A link to a node. */
  function link(index, text = titleOf(index)) {
    return element(
      "a",
      {
        href: `#node=${index}`,
        onclick: (event) => {
          event.preventDefault();
          play(false);
          goToNode(index);
        },
      },
      text,
    );
  }

  const MARKS = { agrees: "✓", differs: "✗", kink: "~", none: "–" };

  /** A finite difference beside a gradient. */
  function difference([verdict, ...rest], what) {
    const text =
      verdict === "none"
        ? `no finite difference of ${what}: ${data.reasons[rest[0]]}`
        : `${what}, along a random direction: ${format(rest[0])}; finite difference ${format(rest[1])}` +
          (verdict === "kink" ? "; it is at a kink or a jump, where they need not agree" : `, relative error ${format(rest[2], 2)}`);
    return element("p", { class: `check ${verdict}` }, element("b", {}, MARKS[verdict]), text);
  }

  // ---------------------------------------------------------------- the panel

  function part(title, ...children) {
    return element("section", {}, element("h3", {}, title), ...children);
  }

  function card(head, ...children) {
    return element("div", { class: "card" }, element("p", { class: "head" }, ...head), ...children);
  }

  const shaped = (shape, dtype) => element("span", { class: "mono faint" }, ` ${shape} ${dtype}`);
  const many = (list) => list.length > 1;

  function head(entry, index) {
    const facts = [
      [entry.name && entry.op ? "name" : "", entry.name],
      ["options", entry.options],
      ["layer", data.layers[entry.layers]],
    ].filter(([name, fact]) => name && fact);
    return element(
      "header",
      {},
      element(
        "h2",
        {},
        entry.op || entry.name || entry.kind,
        " ",
        element("span", { class: "faint" }, link(index, `#${index}`), entry.kind === "op" ? "" : ` ${entry.kind}`),
      ),
      facts.length
        ? element("p", {}, facts.map(([name, fact]) => element("span", { class: "fact" }, element("span", { class: "faint" }, `${name} `), fact)))
        : null,
    );
  }

  function source(entry) {
    if (entry.line === undefined) return null;
    const [file, line, where] = data.lines[entry.line];
    const { lines } = data.files[file];
    const shown = Object.keys(lines).map(Number).filter((n) => Math.abs(n - line) <= 3).sort((a, b) => a - b);
    const indent = Math.min(...shown.map((n) => lines[n].search(/\S|$/)));
    return part(
      `called at ${lineName(entry.line)} in ${where}`,
      element(
        "pre",
        { class: "code" },
        shown.map((n) => element("span", { class: n === line ? "now" : null }, `${String(n).padStart(4)}  ${lines[n].slice(indent)}\n`)),
      ),
    );
  }

  function rule(entry) {
    if (entry.rules === undefined) return null;
    const { kind, rules, twin } = data.rules[entry.rules];
    const word = {
      rules: "its rule",
      joint: "its rule, one for all inputs",
      fused: `its rule, written by hand for all inputs; its twin of plain ops is ${twin}`,
    }[kind];
    return part(
      word,
      rules.map(([argument, name, text]) =>
        element(
          "div",
          { class: "rule" },
          argument ? element("p", { class: "mono" }, `d ${argument}`, name ? ` = ${name}` : "") : null,
          element("pre", { class: "code" }, text || "the source is not at hand"),
        ),
      ),
    );
  }

  function values(entry, folded) {
    const cards = [
      ...edges(entry).map(([from, i, argument]) => {
        const [shape, dtype, value] = results(entries[from])[i];
        return card([element("b", {}, argument), " = ", link(from), many(results(entries[from])) ? ` [${i}]` : "", shaped(shape, dtype)], array(value));
      }),
      ...results(entry).map(([shape, dtype, value], i) =>
        card([element("b", {}, entry.op ? "result" : "value"), many(results(entry)) ? ` [${i}]` : "", shaped(shape, dtype)], array(value)),
      ),
    ];
    if (!folded) return part("values", cards);
    return element("details", { open: opened, ontoggle: (event) => (opened = event.target.open) }, element("summary", {}, "values"), cards);
  }
  let opened = false;

  /** The gradients that come in, and what they are the sum of. */
  function incoming(entry, index) {
    const cards = results(entry).map(([shape, dtype, , gradient, check, rounded], i) => {
      const title = [element("b", {}, many(results(entry)) ? `g[${i}]` : "g"), shaped(shape, dtype)];
      if (gradient < 0) return card(title, element("p", { class: "faint" }, "none comes"));
      const summands = (entry.sums ?? []).filter(([number_]) => number_ === i);
      return card(
        title,
        array(gradient),
        difference(check, "the whole gradient"),
        rounded === undefined ? null : element("p", { class: "faint" }, `${dtype} has rounded it by ${format(rounded, 2)} of its norm`),
        summands.length ? sum(summands) : null,
      );
    });
    const from = index === back[0] ? "the walk starts with it" : "";
    return part("the gradient that comes in", from ? element("p", { class: "faint" }, from) : null, cards);
  }

  function sum(summands) {
    return element(
      "div",
      { class: "sum" },
      element("p", {}, `the sum of ${summands.length} gradients, in the order in which they arrive:`),
      element(
        "div",
        { class: "rows" },
        element(
          "table",
          {},
          element("tr", {}, ["from", "for its", "norm", "norm of the sum so far"].map((name, i) => element("th", { class: i > 1 ? "number" : null }, name))),
          summands.map(([, user, argument, norm, so]) =>
            element("tr", {}, element("td", {}, link(user)), element("td", { class: "mono" }, argument),
              element("td", { class: "number" }, format(norm)), element("td", { class: "number" }, format(so))),
          ),
        ),
      ),
    );
  }

  function outgoing(entry) {
    const cards = edges(entry).map(([from, i, argument, hasRule, gradient, check, shape, axes, summed]) => {
      const [toShape, toType] = results(entries[from])[i];
      const title = [element("b", {}, `d ${argument}`), " to ", link(from), shaped(toShape, toType)];
      if (!hasRule) return card(title, element("p", { class: "faint" }, "a constant: no gradient goes to it"));
      if (gradient < 0) return card(title, element("p", { class: "faint" }, "the rule gives none"));
      const undone =
        shape === undefined
          ? null
          : element("p", { class: "undone" }, axes.length
              ? `broadcasting undone: the rule gave ${shape}, which is summed over ${axes.length > 1 ? "the axes" : "axis"} ${axes.join(", ")} to ${toShape}`
              : `the rule gave ${shape}; it becomes ${toType} ${toShape}`);
      return card(title, undone, array(summed ?? gradient), difference(check, `d ${argument} of this op alone`));
    });
    return part("the gradients that go out", cards);
  }

  function kept(entry, isBackStep) {
    if (!entry.saved) return null;
    const bytes = entry.saved.reduce((sum_, [, , n]) => sum_ + n, 0);
    return part(
      `${isBackStep ? "kept for this step, and dropped after it" : "kept for the way back"}: ${minigrad.bytes(bytes)}`,
      element("table", {}, entry.saved.map(([name, what, n]) =>
        element("tr", {}, element("td", { class: "mono" }, name), element("td", { class: "mono faint" }, what), element("td", { class: "number" }, n ? minigrad.bytes(n) : "")))),
    );
  }

  function showPanel() {
    const entry = entries[state.node];
    const isBackStep = isBack(state.step) && stepBack[state.node] > 0;
    const parts = isBackStep
      ? [incoming(entry, state.node), rule(entry), entry.kind === "op" ? outgoing(entry) : null, kept(entry, true), values(entry, true), source(entry)]
      : [values(entry, false), kept(entry, false), rule(entry), source(entry)];
    panel.replaceChildren(head(entry, state.node), ...parts.filter(Boolean));
    panel.scrollTop = 0;
  }

  // ---------------------------------------------------------------- all of it

  function show() {
    slider.set(state.step);
    showPanel();
    showMemory();
    follow();
    map.redraw();
    if (!state.playing) note();
  }

  if (data.trouble) root.prepend(element("p", { class: "failed" }, data.trouble));
  root.append(
    element(
      "details",
      { class: "help" },
      element("summary", {}, "How to read this"),
      element("p", {}, "Keys: space plays and pauses, ← and → go a step, Home and End go to the ends, / finds. The address " +
        "of the page leads to the step: #step=12, or #node=34 for a node."),
      element("p", {}, "Finite differences: the ops run again in float64, moved along a random direction to both sides. " +
        "“d x of this op alone” moves one argument of one op, and compares what its rule says. “The whole gradient” moves " +
        "a value, runs all ops behind it, and compares the change of the end with the gradient that came. ✓ they agree " +
        "(relative error at most 1e−5), ✗ they differ, ~ a kink or a jump, – not measured."),
      element("p", {}, "Memory: each piece once, also where several nodes keep it. After its step back a node drops what it " +
        "has kept. A watch keeps all this longer; the curve is that of a program without one."),
    ),
  );
  minigrad.hash.listen(goToAddress);
  goToAddress();
  if (whole() >= 0.3) showWhole();
  else centre(Math.max(Math.min(map.clientHeight / data.map.height, 1), 0.6)); // as much as one can read
};
