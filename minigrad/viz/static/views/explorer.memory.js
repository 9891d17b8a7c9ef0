// The memory that the tape holds, over the steps, with a cursor that one can move.

minigrad.views.explorer.memory = (parent, walk, onStep) => {
  "use strict";

  const { element } = minigrad;
  const { data, order, forward } = walk;

  const memoryTold = element("p", { class: "memory" });
  const chart = element("div", { class: "chart" });
  parent.append(memoryTold, chart);
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
        {
          label: "step of the walk",
          labelSize: 20,
          size: 30,
          incrs: [1, 2, 5]
            .flatMap((n) => [n, 10 * n, 100 * n, 1000 * n, 10000 * n])
            .sort((a, b) => a - b),
          stroke: minigrad.colour("faint"),
          grid: { stroke: "#eceff2" },
        },
        {
          size: 64,
          values: (_, ticks) => ticks.map(minigrad.bytes),
          stroke: minigrad.colour("faint"),
          grid: { stroke: "#eceff2" },
        },
      ],
      series: [
        {},
        {
          stroke: minigrad.colour("c1"),
          fill: "rgba(86, 180, 233, 0.25)",
          width: 1.5,
          points: { show: false },
          paths: vendor.uPlot.paths.stepped({ align: 1 }),
        },
        {
          stroke: minigrad.colour("c2"),
          dash: [5, 3],
          width: 1.5,
          points: { show: false },
          paths: vendor.uPlot.paths.stepped({ align: 1 }),
        },
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
    onStep(curve.posToVal(event.clientX - x0, "x"));
  };
  curve.over.addEventListener("pointerdown", toPointer);
  curve.over.addEventListener("pointermove", toPointer);
  new ResizeObserver(() => {
    curve.setSize({ width: Math.max(chart.clientWidth, 200), height: 160 });
    show();
  }).observe(chart);

  function show() {
    const i = walk.step - 1;
    cursor.style.left = `${curve.valToPos(walk.step, "x")}px`;
    memoryTold.replaceChildren(
      element("span", { class: "kept" }, `kept for the way back ${minigrad.bytes(data.saved[i] ?? 0)}`),
      element("span", { class: "waiting" }, `with the gradients ${minigrad.bytes(total[i] ?? 0)}`),
      element("span", { class: "faint" }, `besides, parameters and inputs: ${minigrad.bytes(data.leaves)}`),
    );
  }

  return { show };
};
