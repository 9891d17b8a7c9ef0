// Histograms over training: a heat map for each parameter or layer, with one cursor for all.
// `minigrad/viz/learning/histograms_page.py` makes the data.

minigrad.views.histograms = (root, data) => {
  "use strict";

  const { element, number, format } = minigrad;
  const steps = data.steps;
  const last = Math.max(steps.length - 1, 0);
  const state = { kind: 0, at: last };
  const stride = steps.length > 1 ? steps[1] - steps[0] : 1;
  const palette = Array.from({ length: 256 }, (_, i) => minigrad.viridis(i / 255));
  const [LEFT, HEIGHT, BOTTOM] = [44, 84, 16];
  const percent = (share) => `${format(100 * number(share), 3)} %`;

  let rows = []; // of the chosen kind

  // ---------------------------------------------------------------- one series

  /** The heat map as a picture: a pixel for each step and bin. */
  function picture(series) {
    const levels = Uint8Array.from(atob(series.levels), (c) => c.charCodeAt(0));
    const bins = series.edges.length - 1;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [Math.max(series.steps.length, 1), bins];
    const context = canvas.getContext("2d");
    for (let t = 0; t < series.steps.length; t += 1) {
      for (let k = 0; k < bins; k += 1) {
        context.fillStyle = palette[levels[t * bins + k]];
        context.fillRect(t, bins - 1 - k, 1, 1);
      }
    }
    return { canvas, levels, bins };
  }

  /** Where the edges of a series lie on its axis: log10, where its bins are logarithmic. */
  function places(series) {
    const edges = series.edges.map(number);
    if (!series.log) return edges;
    return edges.map((edge, i) => Math.log10(edge || edges[i + 1] / 2)); // 0 is the lowest
  }

  function row(series) {
    const edges = places(series);
    const heat = picture(series);
    const across = vendor.d3.scaleLinear().domain([steps[0] ?? 0, (steps[last] ?? 0) + stride]);
    const up = vendor.d3.scaleLinear().domain([edges[0], edges[heat.bins]]);
    const index = new Map(series.steps.map((step, t) => [step, t]));
    const figures = element("div", { class: "figures" });
    const place = element("div", { class: "heat" });
    const shares = element("div", { class: "shares" });
    const node = element("div", { class: "row" }, element("h3", {}, series.name), place, shares, figures);

    function letters(context) {
      context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
      context.fillStyle = minigrad.colour("faint");
    }

    function cursor(context, x, height) {
      context.fillStyle = minigrad.colour("c2");
      context.fillRect(x - 1, 0, 2, height);
    }

    const canvas = minigrad.canvas(place, HEIGHT + BOTTOM, series.name, (context, width) => {
      across.range([LEFT, width - 2]);
      up.range([HEIGHT, 0]);
      context.fillStyle = palette[0];
      context.fillRect(LEFT, 0, width - 2 - LEFT, HEIGHT);
      context.imageSmoothingEnabled = false;
      const from = across(series.steps[0] ?? 0);
      const to = across((series.steps[series.steps.length - 1] ?? 0) + stride);
      context.drawImage(heat.canvas, from, 0, to - from, HEIGHT);
      letters(context);
      context.textAlign = "right";
      context.textBaseline = "middle";
      const ticks = up.ticks(3).filter((tick) => !series.log || Number.isInteger(tick));
      for (const tick of ticks) {
        const y = Math.min(Math.max(up(tick), 6), HEIGHT - 6);
        context.fillText(series.log ? `1e${format(tick)}` : format(tick), LEFT - 5, y);
      }
      context.textAlign = "center";
      context.textBaseline = "top";
      for (const tick of across.ticks(5).filter(Number.isInteger)) {
        context.fillText(format(tick), Math.min(across(tick), width - 14), HEIGHT + 3);
      }
      series.steps.forEach((step, t) => {
        if (series.not_finite[t]) {
          context.fillStyle = "#ffffff";
          context.fillRect(across(step), 0, Math.max(1, across(stride) - across(0)), 5);
        }
      });
      cursor(context, across(steps[state.at] + stride / 2), HEIGHT);
    });
    canvas.addEventListener("pointermove", (event) => {
      const t = Math.floor((across.invert(event.offsetX) - (steps[0] ?? 0)) / stride);
      const k = edges.findIndex((edge) => edge > up.invert(event.offsetY)) - 1;
      const step = steps[t];
      if (!index.has(step) || k < 0) {
        minigrad.tip.hide();
        return;
      }
      const share = (heat.levels[index.get(step) * heat.bins + k] / 255) * number(series.largest);
      const what = series.log ? "|x| " : "";
      const range = `${what}${format(series.edges[k], 3)} to ${format(series.edges[k + 1], 3)}`;
      minigrad.tip.show(`step ${format(step)}\n${range}: ${percent(share)}`, event.clientX, event.clientY);
    });
    canvas.addEventListener("pointerleave", minigrad.tip.hide);
    canvas.addEventListener("pointerdown", (event) => {
      const t = Math.floor((across.invert(event.offsetX) - (steps[0] ?? 0)) / stride);
      goTo(Math.max(0, Math.min(last, t)));
    });

    let lines = { redraw() {} };
    if (series.flat_values) {
      const label = `${series.name}: the share of values, and of units, where the function is flat`;
      lines = minigrad.canvas(shares, HEIGHT + BOTTOM, label, (context, width) => {
        const x = vendor.d3.scaleLinear().domain(across.domain()).range([44, width - 2]);
        const y = vendor.d3.scaleLinear().domain([0, 1]).range([HEIGHT - 2, 4]);
        letters(context);
        context.textAlign = "right";
        context.textBaseline = "middle";
        for (const share of [0, 0.5, 1]) {
          context.fillText(`${100 * share} %`, 41, Math.min(Math.max(y(share), 6), HEIGHT - 6));
          context.save();
          context.fillStyle = minigrad.colour("line");
          context.fillRect(44, y(share), width - 46, 1);
          context.restore();
        }
        for (const [values, colour, dashes] of [
          [series.flat_values, "c1", []],
          [series.flat_units, "c2", [2, 3]],
        ]) {
          context.beginPath();
          values.forEach((share, t) => context.lineTo(x(series.steps[t] + stride / 2), y(number(share))));
          context.strokeStyle = minigrad.colour(colour);
          context.setLineDash(dashes);
          context.lineWidth = 1.8;
          context.stroke();
          context.setLineDash([]);
        }
        cursor(context, x(steps[state.at] + stride / 2), HEIGHT);
      });
    }

    function tell() {
      const t = index.get(steps[state.at]);
      const parts = [];
      if (t === undefined) parts.push("nothing at this step");
      else {
        parts.push(`rms ${format(series.rms[t])}`);
        if (series.not_finite[t]) parts.push(`${format(series.not_finite[t])} NaN or infinite`);
        if (series.flat_values) {
          parts.push(`flat: ${percent(series.flat_values[t])} of the values`);
          parts.push(`${percent(series.flat_units[t])} of the units at all positions`);
        }
      }
      figures.replaceChildren(...parts.map((part) => element("div", {}, part)));
    }

    return {
      node,
      draw() {
        canvas.redraw();
        lines.redraw();
        tell();
      },
    };
  }

  // ---------------------------------------------------------------- all of a kind

  const list = element("div", { class: "rows" });
  const note = element("p", { class: "faint" });

  function show(kind) {
    state.kind = kind;
    const chosen = data.kinds[kind];
    rows = chosen ? chosen.series.map(row) : [];
    list.replaceChildren(...rows.map((one) => one.node));
    const flat = chosen && chosen.series.some((series) => series.flat_values);
    note.textContent = flat
      ? "On the right: the share of values where the function is flat, so that no gradient comes " +
        "through (blue: relu 0, |tanh| > 0.99, sigmoid < 0.01 or > 0.99), and of units that are so " +
        "at all positions (orange)."
      : "";
    list.classList.toggle("with-shares", Boolean(flat));
    for (const one of rows) one.draw();
  }

  function goTo(at) {
    state.at = at;
    slider.set(at);
    for (const one of rows) one.draw();
  }

  const slider = minigrad.slider(
    "step",
    { min: 0, max: last, value: last, show: (at) => format(steps[at] ?? 0) },
    goTo,
  );
  const kinds = data.kinds.map((kind, i) => [i, `${kind.name} (${kind.series.length})`]);
  const told = data.kinds.flatMap((kind) => kind.series).filter((series) => series.told);
  if (told.length) {
    root.append(
      element("h3", {}, "Dead and saturated units in the last step"),
      element(
        "table",
        { class: "units" },
        told.map((series) =>
          element("tr", {}, element("td", {}, series.name), element("td", {}, series.told))),
      ),
    );
  }
  root.append(minigrad.controls(minigrad.choice("show", kinds, 0, show), slider), note, list);
  show(0);
};
