// A text coloured by the units of a network, which are sorted by how well they follow something.
// `minigrad/viz/neurons/neurons_page.py` makes the data.

minigrad.views.neurons = (root, data) => {
  "use strict";

  const { element, number, format } = minigrad;
  const { tokens, units, features, predictions } = data;
  const T = tokens.length;

  const bytes = Uint8Array.from(atob(units.activations), (c) => c.charCodeAt(0));
  const activations = new Int8Array(bytes.buffer); // unit by unit
  const activation = (unit, t) => (activations[unit * T + t] / units.levels) * units.largest[unit];

  const state = { feature: features.length ? 0 : -1, unit: 0, place: 0, colour: "activation" };

  // ---------------------------------------------------------------- colours

  const LIGHT = 2 / 3; // the darkest colours are left out: letters stand on them
  const palette = Array.from({ length: 2 * units.levels + 1 }, (_, i) =>
    minigrad.diverging((i / units.levels - 1) * LIGHT),
  );

  /** The colours of a unit's activations, which are steps of its largest one. */
  function colouring(unit) {
    const steeper = units.largest[unit] / (units.full_colour[unit] || 1);
    return (step) => {
      const i = Math.round(step * steeper);
      return palette[Math.min(Math.max(i, -units.levels), units.levels) + units.levels];
    };
  }

  const toPurple = vendor.d3.scaleLinear().range(["#ffffff", minigrad.colour("c4")]).clamp(true);
  const most = highest(predictions ? predictions.surprise : []);
  toPurple.domain([0, most]);

  /** The surprise that 98 of 100 tokens stay below, but at least 1 bit. */
  function highest(surprise) {
    const sorted = surprise.map(number).filter(Number.isFinite).sort((a, b) => a - b);
    return Math.max(1, Math.round(sorted[Math.floor(sorted.length * 0.98)] ?? 1));
  }

  // ---------------------------------------------------------------- the text

  /** A token with its white space made visible; the text itself stays as it is. */
  function shown(token) {
    return token.split(/([ \n\t])/).map((part) => {
      if (part === " ") return element("i", { class: "space" }, " ");
      if (part === "\n") return [element("i", { "aria-hidden": "true" }, "↵"), "\n"];
      if (part === "\t") return [element("i", { "aria-hidden": "true" }, "→"), "\t"];
      return part;
    });
  }

  const text = element("div", { class: "text", tabindex: 0, role: "textbox", "aria-readonly": "true",
    "aria-multiline": "true", "aria-label": "the text" });
  const spans = tokens.map((token) => element("span", {}, ...shown(token)));
  for (const [t, span] of spans.entries()) {
    span.dataset.place = t;
    if (t && t + data.start === data.half) {
      text.append(element("i", { class: "half" }, "second half"));
    }
    text.append(span);
  }
  text.addEventListener("pointerover", (event) => {
    const span = event.target.closest("[data-place]");
    if (span) goTo(Number(span.dataset.place), false);
  });

  function colourText() {
    const { surprise } = predictions ?? {};
    const toColour = colouring(state.unit);
    for (let t = 0; t < T; t += 1) {
      const bits = surprise && number(surprise[t]);
      spans[t].style.backgroundColor =
        state.colour === "activation"
          ? toColour(activations[state.unit * T + t])
          : Number.isNaN(bits) ? "" : toPurple(bits);
    }
  }

  function underline() {
    const { yes_or_no: can, values } = features[state.feature] ?? {};
    for (let t = 0; t < T; t += 1) spans[t].classList.toggle("true", Boolean(can && values[t]));
  }

  // ---------------------------------------------------------------- lists

  const figure = (x, digits = 2) => {
    const value = number(x);
    return Number.isNaN(value) ? "–" : value.toFixed(digits).replace("-", "−");
  };
  const signed = (x) => (number(x) > 0 ? "+" : "") + figure(x);

  /** Scroll `node` as little as possible, so that `item` in it can be seen. */
  function reveal(node, item) {
    const above = item.offsetTop;
    const below = above + item.offsetHeight - node.clientHeight;
    if (above < node.scrollTop) node.scrollTop = above;
    else if (below > node.scrollTop) node.scrollTop = below;
  }

  /** A list to choose from; `set(i)` marks a row. */
  function list(name, rows, choose) {
    const node = element("div", { class: `list ${name}`, role: "listbox", tabindex: 0 });
    node.setAttribute("aria-label", name);
    for (const [i, row] of rows.entries()) {
      row.setAttribute("role", "option");
      row.addEventListener("click", () => choose(i));
    }
    node.append(...rows);
    node.set = (chosen) => {
      for (const [i, row] of rows.entries()) row.setAttribute("aria-selected", String(i === chosen));
      const row = rows[chosen];
      if (row && !row.hidden) reveal(node, row);
    };
    return node;
  }

  const row = (...cells) => element("div", { class: "row" }, ...cells.map((cell) => element("span", {}, cell)));

  const featureRows = features.map(({ name, best }) =>
    row(name, signed(best.r), figure(best.auc ?? best.spearman)),
  );
  const featureList = list("features", featureRows, chooseFeature);
  const alone = features.findIndex((feature) => !feature.takes_memory);
  if (alone > 0) {
    featureRows[alone].before(element("div", { class: "between" }, "of the last character alone:"));
  }
  const unitRows = units.names.map((name) => row(name, "", ""));
  const unitList = list("units", unitRows, chooseUnit);
  const other = element("span");
  const filter = element("input", { type: "search", placeholder: "units whose name has …",
    "aria-label": "filter the units", oninput: sortUnits });

  /** The units in the order in which they follow the feature. */
  function order() {
    return features[state.feature]?.order ?? units.names.map((_, k) => k);
  }

  function sortUnits() {
    const feature = features[state.feature];
    const wanted = filter.value.trim().toLowerCase();
    for (const k of order()) {
      unitRows[k].hidden = !units.names[k].toLowerCase().includes(wanted);
      unitRows[k].style.display = unitRows[k].hidden ? "none" : "";
      unitRows[k].children[1].textContent = feature ? signed(feature.r[k]) : "";
      unitRows[k].children[2].textContent = feature ? figure(feature.other[k]) : "";
      unitList.append(unitRows[k]);
    }
    other.textContent = feature ? (feature.yes_or_no ? "AUC" : "ρ") : "";
    unitList.set(state.unit);
  }

  // ---------------------------------------------------------------- what is said

  const told = element("p", { class: "told" });
  const legend = element("span", { class: "legend" });

  function reversed(feature, r) {
    if (r >= 0) return "";
    return feature.yes_or_no ? " (low where it is true)" : " (falls as it grows)";
  }

  function tell() {
    const feature = features[state.feature];
    told.replaceChildren(element("b", {}, units.names[state.unit]));
    if (!feature) return;
    const r = number(feature.r[state.unit]);
    const kind = feature.yes_or_no ? "AUC" : "ρ";
    const figures = Number.isNaN(r)
      ? "has no correlation, since it is constant"
      : `r = ${signed(r)}, ${kind} = ${figure(feature.other[state.unit])}${reversed(feature, r)}`;
    told.append(` and “${feature.name}”: ${figures}. `, feature.meaning);
    if (feature.best.unit === units.names[state.unit]) {
      const { by_chance: chance, p } = feature.best;
      const what = feature.yes_or_no ? "r" : "ρ";
      told.append(
        ` This unit follows it best. By chance, with the feature moved along the text, ${what} is within ±${figure(chance)} in 95 of 100 cases; p = ${format(p, 2)}.`,
      );
    }
  }

  function tellColours() {
    const isActivation = state.colour === "activation";
    const stops = isActivation
      ? palette.filter((_, i) => i % Math.ceil(units.levels / 8) === 0)
      : [toPurple(0), toPurple(most)];
    const bar = element("i");
    bar.style.background = `linear-gradient(to right, ${stops.join(",")})`;
    const full = format(units.full_colour[state.unit], 3);
    const [low, high] = isActivation ? [`−${full} or less`, `+${full} or more`] : ["0", `${most} bits or more`];
    legend.replaceChildren(low, bar, high);
  }

  // ---------------------------------------------------------------- what the model expects

  const expected = element("div", { class: "expected", "aria-live": "polite" });

  /** White space as a sign, so that it can be read in a list. */
  const asSign = (token) => token.replace(/ /g, "␣").replace(/\n/g, "↵").replace(/\t/g, "→");

  const percent = (p) => (p < 1e-4 ? "< 0.01 %" : `${format(100 * p, 2)} %`);

  function bars(title, at, rank, surprise) {
    const node = element("div", {}, element("h3", {}, title));
    const i = at + data.start - predictions.first;
    if (at + data.start < 0) return node;
    const rows = predictions.likeliest[i].map((name, k) => [
      predictions.names[name], number(predictions.probabilities[i][k]), k === rank,
    ]);
    if (rank >= rows.length) rows.push([tokens[at + 1], 2 ** -number(surprise), true]);
    for (const [name, p, came] of rows) {
      const bar = element("b");
      bar.style.width = `${p * 100}%`;
      node.append(
        element("div", { class: came ? "bar came" : "bar" },
          element("code", {}, asSign(name)), bar, element("span", {}, percent(p))),
      );
    }
    if (rank >= 0) {
      node.append(element("div", { class: "faint" },
        `${asSign(tokens[at + 1])} came: ${figure(surprise)} bits of surprise`));
    }
    return node;
  }

  function tellPlace() {
    const t = state.place;
    const value = activation(state.unit, t);
    const parts = [`Token ${t + data.start}, ${asSign(tokens[t])}: activation ${signed(value)}`];
    const here = element("h3", {}, ...parts);
    here.style.gridColumn = "1 / -1";
    expected.replaceChildren(here);
    if (!predictions) return;
    const isFirst = t + data.start === 0;
    expected.append(
      isFirst
        ? element("div", {}, element("h3", {}, "The first token: nothing was expected"))
        : bars("Expected in its place", t - 1, predictions.rank[t], predictions.surprise[t]),
      bars(`Expected next (unsure by ${figure(predictions.entropy[t + data.start - predictions.first])} bits)`, t, -1),
    );
  }

  // ---------------------------------------------------------------- choosing

  function chooseFeature(i) {
    state.feature = i;
    featureList.set(i);
    underline();
    chooseUnit(order()[0]);
    sortUnits();
    unitList.scrollTop = 0;
  }

  function chooseUnit(k) {
    state.unit = k;
    unitList.set(k);
    colour("activation");
    tell();
    tellPlace();
  }

  function colour(what) {
    state.colour = what;
    chooser.set(what);
    colourText();
    tellColours();
  }

  function goTo(t, follow) {
    spans[state.place].classList.remove("here");
    state.place = Math.min(Math.max(t, 0), T - 1);
    const span = spans[state.place];
    span.classList.add("here");
    if (follow) reveal(text, span);
    tellPlace();
  }

  /** The unit so many rows further down among those that are shown. */
  function nextUnit(by) {
    const visible = order().filter((k) => !unitRows[k].hidden);
    const at = visible.indexOf(state.unit);
    const next = visible[Math.min(Math.max(at + by, 0), visible.length - 1)];
    if (next !== undefined) chooseUnit(next);
  }

  const KEYS = {
    ArrowUp: () => nextUnit(-1),
    k: () => nextUnit(-1),
    ArrowDown: () => nextUnit(1),
    j: () => nextUnit(1),
    ArrowLeft: () => goTo(state.place - 1, true),
    ArrowRight: () => goTo(state.place + 1, true),
  };
  root.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === featureList && event.key.startsWith("Arrow") && moveFeature(event)) return;
    const action = KEYS[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  /** Up and down in the list of features go through the features. */
  function moveFeature(event) {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by) return false;
    event.preventDefault();
    chooseFeature(Math.min(Math.max(state.feature + by, 0), features.length - 1));
    return true;
  }

  // ---------------------------------------------------------------- the page

  const ways = [["activation", "the activation of the unit"]];
  if (predictions) ways.push(["surprise", "the surprise at each token"]);
  const chooser = minigrad.choice("coloured by", ways, state.colour, colour);

  const head = (...cells) => element("div", { class: "row head" }, ...cells);
  const choosing = element("div", {},
    head(element("span", {}, "feature, and its best unit"), element("span", {}, "r"), element("span", {}, "AUC, ρ")),
    featureList);
  if (data.left_out.length) {
    choosing.append(element("details", { class: "faint" },
      element("summary", {}, `${data.left_out.length} features are left out`),
      ...data.left_out.map(({ name, why }) => element("div", {}, `${name}: ${why}`))));
  }
  const sorted = element("div", {},
    head(element("span", {}, "unit, the best first"), element("span", {}, "r"), other),
    unitList, filter);
  const side = element("div", { class: "side" }, choosing, sorted);
  root.append(side, element("div", {}, told, minigrad.controls(chooser, legend), text, expected));

  if (features.length) chooseFeature(0);
  else chooseUnit(0);
  goTo(Math.max(0, Math.min(T - 1, data.half - data.start)), true);
};
