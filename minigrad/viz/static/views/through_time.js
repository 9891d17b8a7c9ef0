// Gradients through time: for each recurrent layer the triangle of the norms of dL_t/dh_s, what a
// window of truncated BPTT drops of it, and what clipping leaves. Two sliders move the window and
// the threshold of clipping for all layers together. gradient.py makes the data.

minigrad.views.through_time = (root, data) => {
  "use strict";

  const { element, format, number, colour, viridis, hash, tip } = minigrad;
  const { T, flows } = data;
  const times = Array.from({ length: T }, (_, t) => t);
  const tokens = data.tokens.map((token) => minigrad.visible(token));
  const asked = { window: number(hash.get("window")), clip: number(hash.get("clip")) };
  const chosen = {
    window: Math.min(asked.window >= 1 ? Math.floor(asked.window) : (data.window ?? T), T),
    threshold: asked.clip > 0 ? asked.clip : (data.max_norm ?? Infinity),
    part: "",
  };
  const changes = []; // what is to be called when `chosen` changes

  function change(what) {
    Object.assign(chosen, what);
    for (const call of changes) call();
  }

  // ---------------------------------------------------------------- controls

  const windows = minigrad.slider(
    "Window of truncated BPTT",
    {
      min: 1,
      max: T,
      value: chosen.window,
      show: (k) => (k === T ? `${T} (nothing is cut)` : `${k} ${k === 1 ? "step" : "steps"}`),
    },
    (k) => {
      hash.set("window", k);
      change({ window: k });
    },
  );

  // The threshold moves in steps of 5 %, over all norms that can be clipped; at the end is none.
  const norms = flows.flatMap((flow) => [flow.all.full, ...flow.all.norms]).map(number);
  const largest = norms.reduce((a, b) => (b > a && b < Infinity ? b : a), 1e-300);
  const base = Number.isFinite(chosen.threshold) ? chosen.threshold : largest;
  const place = (threshold) => Math.round(Math.log(threshold / base) / Math.log(1.05));
  const last = Math.max(place(largest), 0) + 1;
  const threshold = (p) => (p >= last ? Infinity : base * 1.05 ** p);
  const clipping = minigrad.slider(
    "Clip the gradient's norm at",
    {
      min: Math.min(place(largest), 0) - 100,
      max: last,
      value: Number.isFinite(chosen.threshold) ? 0 : last,
      show: (p) => (p >= last ? "no threshold" : format(threshold(p), 3)),
    },
    (p) => {
      hash.set("clip", threshold(p));
      change({ threshold: threshold(p) });
    },
  );
  windows.classList.add("window");
  clipping.classList.add("clip");

  const parts = [...new Set(flows.flatMap((flow) => Object.keys(flow.parts)))];
  const row = minigrad.controls(windows, clipping);
  if (parts.length) {
    const rest = (part) => parts.filter((other) => other !== part).join(" and ");
    const alone = parts.map((part) => [part, `${part} alone, ${rest(part)} held fixed`]);
    const options = [["", "as a whole"], ...alone];
    row.append(minigrad.choice("State", options, "", (part) => change({ part })));
  }
  root.append(row, scale());

  const panels = element("div", { class: flows.length === 1 ? "panels alone" : "panels" });
  root.append(panels);
  flows.forEach((flow) => panels.append(panel(flow)));
  change({});

  // ---------------------------------------------------------------- colours

  /** From 0 to 1 on the scale of all layers; what is smaller than its smallest norm is 0. */
  function bright(norm) {
    const [low, high] = [Math.log(data.low), Math.log(data.high)];
    return Math.max(0, (Math.log(norm) - low) / (high - low));
  }

  /** The colour bar: which norm each colour means. */
  function scale() {
    const box = element("div", { class: "scale" });
    box.append(element("span", {}, "‖∂L", sub("t"), "/∂h", sub("τ"), "‖, nats per unit of the state"));
    const bar = minigrad.canvas(box, 34, "The colours of the norms", (context, width) => {
      const [left, right] = [24, width - 24];
      for (let x = left; x < right; x += 1) {
        context.fillStyle = viridis((x - left) / (right - left));
        context.fillRect(x, 0, 1, 14);
      }
      const axis = vendor.d3.scaleLog([data.low, data.high], [left, right]);
      context.fillStyle = colour("faint");
      context.font = "12px system-ui, sans-serif";
      context.textAlign = "center";
      const decades = Math.log10(data.high / data.low);
      let end = -Infinity;
      for (const tick of axis.ticks(6)) {
        const first = Number(tick.toExponential(0).split("e")[0]);
        if (first !== 1 && (decades > 3 || ![2, 5].includes(first))) continue;
        const label = power(tick);
        const wide = context.measureText(label).width;
        if (axis(tick) - wide / 2 < end + 8) continue;
        end = axis(tick) + wide / 2;
        context.fillRect(axis(tick) - 0.5, 14, 1, 4);
        context.fillText(label, axis(tick), 30);
      }
    });
    bar.classList.add("bar");
    return box;
  }

  function power(value) {
    if (value >= 1e-3 && value < 1e4) return format(value, 2);
    const [factor, exponent] = value.toExponential(0).split("e").map(Number);
    const raised = digits(Math.abs(exponent), "⁰¹²³⁴⁵⁶⁷⁸⁹");
    return `${factor === 1 ? "" : `${factor}·`}10${exponent < 0 ? "⁻" : ""}${raised}`;
  }

  /** A whole number with other digits. */
  function digits(number, signs) {
    return [...String(number)].map((digit) => signs[digit]).join("");
  }

  /** A whole number as an index. */
  function below(number) {
    return digits(number, "₀₁₂₃₄₅₆₇₈₉");
  }

  function sub(text) {
    return element("sub", {}, text);
  }

  // ---------------------------------------------------------------- one layer

  function panel(flow) {
    const map = element("div", { class: "map" }, element("h3", {}, flow.name, " ", kind(flow)));
    const told = element("p", { class: "told", "aria-live": "polite" });
    triangle(map, flow, told);
    map.append(told, numbers(flow));
    const charts = element("div", { class: "charts" });
    steps(charts, flow);
    bias(charts, flow);
    decay(charts, flow);
    return element("article", { class: "flow" }, map, charts);
  }

  function kind(flow) {
    return flow.name.includes(flow.kind) ? null : element("span", { class: "faint" }, flow.kind);
  }

  /** What truncation and clipping do to the gradient, in numbers. */
  function numbers(flow) {
    const cells = {};
    const cell = (key) => (cells[key] = element("td", { class: "number", "data-number": key }));
    const line = (name, key) =>
      element("tr", {}, element("th", { scope: "row" }, name), cell(`w-${key}`), cell(`all-${key}`));
    const dropped = element("strong", { "data-number": "dropped" });
    changes.push(() => {
      const k = chosen.window - 1;
      dropped.textContent = `${format(100 * number(flow.dropped[k]), 3)} %`;
      const factor = clipped(flow);
      for (const key of ["w", "all"]) {
        const bias = flow[key];
        cells[`${key}-full`].textContent = format(bias.full);
        cells[`${key}-norm`].textContent = format(bias.norms[k]);
        cells[`${key}-error`].textContent = format(bias.errors[k]);
        cells[`${key}-cosine`].textContent = format(bias.cosines[k]);
        cells[`${key}-clipped`].textContent = format(factor * number(bias.norms[k]));
      }
    });
    return element(
      "div",
      {},
      element("p", {}, "The window drops ", dropped, " of the sum of the norms."),
      element(
        "table",
        {},
        element("tr", {}, element("td"), heading(flow), element("th", { class: "number" }, "all parameters")),
        line("norm in full", "full"),
        line("norm truncated", "norm"),
        line("relative error", "error"),
        line("cosine", "cosine"),
        line("norm, also clipped", "clipped"),
      ),
    );
  }

  function heading(flow) {
    return element("th", { class: "number", title: flow.weights.join(", ") }, gradient(flow));
  }

  /** "dL/dW_hh" with its index; of a cell of one's own by all its parameters. */
  function gradient(flow) {
    const W = flow.is_matrix ? ["W", sub("hh")] : ["θ"];
    return element("span", {}, "∂L/∂", W);
  }

  /** The factor by which the truncated gradient is clipped. */
  function clipped(flow) {
    const norm = number(flow.all.norms[chosen.window - 1]);
    return norm > 0 ? Math.min(1, chosen.threshold / norm) : 1;
  }

  // ---------------------------------------------------------------- the triangle

  function triangle(parent, flow, told) {
    const images = {}; // by the part of the state: a pixel for each pair
    const cell = { t: -1, s: -1 };
    const named = T <= 30;
    let size = 0;
    const [left, top] = [named && tokens.some((token) => token.length > 1) ? 72 : 44, 4];

    const norms = () => flow.parts[chosen.part] ?? flow.norms;

    function image() {
      if (!images[chosen.part]) {
        const picture = element("canvas", { width: T, height: T });
        const context = picture.getContext("2d");
        norms().forEach((line, t) =>
          line.forEach((norm, s) => {
            context.fillStyle = viridis(bright(number(norm)));
            context.fillRect(s, t, 1, 1);
          }),
        );
        images[chosen.part] = picture;
      }
      return images[chosen.part];
    }

    const label =
      `${flow.name}: the norms of the gradients of the loss at time t (down) by the state at ` +
      "time τ (across). Arrow keys move from pair to pair.";
    const map = minigrad.canvas(parent, 400, label, (context, width, height) => {
      size = Math.min(width - left - 4, height - top - 36);
      const one = size / T;
      context.imageSmoothingEnabled = false;
      context.drawImage(image(), left, top, size, size);
      edges(context, one);
      axes(context, one);
      if (cell.t >= 0) {
        context.lineWidth = 2;
        const box = [left + cell.s * one, top + cell.t * one, Math.max(one, 4), Math.max(one, 4)];
        context.strokeStyle = "#ffffff";
        context.strokeRect(box[0] - 2, box[1] - 2, box[2] + 4, box[3] + 4);
        context.strokeStyle = colour("ink");
        context.strokeRect(...box);
      }
    });
    map.style.height = ""; // as high as it is wide: see through_time.css
    map.tabIndex = 0;
    changes.push(map.redraw);

    /** What is dropped, paler; and its border. */
    function edges(context, one) {
      const k = chosen.window;
      if (k === T) return;
      const border = new Path2D();
      border.moveTo(left, top + k * one);
      for (let end = k; end < T; end += k) {
        border.lineTo(left + end * one, top + end * one);
        border.lineTo(left + end * one, top + Math.min(end + k, T) * one);
      }
      const dropped = new Path2D(border);
      dropped.lineTo(left, top + size);
      context.fillStyle = "rgba(255, 255, 255, 0.55)";
      context.fill(dropped);
      context.strokeStyle = colour("c2");
      context.lineWidth = 2;
      context.stroke(border);
    }

    function axes(context, one) {
      context.fillStyle = colour("faint");
      const letter = named ? Math.min(13, Math.max(9, one)) : 12;
      context.font = `${letter}px system-ui, sans-serif`;
      const ticks = named ? times : vendor.d3.scaleLinear([0, T - 1], [0, 1]).ticks(6).filter(Number.isInteger);
      const shown = (i, room) => (named ? short(context, sign(tokens[i]), room) : String(i));
      context.textBaseline = "top";
      context.textAlign = "center";
      for (const s of ticks) context.fillText(shown(s, one - 4), left + (s + 0.5) * one, top + size + 4);
      context.textAlign = "right";
      context.textBaseline = "middle";
      for (const t of ticks) {
        context.fillText(shown(named ? t + 1 : t, left - 22), left - 5, top + (t + 0.5) * one);
      }
      context.font = "13px system-ui, sans-serif";
      context.textAlign = "center";
      context.textBaseline = "bottom";
      context.fillText(
        named ? "time of the state τ: the token read" : "time of the state τ",
        left + size / 2,
        top + size + 36,
      );
      context.save();
      context.translate(0, top + size / 2);
      context.rotate(-Math.PI / 2);
      context.textBaseline = "top";
      const across = named ? "time of the loss t: the token to predict" : "time of the loss t";
      context.fillText(across, 0, 0);
      context.restore();
    }

    function tell(t, s) {
      Object.assign(cell, { t, s });
      told.textContent = t < 0 ? "" : words(t, s);
      map.redraw();
    }

    /** Tell of a pair that the keyboard has come to, and show it beside its cell. */
    function visit(t, s) {
      tell(t, s);
      const box = map.getBoundingClientRect();
      const one = size / T;
      tip.show(words(t, s), box.left + left + (s + 1) * one, box.top + top + (t + 1) * one);
    }

    function words(t, s) {
      const state = chosen.part in flow.parts ? chosen.part : "h";
      const cut = Math.floor(t / chosen.window) !== Math.floor(s / chosen.window);
      return (
        `‖∂L${below(t)}/∂${state}${below(s)}‖ = ${format(norms()[t][s])}${cut ? ", dropped" : ""}. ` +
        `State after “${sign(tokens[s])}”, loss of “${sign(tokens[t + 1])}” ` +
        `(${format(flow.losses[t], 3)} nats), ${t - s} ${t - s === 1 ? "step" : "steps"} back. ` +
        `Gives ${format(flow.pairs[t][s], 3)} of ${format(flow.w.full, 3)} to the gradient.`
      );
    }

    map.addEventListener("pointermove", (event) => {
      const box = map.getBoundingClientRect();
      const s = Math.floor(((event.clientX - box.left - left) / size) * T);
      const t = Math.floor(((event.clientY - box.top - top) / size) * T);
      const inside = s >= 0 && t < T && s <= t;
      tell(inside ? t : -1, s);
      if (inside) tip.show(words(t, s), event.clientX, event.clientY);
      else tip.hide();
    });
    map.addEventListener("pointerleave", () => {
      tip.hide();
      tell(-1, -1);
    });
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    map.addEventListener("keydown", (event) => {
      const move = moves[event.key];
      if (!move) return;
      event.preventDefault();
      const [t, s] = cell.t < 0 ? [T - 1, T - 1] : [cell.t + move[0], cell.s + move[1]];
      if (t < T && s >= 0 && s <= t) visit(t, s);
    });
    map.addEventListener("blur", () => {
      tip.hide();
      tell(-1, -1);
    });
    changes.push(() => tell(cell.t, cell.s));
  }

  /** As much of a token as there is room for, at least its first letter. */
  function short(context, token, room) {
    const all = [...token];
    const letters = all.slice(0, 60); // there is never room for more
    const whole = () => (letters.length < all.length ? `${letters.join("")}…` : token);
    while (letters.length > 1 && context.measureText(whole()).width > room) letters.pop();
    return letters.length === 1 ? letters[0] : whole();
  }

  function sign(token) {
    return token.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥");
  }

  // ---------------------------------------------------------------- the charts

  /** For each step the sum of its pairs that the window keeps. */
  function kept(pairs, k) {
    return times.map((s) => {
      const end = Math.min((Math.floor(s / k) + 1) * k, T);
      let sum = 0;
      for (let t = s; t < end; t += 1) sum += number(pairs[t][s]);
      return sum;
    });
  }

  function steps(parent, flow) {
    const full = kept(flow.pairs, T);
    let [cut, left] = [full, full];
    const title = ["What each step τ gives to ", gradient(flow)];
    const label = `${flow.name}: what each time step gives to the gradient`;
    const draw = chart(parent, title, label, {
      x: times,
      across: "time step τ",
      lines: () => [
        { name: "full", values: full, colour: "c7", bars: true },
        { name: "truncated", values: cut, colour: "c1", step: true },
        { name: "and clipped", values: left, colour: "c2", step: true, dash: [5, 3] },
      ],
    });
    changes.push(() => {
      cut = kept(flow.pairs, chosen.window);
      const factor = clipped(flow);
      left = cut.map((value) => value * factor);
      draw();
    });
  }

  function bias(parent, flow) {
    const draw = chart(parent, ["Relative error of the truncated gradient"], `${flow.name}: bias`, {
      x: times.map((t) => t + 1),
      across: "window, in steps",
      cursor: () => chosen.window,
      lines: () => [
        { name: gradient(flow), values: flow.w.errors, colour: "c1" },
        { name: "all parameters", values: flow.all.errors, colour: "c3", dash: [6, 3] },
      ],
    });
    changes.push(draw);
  }

  function decay(parent, flow) {
    const title = ["How it decays: ‖∂L", sub("t"), "/∂h", sub("t−k"), "‖ / ‖∂L", sub("t"), "/∂h", sub("t"), "‖"];
    const lines = [{ name: "mean over t", values: flow.decay, colour: "c1" }];
    const { forecast } = flow;
    if (forecast) {
      const name = element("span", {}, "ρ", element("sup", {}, "k"), `, ρ = ${format(forecast.radius, 3)} of W`, sub(forecast.matrix));
      lines.push({ name, values: forecast.powers, colour: "c2", dash: [6, 3], within: 1e6 });
    }
    chart(parent, title, `${flow.name}: decay over the steps back`, {
      x: times,
      across: "steps back k",
      log: true,
      lines: () => lines,
    });
  }

  /** A chart of lines or bars over x, with its legend above; returns what draws it again. */
  function chart(parent, title, label, { x, across, log = false, cursor = null, lines }) {
    const legend = lines().map(({ name, colour: key, bars, dash }) => {
      const style = bars ? "bars" : dash ? "dashed" : "line";
      return element("span", { class: `key ${style} ${key}` }, name);
    });
    parent.append(element("h3", {}, title), element("div", { class: "legend" }, legend));
    const node = minigrad.canvas(parent, 154, label, (context, width, height) => {
      const drawn = lines().map((line) => ({ ...line, values: line.values.map(number) }));
      const [left, right, top, bottom] = [62, width - 14, 8, height - 34];
      const fits = (value) => Number.isFinite(value) && (!log || value > 0);
      const all = (line) => line.values.filter(fits);
      const data = drawn.filter((line) => !line.within).flatMap(all);
      let [low, high] = data.length ? extent(data) : [1, 1];
      for (const line of drawn.filter((each) => each.within)) {
        const [least, most] = extent(all(line));
        high = Math.max(high, Math.min(most, high * line.within));
        low = Math.min(low, Math.max(least, low / line.within));
      }
      if (!log) [low, high] = [Math.min(low, 0), Math.max(high, 0)];
      if (low === high) [low, high] = log ? [low / 10, high * 10] : [low, low + 1];
      const y = (log ? vendor.d3.scaleLog() : vendor.d3.scaleLinear())
        .domain([low, high])
        .nice(4)
        .range([bottom, top]);
      const room = drawn.some((line) => line.bars) ? 0.5 : 0;
      const ends = [x[0] - room, x[x.length - 1] + room];
      if (ends[0] === ends[1]) ends[1] += 1;
      const at = vendor.d3.scaleLinear().domain(ends).range([left, right]);

      context.font = "12px system-ui, sans-serif";
      context.textBaseline = "middle";
      context.textAlign = "right";
      for (const tick of ticks(y, log)) {
        context.fillStyle = colour("line");
        context.fillRect(left, y(tick) - 0.5, right - left, 1);
        context.fillStyle = colour("faint");
        context.fillText(log ? power(tick) : format(tick, 3), left - 6, y(tick));
      }
      context.textBaseline = "top";
      context.textAlign = "center";
      for (const tick of at.ticks(6).filter(Number.isInteger)) {
        context.fillText(String(tick), at(tick), bottom + 4);
      }
      context.textBaseline = "bottom";
      context.fillText(across, (left + right) / 2, height);

      context.save();
      context.beginPath();
      context.rect(left, top - 2, right - left, bottom - top + 4);
      context.clip();
      for (const line of drawn) {
        if (line.bars) bars(context, line, x, at, y);
        else path(context, line, x, at, y, fits);
      }
      if (cursor) {
        context.fillStyle = colour("c2");
        context.fillRect(at(cursor()) - 1, top, 2, bottom - top);
      }
      context.restore();
    });
    return node.redraw;
  }

  function ticks(y, log) {
    if (!log) return y.ticks(4);
    const [low, high] = y.domain().map((end) => Math.round(Math.log10(end)));
    const every = Math.max(1, Math.ceil((high - low) / 4));
    const found = [];
    for (let exponent = low; exponent <= high; exponent += every) found.push(Number(`1e${exponent}`));
    return found;
  }

  /** The smallest and the largest number; not by Math.min(...), which has a limit. */
  function extent(values) {
    return values.reduce(([low, high], x) => [Math.min(low, x), Math.max(high, x)], [Infinity, -Infinity]);
  }

  function bars(context, line, x, at, y) {
    context.fillStyle = "#c8c8c8";
    x.forEach((place, i) => {
      const [from, to] = [at(place - 0.5), at(place + 0.5)];
      const [value, zero] = [y(line.values[i]), y(0)];
      context.fillRect(from, Math.min(value, zero), to - from, Math.abs(value - zero));
    });
  }

  function path(context, line, x, at, y, fits) {
    context.strokeStyle = colour(line.colour);
    context.lineWidth = 1.8;
    context.setLineDash(line.dash ?? []);
    context.beginPath();
    let pen = false;
    x.forEach((place, i) => {
      if (!fits(line.values[i])) {
        pen = false;
        return;
      }
      const height = y(line.values[i]);
      if (line.step) {
        context[pen ? "lineTo" : "moveTo"](at(place - 0.5), height);
        context.lineTo(at(place + 0.5), height);
      } else {
        context[pen ? "lineTo" : "moveTo"](at(place), height);
        if (x.length === 1) context.lineTo(at(place) + 6, height);
      }
      pen = true;
    });
    context.stroke();
    context.setLineDash([]);
  }
};
