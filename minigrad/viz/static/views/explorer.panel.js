// What is known of the node of a step: values, gradients, rule, finite differences, source line.

minigrad.views.explorer.panel = (parent, walk, onChoose) => {
  "use strict";

  const { element, format } = minigrad;
  const { data, entries, summaries, back, isBack, stepBack, results, edges, titleOf, lineName } = walk;
  const { NORM, MEAN, LEAST, MOST, NAN, INFINITE, FIRST, LARGEST, ROWS, COLUMNS, CELLS } = walk.columns;

  const panel = element("div", { class: "panel" });
  parent.append(panel);

  // ---------------------------------------------------------------- arrays

  // As in minigrad/viz/explorer/summaries.py: a letter is a shade, the last one for what is not finite.
  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
  const shades = new Map(
    [...LETTERS].map((letter, i) => {
      const colour = i === 63 ? "rgb(0, 0, 0)" : minigrad.diverging((i - 31) / 31);
      return [letter, [...colour.match(/\d+/g).map(Number), 255]];
    }),
  );

  /** The heat map of an array. */
  function picture(summary) {
    const [rows, columns] = [summary[ROWS], summary[COLUMNS]];
    const node = element("canvas", {
      class: "heat",
      width: columns,
      height: rows,
      role: "img",
      "aria-label": `heat map, ${rows} by ${columns} cells`,
    });
    const size = Math.max(2, Math.min(10, Math.floor(168 / columns), Math.floor(120 / rows)));
    node.style.width = `${columns * size}px`;
    node.style.height = `${Math.max(rows * size, 14)}px`;
    const context = node.getContext("2d");
    const image = context.createImageData(columns, rows);
    for (let i = 0; i < rows * columns; i += 1) {
      image.data.set(shades.get(summary[CELLS][i]), 4 * i);
    }
    context.putImageData(image, 0, 0);
    node.title =
      `orange: below 0, white: 0, blue: above 0; the darkest is ${format(summary[LARGEST])}` +
      " in size; black: not finite. Of a large array, a cell is the element of a block that is the largest in size.";
    return node;
  }

  /** What is known of an array. */
  function array(i) {
    if (i < 0) return element("p", { class: "faint" }, "not known: ", data.unknown);
    const summary = summaries[i];
    const [nan, infinite] = [summary[NAN], summary[INFINITE]];
    const wildWord = [
      nan && `${nan.toLocaleString("en")} NaN`,
      infinite && `${infinite.toLocaleString("en")} infinite`,
    ];
    const single = !summary[CELLS];
    return element(
      "div",
      { class: "array" },
      single ? null : picture(summary),
      element(
        "div",
        {},
        nan + infinite
          ? element("p", { class: "wild" }, "✕ not finite: ", wildWord.filter(Boolean).join(", "))
          : null,
        single
          ? null
          : element(
              "p",
              {},
              stat("norm", summary[NORM]),
              stat("mean", summary[MEAN]),
              stat("min", summary[LEAST]),
              stat("max", summary[MOST]),
            ),
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
          onChoose(index);
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
          (verdict === "kink"
            ? "; it is at a kink or a jump, where they need not agree"
            : `, relative error ${format(rest[2], 2)}`);
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
        element(
          "span",
          { class: "faint" },
          link(index, `#${index}`),
          entry.kind === "op" ? "" : ` ${entry.kind}`,
        ),
      ),
      facts.length
        ? element(
            "p",
            {},
            facts.map(([name, fact]) =>
              element("span", { class: "fact" }, element("span", { class: "faint" }, `${name} `), fact),
            ),
          )
        : null,
    );
  }

  function source(entry) {
    if (entry.line === undefined) return null;
    const [file, line, where] = data.lines[entry.line];
    const { lines } = data.files[file];
    const shown = Object.keys(lines)
      .map(Number)
      .filter((n) => Math.abs(n - line) <= 3)
      .sort((a, b) => a - b);
    const indent = Math.min(...shown.map((n) => lines[n].search(/\S|$/)));
    return part(
      `called at ${lineName(entry.line)} in ${where}`,
      element(
        "pre",
        { class: "code" },
        shown.map((n) =>
          element(
            "span",
            { class: n === line ? "now" : null },
            `${String(n).padStart(4)}  ${lines[n].slice(indent)}\n`,
          ),
        ),
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
        return card(
          [
            element("b", {}, argument),
            " = ",
            link(from),
            many(results(entries[from])) ? ` [${i}]` : "",
            shaped(shape, dtype),
          ],
          array(value),
        );
      }),
      ...results(entry).map(([shape, dtype, value], i) =>
        card(
          [
            element("b", {}, entry.op ? "result" : "value"),
            many(results(entry)) ? ` [${i}]` : "",
            shaped(shape, dtype),
          ],
          array(value),
        ),
      ),
    ];
    if (!folded) return part("values", cards);
    return element(
      "details",
      { open: opened, ontoggle: (event) => (opened = event.target.open) },
      element("summary", {}, "values"),
      cards,
    );
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
        rounded === undefined
          ? null
          : element(
              "p",
              { class: "faint" },
              `in float64 it differs by ${format(rounded, 2)} of its norm`,
            ),
        summands.length ? sum(summands) : null,
      );
    });
    const from = index === back[0] ? "the walk starts with it" : "";
    return part(
      "the gradient that comes in",
      from ? element("p", { class: "faint" }, from) : null,
      cards,
    );
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
          element(
            "tr",
            {},
            ["from", "for its", "norm", "norm of the sum so far"].map((name, i) =>
              element("th", { class: i > 1 ? "number" : null }, name),
            ),
          ),
          summands.map(([, user, argument, norm, so]) =>
            element(
              "tr",
              {},
              element("td", {}, link(user)),
              element("td", { class: "mono" }, argument),
              element("td", { class: "number" }, format(norm)),
              element("td", { class: "number" }, format(so)),
            ),
          ),
        ),
      ),
    );
  }

  function outgoing(entry) {
    const cards = edges(entry).map(
      ([from, i, argument, hasRule, gradient, check, shape, axes, summed]) => {
        const [toShape, toType] = results(entries[from])[i];
        const title = [element("b", {}, `d ${argument}`), " to ", link(from), shaped(toShape, toType)];
        if (!hasRule)
          return card(title, element("p", { class: "faint" }, "a constant: no gradient goes to it"));
        if (gradient < 0) return card(title, element("p", { class: "faint" }, "the rule gives none"));
        const undone =
          shape === undefined
            ? null
            : element(
                "p",
                { class: "undone" },
                axes.length
                  ? `broadcasting undone: the rule gave ${shape}, which is summed over ${axes.length > 1 ? "the axes" : "axis"} ${axes.join(", ")} to ${toShape}`
                  : `the rule gave ${shape}; it becomes ${toType} ${toShape}`,
              );
        return card(
          title,
          undone,
          array(summed ?? gradient),
          difference(check, `d ${argument} of this op alone`),
        );
      },
    );
    return part("the gradients that go out", cards);
  }

  function kept(entry, isBackStep) {
    if (!entry.saved) return null;
    const bytes = entry.saved.reduce((sum_, [, , n]) => sum_ + n, 0);
    return part(
      `${isBackStep ? "kept for this step, and dropped after it" : "kept for the way back"}: ${minigrad.bytes(bytes)}`,
      element(
        "table",
        {},
        entry.saved.map(([name, what, n]) =>
          element(
            "tr",
            {},
            element("td", { class: "mono" }, name),
            element("td", { class: "mono faint" }, what),
            element("td", { class: "number" }, n ? minigrad.bytes(n) : ""),
          ),
        ),
      ),
    );
  }

  function show() {
    const entry = entries[walk.node];
    const isBackStep = isBack(walk.step) && stepBack[walk.node] > 0;
    const parts = isBackStep
      ? [
          incoming(entry, walk.node),
          rule(entry),
          entry.kind === "op" ? outgoing(entry) : null,
          kept(entry, true),
          values(entry, true),
          source(entry),
        ]
      : [values(entry, false), kept(entry, false), rule(entry), source(entry)];
    panel.replaceChildren(head(entry, walk.node), ...parts.filter(Boolean));
    panel.scrollTop = 0;
  }

  return { show };
};
