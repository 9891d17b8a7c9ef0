// The loss over two directions, from above, and the paths of training on it.
// `LossSurface.views` in minigrad/viz/learning/surface.py makes the data.

minigrad.views.loss_surface = (root, data) => {
  "use strict";

  const { element, number, format } = minigrad;
  const [a, b] = [data.a.map(number), data.b.map(number)];
  const heights = data.heights.map((row) => row.map(number));
  const PATHS = ["#d55e00", "#56b4e9", "#cc79a7", "#e69f00"]; // they stand out from viridis
  const paths = data.paths.map((path, i) => ({
    ...path,
    a: path.a.map(number),
    b: path.b.map(number),
    losses: path.losses.map(number),
    distances: path.distances.map(number),
    colour: PATHS[i % PATHS.length],
  }));
  const longest = Math.max(1, ...paths.map((path) => path.a.length));
  const state = { step: longest - 1, timer: 0 };

  // ---------------------------------------------------------------- scales and colours

  const half = (points) => (points[points.length - 1] - points[0]) / (points.length - 1) / 2;
  const across = vendor.d3.scaleLinear().domain([a[0] - half(a), a[a.length - 1] + half(a)]);
  const up = vendor.d3.scaleLinear().domain([b[0] - half(b), b[b.length - 1] + half(b)]);

  const finite = heights.flat().filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const log = low > 0 && high > 3 * low;
  const colours = (log ? vendor.d3.scaleLog() : vendor.d3.scaleLinear())
    .domain([log ? Math.max(low, high * 1e-4) : low, high > low ? high : low + 1])
    .clamp(true);
  const NOT_FINITE = "#b0b0b0";
  const colour = (loss) => (Number.isFinite(loss) ? minigrad.viridis(colours(loss)) : NOT_FINITE);

  const picture = document.createElement("canvas"); // a pixel for each point of the grid
  [picture.width, picture.height] = [a.length, b.length];
  const pixels = picture.getContext("2d");
  heights.forEach((row, j) =>
    row.forEach((loss, i) => {
      pixels.fillStyle = colour(loss);
      pixels.fillRect(i, b.length - 1 - j, 1, 1);
    }),
  );

  // ---------------------------------------------------------------- the surface

  const [LEFT, RIGHT, TOP, BOTTOM] = [62, 84, 12, 44];
  const columns = element("div", { class: "columns" });
  const left = element("div");
  const right = element("div");
  columns.append(left, right);

  function axis(context, x, y, text, align, baseline) {
    context.textAlign = align;
    context.textBaseline = baseline;
    context.fillText(text, x, y);
  }

  function letters(context, size = 12) {
    context.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
    context.fillStyle = minigrad.colour("faint");
  }

  const surface = minigrad.canvas(left, 460, "the loss from above", (context, width, height) => {
    across.range([LEFT, width - RIGHT]);
    up.range([height - BOTTOM, TOP]);
    const [w, h] = [width - LEFT - RIGHT, height - TOP - BOTTOM];
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, LEFT, TOP, w, h);
    letters(context);
    for (const x of across.ticks(6)) axis(context, across(x), TOP + h + 6, format(x), "center", "top");
    for (const y of up.ticks(6)) axis(context, LEFT - 6, up(y), format(y), "right", "middle");
    axis(context, LEFT + w / 2, height - 4, minigrad.visible(data.names[0]), "center", "bottom");
    context.save();
    context.rotate(-Math.PI / 2);
    axis(context, -TOP - h / 2, 2, minigrad.visible(data.names[1]), "center", "top");
    context.restore();
    bar(context, width - RIGHT + 14, h);
    context.save();
    context.beginPath();
    context.rect(LEFT, TOP, w, h);
    context.clip();
    if (!paths.length) cross(context, across(number(data.centre[0])), up(number(data.centre[1])));
    for (const path of paths) draw(context, path);
    context.restore();
  });

  function bar(context, x, h) {
    if (!finite.length) return;
    const place = colours.copy().range([TOP + h, TOP + 18]);
    for (let y = TOP + 18; y < TOP + h; y += 1) {
      context.fillStyle = minigrad.viridis((TOP + h - y) / (h - 18));
      context.fillRect(x, y, 12, 1.5);
    }
    letters(context);
    axis(context, x, TOP, "loss", "left", "top");
    const ticks = log
      ? place.ticks().filter((t) => /^1e/.test(t.toExponential())) // powers of ten
      : place.ticks(6);
    for (const t of ticks.length > 1 ? ticks : place.ticks(4)) {
      axis(context, x + 17, place(t), format(t, 2), "left", "middle");
    }
  }

  /** Where the model is. */
  function cross(context, x, y) {
    for (const [style, width] of [["#000000", 4], ["#ffffff", 2]]) {
      context.beginPath();
      for (const [u, v] of [[6, 0], [0, 6]]) {
        context.moveTo(x - u, y - v);
        context.lineTo(x + u, y + v);
      }
      context.strokeStyle = style;
      context.lineWidth = width;
      context.stroke();
    }
  }

  function draw(context, path) {
    const end = Math.min(state.step, path.a.length - 1);
    for (const [style, width] of [["#000000", 3.4], [path.colour, 1.8]]) {
      context.beginPath();
      for (let t = 0; t <= end; t += 1) {
        if (Number.isFinite(path.a[t])) context.lineTo(across(path.a[t]), up(path.b[t]));
      }
      context.strokeStyle = style;
      context.lineWidth = width;
      context.lineJoin = "round";
      context.stroke();
    }
    for (const [t, radius] of [[0, 3], [end, 5.5]]) {
      if (!Number.isFinite(path.a[t])) continue;
      context.beginPath();
      context.arc(across(path.a[t]), up(path.b[t]), radius, 0, 2 * Math.PI);
      context.fillStyle = path.colour;
      context.fill();
      context.lineWidth = 1.4;
      context.strokeStyle = "#000000";
      context.stroke();
    }
  }

  surface.addEventListener("pointermove", (event) => {
    const [x, y] = [across.invert(event.offsetX), up.invert(event.offsetY)];
    const i = Math.round((x - a[0]) / (2 * half(a)));
    const j = Math.round((y - b[0]) / (2 * half(b)));
    if (heights[j] === undefined || heights[j][i] === undefined) {
      minigrad.tip.hide();
      return;
    }
    const at = `${data.names[0]} ${format(a[i])}\n${data.names[1]} ${format(b[j])}`;
    minigrad.tip.show(`${at}\nloss ${format(heights[j][i])}`, event.clientX, event.clientY);
  });
  surface.addEventListener("pointerleave", minigrad.tip.hide);

  // ---------------------------------------------------------------- the paths

  const body = element("tbody");
  const table = element(
    "table",
    {},
    element(
      "thead",
      {},
      element("tr", {}, ["", "loss", "from the plane", "in the plane"].map((name) =>
        element("th", { class: name ? "number" : null }, name))),
    ),
    body,
  );

  function tell() {
    body.replaceChildren(
      ...paths.map((path) => {
        const t = Math.min(state.step, path.a.length - 1);
        const swatch = element("span", { class: "swatch" });
        swatch.style.background = path.colour;
        const share = number(path.share);
        return element(
          "tr",
          {},
          element("td", {}, swatch, path.name),
          element("td", { class: "number" }, format(path.losses[t])),
          element("td", { class: "number" }, format(path.distances[t], 3)),
          element("td", { class: "number" }, `${format(100 * share, 3)} %`),
        );
      }),
    );
  }

  const losses = paths.flatMap((path) => path.losses).filter(Number.isFinite);
  const positive = Math.min(...losses) > 0 && Math.max(...losses) > 30 * Math.min(...losses);
  const along = vendor.d3.scaleLinear().domain([0, longest - 1]);
  const level = (positive ? vendor.d3.scaleLog() : vendor.d3.scaleLinear())
    .domain(losses.length ? [Math.min(...losses), Math.max(...losses)] : [0, 1])
    .nice();

  function curves(context, width, height) {
    along.range([LEFT, width - 12]);
    level.range([height - BOTTOM, TOP + 16]);
    letters(context);
    axis(context, LEFT - 30, 0, "loss along each path", "left", "top");
    const ticks = positive
      ? level.ticks().filter((t) => /^1e/.test(t.toExponential()))
      : level.ticks(5);
    for (const t of ticks) {
      axis(context, LEFT - 6, level(t), format(t, 2), "right", "middle");
      context.fillStyle = minigrad.colour("line");
      context.fillRect(LEFT, level(t), width - 12 - LEFT, 1);
      letters(context);
    }
    for (const t of along.ticks(5).filter(Number.isInteger)) {
      axis(context, along(t), height - BOTTOM + 6, format(t), "center", "top");
    }
    axis(context, (LEFT + width - 12) / 2, height - 4, "step", "center", "bottom");
    for (const path of paths) {
      context.beginPath();
      path.losses.forEach((loss, t) => {
        if (Number.isFinite(loss)) context.lineTo(along(t), level(loss));
      });
      context.strokeStyle = path.colour;
      context.lineWidth = 1.8;
      context.stroke();
    }
    context.fillStyle = minigrad.colour("ink");
    context.fillRect(along(state.step), TOP + 12, 1, height - BOTTOM - TOP - 12);
  }

  // ---------------------------------------------------------------- the controls

  function goTo(step) {
    state.step = step;
    slider.set(step);
    surface.redraw();
    chart.redraw();
    tell();
  }

  function stop() {
    clearInterval(state.timer);
    state.timer = 0;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  }

  function toggle() {
    if (state.timer) {
      stop();
      return;
    }
    if (state.step === longest - 1) goTo(0);
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    const every = Math.max(1, Math.round(longest / 300)); // all of it in at most ten seconds
    state.timer = setInterval(() => {
      goTo(Math.min(state.step + every, longest - 1));
      if (state.step === longest - 1) stop();
    }, 33);
  }

  const play = minigrad.button("Play", toggle);
  const slider = minigrad.slider("step", { min: 0, max: longest - 1, value: state.step }, (step) => {
    stop();
    goTo(step);
  });
  let chart = { redraw() {} };
  if (paths.length) {
    root.append(minigrad.controls(play, slider));
    right.append(table);
    chart = minigrad.canvas(right, 280, "the loss along each path", curves);
    chart.addEventListener("pointerdown", (event) => {
      stop();
      const step = Math.round(along.invert(event.offsetX));
      goTo(Math.max(0, Math.min(longest - 1, step)));
    });
    tell();
  }
  root.append(columns);
  columns.classList.toggle("alone", !paths.length);
  const lost = heights.flat().length - finite.length;
  if (lost) {
    root.append(element("p", { class: "faint" }, `Grey: ${lost} points where the loss is NaN or infinite.`));
  }
};
