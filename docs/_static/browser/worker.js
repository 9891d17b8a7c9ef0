// Python in a thread of its own: it runs cells, and trains a small language model.
//
// Messages come in as {id, kind, ...}; what goes out bears the same id:
// {kind: "out", text}, {kind: "done", ...} or {kind: "error", text}; and for training {kind: "progress", ...}.

import { PYODIDE } from "./where.js";

let python = null; // a promise of Pyodide with minigrad in it
let stopped = false;

async function begin() {
  const { loadPyodide } = await import(PYODIDE + "pyodide.mjs");
  const py = await loadPyodide({ indexURL: PYODIDE });
  await py.loadPackage("numpy", { messageCallback: () => {} });
  const files = ["minigrad.zip", "lesson.py"].map((name) => new URL(name, import.meta.url));
  const [archive, lesson] = await Promise.all(files.map(async (url) => (await fetch(url)).arrayBuffer()));
  py.FS.mkdirTree("/minigrad");
  py.unpackArchive(archive, "zip", { extractDir: "/minigrad" });
  py.FS.writeFile("/minigrad/lesson.py", new Uint8Array(lesson));
  py.runPython("import sys; sys.path.insert(0, '/minigrad')");
  return py;
}

const later = () => new Promise((resolve) => setTimeout(resolve, 0)); // lets messages come in

const kinds = {
  // Load Python, so that the first run need not wait for it.
  async load(py) {
    return { version: py.runPython("import minigrad; minigrad.__version__") };
  },

  // Run a cell; what it prints comes piece by piece, and the value of its last line at the end.
  async run(py, { code }, tell) {
    py.setStdout({ batched: (text) => tell({ kind: "out", text: text + "\n" }) });
    py.setStderr({ batched: (text) => tell({ kind: "out", text: text + "\n" }) });
    await py.loadPackagesFromImports(code, { messageCallback: () => {} });
    const shown = py.pyimport("lesson").run(code);
    const [text, html, png] = shown.toJs();
    shown.destroy();
    return { text, html, png };
  },

  // Train a model on a text, until it is stopped.
  async train(py, { text, units, rate }, tell) {
    stopped = false;
    const lesson = py.pyimport("lesson").Lesson(text, units, rate);
    try {
      while (!stopped) {
        tell({ kind: "progress", ...JSON.parse(lesson.go_on(0.5)) });
        await later();
      }
      return { tape: lesson.tape() };
    } finally {
      lesson.destroy();
    }
  },
};

onmessage = async ({ data }) => {
  if (data.kind === "stop") {
    stopped = true;
    return;
  }
  const tell = (message) => postMessage({ id: data.id, ...message });
  try {
    python ??= begin();
    tell({ kind: "done", ...(await kinds[data.kind](await python, data, tell)) });
  } catch (error) {
    // of Python's messages the last lines say what is wrong, and where in the cell
    const lines = String(error.message ?? error).trimEnd().split("\n");
    const cell = lines.findIndex((line) => line.includes('File "<cell>"'));
    tell({ kind: "error", text: (cell < 0 ? lines.slice(-1) : lines.slice(cell)).join("\n") });
  }
};
