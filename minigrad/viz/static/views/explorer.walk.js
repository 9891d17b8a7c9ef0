// What the data of an exploration says of the walk, and what is shown of it now.
//
// Steps count from 1: first the forward pass, then the walk back.

minigrad.views.explorer.walk = (data) => {
  "use strict";

  const { entries, summaries, forward, back } = data;
  const order = [...forward, ...back];
  const last = order.length;
  const isBack = (step) => step > forward.length;

  const stepForward = new Int32Array(entries.length); // 0: none
  const stepBack = new Int32Array(entries.length);
  forward.forEach((index, i) => (stepForward[index] = i + 1));
  back.forEach((index, i) => (stepBack[index] = forward.length + i + 1));

  // ---------------------------------------------------------------- what the data says

  /** What is in the row of an array. */
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
    return found.filter((i) => i >= 0).map((i) => minigrad.number(summaries[i][NORM]));
  }

  // ---------------------------------------------------------------- names

  const lineName = (i) => `${data.files[data.lines[i][0]].name}:${data.lines[i][1]}`;

  /** A node in a line. */
  function describe(index) {
    const entry = entries[index];
    const line = entry.line === undefined ? "" : ` · ${lineName(entry.line)}`;
    return `${titleOf(index)} ${results(entry)[0][0]}${line}`;
  }

  return {
    data,
    entries,
    summaries,
    order,
    last,
    forward,
    back,
    isBack,
    stepForward,
    stepBack,
    waits,
    wild,
    wildAt,
    normsAt,
    results,
    edges,
    titleOf,
    lineName,
    describe,
    columns: { NORM, MEAN, LEAST, MOST, NAN, INFINITE, FIRST, LARGEST, ROWS, COLUMNS, CELLS },
    step: 1, // where the walk is
    node: order[0] ?? 0, // what is shown: the node of the step, or another that somebody has chosen
    found: new Set(), // by the search
  };
};
