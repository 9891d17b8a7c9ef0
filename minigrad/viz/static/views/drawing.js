// The tape drawn on a canvas: zoom and pan, a panel with the facts of a node, search, folds.
//
// data.scenes: for each way to fold its `name`, `label`, `width`, `height` and `parts`. A part is
//   ["r", x, y, width, height, radius, fill, stroke, line, dashed]    a box
//   ["t", x, y, text, size, colour, bold, anchor]                     a line of text
//   ["p", path of SVG, stroke, line, fill]                            a line or an area
//   ["g", name, kind, facts, parts]                                   a node ("n12"), or an edge
//                                                                     from one to another ("n3-n12")
// data.fold: the scene to begin with.

minigrad.views.drawing = (element, data) => {
  "use strict";

  const { d3 } = vendor;
  const { controls, button, choice, element: made, hash } = minigrad;
  const FONT = "system-ui, 'Helvetica Neue', Arial, 'Noto Sans CJK KR', 'Malgun Gothic', sans-serif";
  const SMALL = 0.3; // below this scale there are no letters and no heads of arrows
  const FIRST = 0.5; // a large drawing begins at this scale, at its left end

  const scenes = data.scenes.map(read);
  let scene = scenes[0];
  let transform = d3.zoomIdentity;
  let selected = null;
  let hovered = null;
  let hits = new Set();

  // ---------------------------------------------------------------- what is drawn

  /** A scene with its nodes by name, and of each node the edges that come and go. */
  function read(source) {
    const items = source.parts.map(item);
    const nodes = new Map();
    for (const it of items) if (it.kind.startsWith("node")) nodes.set(it.name, it);
    for (const it of items) {
      if (!it.kind.startsWith("edge")) continue;
      [it.from, it.to] = it.name.split("-").map((name) => nodes.get(name));
      it.from.after.push(it.to);
      it.to.before.push(it.from);
    }
    const carried = (a) => Number(a.kind.includes("carried"));
    const edges = items.filter((it) => it.from).sort((a, b) => carried(a) - carried(b));
    return { ...source, items, nodes: [...nodes.values()], byName: nodes, edges };
  }

  function item(part) {
    const group = part[0] === "g" ? part : ["g", "", "", "", [part]];
    const [, name, kind, facts, parts] = group;
    const it = { name, kind, parts, facts, before: [], after: [] };
    it.lines = facts ? facts.split("\n") : [];
    it.text = facts.toLowerCase();
    it.box = bounds(parts);
    return it;
  }

  function bounds(parts) {
    let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    const take = (x, y) => {
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    };
    for (const part of parts) {
      if (part[0] === "r") {
        take(part[1], part[2]);
        take(part[1] + part[3], part[2] + part[4]);
      } else if (part[0] === "p") {
        const numbers = part[1].match(/-?[\d.]+/g).map(Number);
        for (let i = 0; i + 1 < numbers.length; i += 2) take(numbers[i], numbers[i + 1]);
      } else if (parts.length === 1) {
        take(part[1] - 300, part[2] - 10);
        take(part[1] + 300, part[2] + 10);
      }
    }
    return [left, top, right, bottom];
  }

  // ---------------------------------------------------------------- painting

  function paint(context, width, height) {
    const { x, y, k } = transform;
    const view = [-x / k, -y / k, (width - x) / k, (height - y) / k];
    context.translate(x, y);
    context.scale(k, k);
    context.textBaseline = "middle";
    for (const it of scene.items) {
      const [left, top, right, bottom] = it.box;
      if (left > view[2] || right < view[0] || top > view[3] || bottom < view[1]) continue;
      for (const part of it.parts) draw(context, part, k);
    }
    const near = hovered || selected;
    if (near) {
      for (const edge of scene.edges) {
        if (edge.from !== near && edge.to !== near) continue;
        const [, path] = edge.parts[0];
        stroke(context, new Path2D(path), edge.from === near ? "#d55e00" : "#009e73", 2.6);
      }
    }
    for (const node of hits) outline(context, node, "#e69f00", 3, k);
    if (hovered) outline(context, hovered, "#0072b2", 2, k);
    if (selected) outline(context, selected, "#d55e00", 3, k);
  }

  function draw(context, part, k) {
    const [what] = part;
    if (what === "t") {
      if (k < SMALL) return;
      const [, x, y, text, size, colour, bold, anchor] = part;
      context.font = `${bold ? "bold " : ""}${size}px ${FONT}`;
      context.fillStyle = colour;
      context.textAlign = anchor === "middle" ? "center" : anchor;
      context.fillText(minigrad.visible(text), x, y);
    } else if (what === "r") {
      const [, x, y, width, height, radius, fill, line, thick, dashed] = part;
      context.beginPath();
      if (k < SMALL) context.rect(x, y, width, height);
      else context.roundRect(x, y, width, height, Math.min(radius, width / 2, height / 2));
      context.setLineDash(dashed ? [4, 2] : []);
      finish(context, null, fill, line, thick);
      context.setLineDash([]);
    } else {
      const [, path, line, thick, fill] = part;
      if (k < SMALL && fill !== "none") return;
      part.shape ??= new Path2D(path);
      finish(context, part.shape, fill, line, thick);
    }
  }

  function finish(context, shape, fill, line, thick) {
    if (fill !== "none") {
      context.fillStyle = fill;
      if (shape) context.fill(shape);
      else context.fill();
    }
    if (line !== "none") stroke(context, shape, line, thick);
  }

  function stroke(context, shape, colour, thick) {
    context.strokeStyle = colour;
    context.lineWidth = thick;
    if (shape) context.stroke(shape);
    else context.stroke();
  }

  function outline(context, node, colour, thick, k) {
    const [left, top, right, bottom] = node.box;
    const pad = 3 / Math.max(k, 0.5);
    context.beginPath();
    context.roundRect(left - pad, top - pad, right - left + 2 * pad, bottom - top + 2 * pad, 6);
    stroke(context, null, colour, thick / Math.min(k, 1));
  }

  // ---------------------------------------------------------------- the page

  const fold = choice("Fold", scenes.map(({ name, label }) => [name, label]), data.fold, (name) => {
    hash.set("fold", name);
    show(name);
  });
  const search = made("input", {
    type: "search",
    placeholder: "Search nodes",
    "aria-label": "Search nodes",
    oninput: () => find(),
    onkeydown: (event) => event.key === "Enter" && next(event.shiftKey ? -1 : 1),
  });
  const found = made("output", { "aria-live": "polite" });
  element.append(
    controls(
      scenes.length > 1 ? fold : null,
      button("−", () => zoomBy(1 / 1.4), "zoom out"),
      button("+", () => zoomBy(1.4), "zoom in"),
      button("Whole", () => whole(), "show the whole drawing"),
      search,
      found,
    ),
  );
  const panel = made("aside", { "aria-live": "polite" });
  const place = made("div", { class: "drawing-place" });
  element.append(made("div", { class: "drawing-both" }, place, panel));
  const canvas = minigrad.canvas(place, 620, "the tape drawn", paint);
  canvas.tabIndex = 0;

  const zoom = d3
    .zoom()
    .scaleExtent([0.004, 6])
    .on("zoom", (event) => {
      transform = event.transform;
      canvas.redraw();
    });
  const target = d3.select(canvas).call(zoom).on("dblclick.zoom", null);

  const zoomBy = (factor) => target.call(zoom.scaleBy, factor);

  function put(k, x, y) {
    target.call(zoom.transform, d3.zoomIdentity.translate(x, y).scale(k));
  }

  /** The scale at which all of the scene is seen. */
  function fitting() {
    return Math.min(canvas.clientWidth / scene.width, canvas.clientHeight / scene.height, 1.5);
  }

  function whole() {
    const k = fitting();
    const across = (canvas.clientWidth - k * scene.width) / 2;
    put(k, across, (canvas.clientHeight - k * scene.height) / 2);
  }

  function begin() {
    const k = fitting();
    if (k >= FIRST) return whole();
    const tall = FIRST * scene.height > canvas.clientHeight;
    const wide = FIRST * scene.width > canvas.clientWidth;
    const x = wide ? 0 : (canvas.clientWidth - FIRST * scene.width) / 2;
    return put(FIRST, x, tall ? 0 : (canvas.clientHeight - FIRST * scene.height) / 2);
  }

  /** Bring a node to the middle, if it is not seen. */
  function reveal(node) {
    const [left, top, right, bottom] = node.box;
    const { clientWidth: width, clientHeight: height } = canvas;
    const { x, y } = transform;
    const k = Math.max(transform.k, FIRST);
    const seen = k === transform.k && left * k + x >= 0 && right * k + x <= width &&
      top * k + y >= 0 && bottom * k + y <= height;
    if (!seen) put(k, width / 2 - (k * (left + right)) / 2, height / 2 - (k * (top + bottom)) / 2);
  }

  function show(name) {
    scene = scenes.find((one) => one.name === name) || scenes[0];
    fold.set(scene.name);
    select(null);
    find();
    begin();
  }

  // ---------------------------------------------------------------- choosing nodes

  function select(node) {
    selected = node;
    hovered = null; // what the keys choose is not under the pointer
    minigrad.tip.hide();
    hash.set("node", node ? node.name : null);
    if (node) reveal(node);
    tell();
    canvas.redraw();
  }

  function tell() {
    if (!selected) {
      panel.replaceChildren(
        made("p", { class: "faint" }, "Click a node, or move with the arrow keys, to read all that is " +
          "known of it. Drag to move, turn the wheel to zoom. Once the drawing has been clicked, / searches " +
          "and 0 shows all of it."),
      );
      return;
    }
    const [heading, ...lines] = selected.lines;
    const rows = lines.map((line) => {
      const at = line.indexOf(": ");
      return at < 0
        ? made("tr", {}, made("td", { colspan: 2 }, line))
        : made("tr", {}, made("th", {}, line.slice(0, at)), made("td", {}, line.slice(at + 2)));
    });
    panel.replaceChildren(
      made("h3", {}, heading.replace(/^(op|name|kind): /, "")),
      made("table", {}, made("tbody", {}, rows)),
      ways("from", selected.before),
      ways("to", selected.after),
    );
  }

  /** Buttons that lead to other nodes. */
  function ways(label, nodes) {
    if (!nodes.length) return null;
    const most = 12;
    const buttons = nodes.slice(0, most).map((node) => button(title(node), () => select(node)));
    const rest = nodes.length > most ? ` and ${nodes.length - most} more` : "";
    return made("p", { class: "drawing-ways" }, made("span", {}, label), buttons, rest);
  }

  function title(node) {
    return `${node.lines[0].replace(/^(op|name|kind): /, "")} ${node.name.replace("n", "#")}`;
  }

  function at(event) {
    const [px, py] = transform.invert(d3.pointer(event, canvas));
    for (let i = scene.nodes.length - 1; i >= 0; i -= 1) {
      const [left, top, right, bottom] = scene.nodes[i].box;
      if (px >= left && px <= right && py >= top && py <= bottom) return scene.nodes[i];
    }
    return null;
  }

  canvas.addEventListener("click", (event) => select(at(event)));
  canvas.addEventListener("pointermove", (event) => {
    const node = at(event);
    if (node) minigrad.tip.show(node.facts, event.clientX, event.clientY);
    else minigrad.tip.hide();
    if (node === hovered) return;
    hovered = node;
    canvas.style.cursor = node ? "pointer" : "grab";
    canvas.redraw();
  });
  canvas.addEventListener("pointerleave", () => {
    hovered = null;
    minigrad.tip.hide();
    canvas.redraw();
  });

  /** The nearest node from the selected one in a direction. */
  function neighbour(dx, dy) {
    if (!selected) return scene.nodes[scene.nodes.length - 1];
    const middle = ({ box: [left, top, right, bottom] }) => [(left + right) / 2, (top + bottom) / 2];
    const [x, y] = middle(selected);
    let [best, least] = [selected, Infinity];
    for (const node of scene.nodes) {
      const [u, v] = middle(node);
      const along = (u - x) * dx + (v - y) * dy;
      const aside = Math.abs((u - x) * dy) + Math.abs((v - y) * dx);
      const cost = along + 3 * aside;
      if (node !== selected && along > 1 && cost < least) [best, least] = [node, cost];
    }
    return best;
  }

  const MOVES = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (MOVES[event.key]) select(neighbour(...MOVES[event.key]));
    else if (event.key === "+" || event.key === "=") zoomBy(1.4);
    else if (event.key === "-") zoomBy(1 / 1.4);
    else if (event.key === "0") whole();
    else if (event.key === "/") search.focus();
    else if (event.key === "Escape") select(null);
    else return;
    event.preventDefault();
  });

  // ---------------------------------------------------------------- search

  function find() {
    const words = search.value.trim().toLowerCase();
    hits = new Set(words ? scene.nodes.filter((node) => node.text.includes(words)) : []);
    found.textContent = words ? `${hits.size} found` : "";
    canvas.redraw();
  }

  function next(step) {
    const list = [...hits];
    if (!list.length) return;
    select(list[(list.indexOf(selected) + step + list.length) % list.length]);
  }

  function fromAddress() {
    const name = hash.get("node");
    show(hash.get("fold") || data.fold);
    if (scene.byName.has(name)) select(scene.byName.get(name));
  }

  hash.listen(fromAddress);
  requestAnimationFrame(fromAddress);
};
