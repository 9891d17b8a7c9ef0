// The one worker of a page: ask(kind, {...}, hear) sends a message, and gives a promise of the answer.

let worker = null;
let last = 0;
const asked = new Map();

export function ask(kind, more = {}, hear = () => {}) {
  if (worker === null) {
    worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }) => {
      const one = asked.get(data.id);
      if (data.kind === "done" || data.kind === "error") asked.delete(data.id);
      if (data.kind === "done") one.resolve(data);
      else if (data.kind === "error") one.reject(new Error(data.text));
      else one.hear(data);
    };
    worker.onerror = (event) => {
      for (const one of asked.values()) one.reject(new Error(event.message || "Python can't be loaded here"));
      asked.clear();
      worker = null;
    };
  }
  return new Promise((resolve, reject) => {
    last += 1;
    asked.set(last, { resolve, reject, hear });
    worker.postMessage({ id: last, kind, ...more });
  });
}

export function stop() {
  worker?.postMessage({ kind: "stop" });
}

// An element with a class and a text; nothing that comes from Python is ever read as HTML of this page.
export function made(tag, name, text = "") {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return element;
}

// HTML from Python stands in a frame of its own, which can't touch this page.
export function framed(html) {
  const frame = made("iframe", "browser-frame");
  frame.setAttribute("sandbox", "allow-scripts");
  const inner = html.match(/srcdoc="([^"]*)"/);
  const decoder = document.createElement("textarea");
  decoder.innerHTML = inner ? inner[1] : "";
  frame.srcdoc = inner ? decoder.value : html;
  return frame;
}
