// The walk along a tape, step by step as in a debugger: its controls, the search, and the address.
//
// `minigrad/viz/explorer/explorer_page.py` makes the data; `explorer.walk.js` says what it means. The
// map, the memory and the panel beside them are in the other files of this name.

minigrad.views.explorer = (root, data) => {
  "use strict";

  const { element } = minigrad;
  const walk = minigrad.views.explorer.walk(data);
  const { entries, order, last, isBack, stepForward, stepBack, wildAt, normsAt, describe } = walk;

  // ---------------------------------------------------------------- going from step to step

  const STOPS = {
    never: () => false,
    "not finite": wildAt,
    "norm above": (step) => normsAt(step).some((norm) => norm > limit.valueAsNumber),
    "norm below": (step) => normsAt(step).some((norm) => norm < limit.valueAsNumber),
  };
  const stopsAt = (step) => STOPS[stop.value](step);

  function go(step, node = null) {
    walk.step = Math.min(Math.max(Math.round(step), 1), last);
    walk.node = node ?? order[walk.step - 1];
    told.textContent = "";
    show();
  }

  /** Show a node: at its step in this half of the walk, in the other half, or as it is. */
  function goToNode(index) {
    const steps = isBack(walk.step) ? [stepBack, stepForward] : [stepForward, stepBack];
    go(steps[0][index] || steps[1][index] || walk.step, index);
  }

  let playing = null; // what runs, if something does

  function play(on) {
    if (on && walk.step === last) go(1);
    const mine = (playing = on ? {} : null);
    playButton.textContent = on ? "❚❚" : "▶";
    playButton.setAttribute("aria-label", on ? "pause" : "play");
    playButton.title = on ? "pause (space)" : "play (space)";
    if (!on) return note();
    let due = performance.now() + 1000 / speed;
    const tick = (now) => {
      if (playing !== mine) return;
      if (now >= due) {
        due = Math.max(due + 1000 / speed, now - 1000 / speed);
        go(walk.step + 1);
        const stopped = stopsAt(walk.step);
        if (stopped) told.textContent = `stopped at step ${walk.step}: ${stopWord()}`;
        if (stopped || walk.step === last) return play(false);
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  /** To the next step where the play would stop. */
  function run() {
    play(false);
    for (let step = walk.step + 1; step <= last; step += 1) {
      if (stopsAt(step)) {
        go(step);
        told.textContent = `step ${step}: ${stopWord()}`;
        return;
      }
    }
    told.textContent = `no step after this one: ${stopWord()}`;
  }

  const stopWord = () =>
    stop.value.startsWith("norm")
      ? `a gradient's ${stop.value} ${limit.value}`
      : `a value is ${stop.value}`;

  /** Note the place in the address. */
  function note() {
    const isOfStep = order[walk.step - 1] === walk.node;
    minigrad.hash.set("step", walk.step);
    minigrad.hash.set("node", isOfStep ? null : walk.node);
  }

  function goToAddress() {
    const [step, node] = ["step", "node"].map((key) => parseInt(minigrad.hash.get(key), 10));
    const isNode = node >= 0 && node < entries.length;
    if (isNode && !(step >= 1)) goToNode(node);
    else go(step >= 1 ? step : walk.step, isNode ? node : null);
  }

  // ---------------------------------------------------------------- controls

  const button = (sign, name, key, action) => {
    const node = minigrad.button(sign, action, name);
    node.title = `${name} (${key})`;
    return node;
  };
  const playButton = button("▶", "play", "space", () => play(!playing));
  const byHand = (step) => {
    play(false);
    go(step);
  };
  const toStart = () => byHand(1);
  const toEnd = () => byHand(last);
  const toPrevious = () => byHand(walk.step - 1);
  const toNext = () => byHand(walk.step + 1);

  let speed = 5;
  const speeds = minigrad.choice(
    "steps per second",
    [1, 2, 5, 10, 30, 60].map((x) => [x, String(x)]),
    speed,
    (x) => (speed = x),
  );
  const slider = minigrad.slider(
    "step",
    {
      min: 1,
      max: Math.max(last, 1),
      show: (step) => `${step} of ${last}, ${isBack(step) ? "back" : "forward"}`,
    },
    byHand,
  );
  slider.classList.add("steps");

  const search = element("input", {
    type: "search",
    placeholder: "op, name, line, layer or #node",
    "aria-label": "search",
  });
  const hits = element("ol", { class: "hits", hidden: true });
  const stop = element(
    "select",
    { "aria-label": "stop at", onchange: () => (limit.hidden = !stop.value.startsWith("norm")) },
    Object.keys(STOPS).map((name) => element("option", {}, name)),
  );
  const limit = element("input", {
    type: "number",
    step: "any",
    value: 1,
    "aria-label": "norm",
    hidden: true,
  });
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

  /** Whether a key is meant for this view: it has the focus, or nothing has and it is the only one. */
  function isOwn(event) {
    const isAlone = document.querySelectorAll(".view").length === 1;
    return root.contains(event.target) || (isAlone && event.target === document.body);
  }

  addEventListener("keydown", (event) => {
    if (!isOwn(event) || event.ctrlKey || event.metaKey || event.altKey) return;
    const inField = event.target.closest?.("input:not([type=range]), select, textarea");
    if (inField || (event.key === " " && event.target.closest?.("button, a, summary"))) return;
    const action = {
      " ": () => play(!playing),
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
    const at =
      file === undefined
        ? ""
        : `${data.files[file].name}:${line} ${where} ${data.files[file].lines[line] ?? ""}`;
    const named = [entry.op, entry.name, data.map.names[index], entry.kind];
    const facts = [`#${index}`, ...named, at, data.layers[entry.layers]];
    return facts.filter(Boolean).join(" ").toLowerCase();
  });

  function find() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const exact = /^#?(\d+)$/.exec(search.value.trim());
    const found = !words.length
      ? []
      : exact && exact[1] < entries.length
        ? [Number(exact[1])]
        : [...entries.keys()].filter((i) => words.every((word) => texts[i].includes(word)));
    const isNamed = (i) =>
      words.includes(entries[i].op) || words.includes(entries[i].name?.toLowerCase());
    found.sort((a, b) => isNamed(b) - isNamed(a));
    walk.found = new Set(found);
    hits.hidden = !words.length;
    hits.replaceChildren(
      element("li", { class: "faint" }, `${found.length} ${found.length === 1 ? "node" : "nodes"}`),
      ...found
        .slice(0, 50)
        .map((index) =>
          element(
            "li",
            {},
            element("button", { type: "button", onclick: () => choose(index) }, describe(index)),
          ),
        ),
    );
    map.redraw();
  }

  function choose(index) {
    hits.hidden = true;
    play(false);
    goToNode(index);
  }
  search.addEventListener("input", find);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && walk.found.size) choose([...walk.found][0]);
    if (event.key === "Escape") hits.hidden = true;
  });
  addEventListener("pointerdown", (event) => {
    if (!event.target.closest?.(".search")) hits.hidden = true;
  });

  // ---------------------------------------------------------------- the parts

  const left = element("div", { class: "left" });
  const columns = element("div", { class: "columns" }, left);
  root.append(columns);
  const { explorer } = minigrad.views;
  const map = explorer.map(left, walk, choose);
  const memory = explorer.memory(left, walk, byHand);
  const panel = explorer.panel(columns, walk, choose);

  // ---------------------------------------------------------------- all of it

  function show() {
    slider.set(walk.step);
    panel.show();
    memory.show();
    map.follow();
    map.redraw();
    if (!playing && isShown) note();
  }
  let isShown = false; // before, nobody has moved

  if (data.trouble) root.prepend(element("p", { class: "failed" }, data.trouble));
  root.append(
    element(
      "details",
      { class: "help" },
      element("summary", {}, "How to read this"),
      element(
        "p",
        {},
        "Keys: space plays and pauses, ← and → go a step, Home and End go to the ends, / finds. The address " +
          "of the page leads to the step: #step=12, or #node=34 for a node.",
      ),
      element(
        "p",
        {},
        "Finite differences: the ops run again in float64, moved along a random direction to both sides. " +
          "“d x of this op alone” moves one argument of one op, and compares what its rule says. “The whole gradient” moves " +
          "a value, runs all ops behind it, and compares the change of the end with the gradient that came. ✓ they agree " +
          "(relative error at most 1e−5), ✗ they differ, ~ a kink or a jump, – not measured.",
      ),
      element(
        "p",
        {},
        "Memory: each piece once, also where several nodes keep it. After its step back a node drops what it " +
          "has kept. A watch keeps all this longer; the curve is that of a program without one.",
      ),
    ),
  );
  minigrad.hash.listen(goToAddress);
  goToAddress();
  map.begin();
  isShown = true;
};
