// What the views of a page share: `minigrad.views`, elements, controls, numbers, colours, canvases.
//
// A view is a function minigrad.views[NAME] = (element, data) => ... that draws `data` into
// `element`. Whatever comes from data goes into the page as text, never as HTML.

const minigrad = (() => {
  "use strict";

  const views = Object.create(null);

  // ---------------------------------------------------------------- text and elements

  // Characters that one does not see but that turn, hide or break text; lone surrogates too.
  const CONTROLS =
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]|\p{Cs}/gu;

  /** `text` with its control characters made visible, as \u202e. Line ends and tabs stay. */
  function visible(text) {
    return String(text).replace(
      CONTROLS,
      (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"),
    );
  }

  const SVG = "http://www.w3.org/2000/svg";

  function made(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value != null) node.setAttribute(name, value);
    }
    for (const child of children.flat()) {
      if (child != null) node.append(child instanceof Node ? child : visible(child));
    }
    return node;
  }

  /**
   * A new element: element("td", {class: "number", onclick: f}, "12"). Strings become text. An
   * attribute that is true stands without a value, and one that is false or null is left out.
   */
  function element(tag, attributes = {}, ...children) {
    return made(document.createElement(tag), attributes, children);
  }

  /** The same for SVG: svg("circle", {cx: 3, cy: 4, r: 2}). */
  function svg(tag, attributes = {}, ...children) {
    return made(document.createElementNS(SVG, tag), attributes, children);
  }

  // ---------------------------------------------------------------- numbers

  /** A number of the data: NaN and the infinities come as strings. What is missing is NaN. */
  function number(x) {
    return x == null ? NaN : Number(x);
  }

  /** A number as people write it, with so many significant digits: 1,234, 0.5, 1.2e-7, −∞. */
  function format(x, digits = 4) {
    const value = number(x);
    if (Number.isNaN(value)) return "NaN";
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    const size = Math.abs(value);
    const exponential = size !== 0 && (size < 1e-4 || size >= 1e9);
    const text = exponential
      ? value.toExponential(digits - 1).replace(/\.?0+e/, "e").replace("e+", "e")
      : decimal(Math.max(digits, Math.floor(Math.log10(size || 1)) + 1)).format(value);
    return text.replace(/^-/, "−").replace("e-", "e−");
  }

  const decimals = new Map();

  /** How numbers with so many significant digits are written; it is slow to make, so it is kept. */
  function decimal(maximumSignificantDigits) {
    if (!decimals.has(maximumSignificantDigits)) {
      decimals.set(maximumSignificantDigits, new Intl.NumberFormat("en", { maximumSignificantDigits }));
    }
    return decimals.get(maximumSignificantDigits);
  }

  /** A number of bytes: 512 B, 1.5 kB, 20 MB. */
  function bytes(count) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let value = number(count);
    let i = 0;
    for (; value >= 999.5 && value < Infinity && i < units.length - 1; i += 1) value /= 1000;
    return `${format(value, 3)} ${units[i]}`;
  }

  // ---------------------------------------------------------------- colours

  /** The colour of a CSS variable, for canvases: colour("accent"), colour("c3"). */
  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }

  function ramp(colours) {
    const places = colours.map((_, i) => i / (colours.length - 1));
    return vendor.d3.scaleLinear().domain(places).range(colours).clamp(true).unknown("#d0d0d0");
  }

  /** Dark to bright, evenly for the eye, from 0 to 1. */
  const viridis = ramp([
    "#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c",
    "#22a884", "#44bf70", "#7ad151", "#bddf26", "#fde725",
  ]);

  /** Orange over white to blue, from -1 to 1: what is negative, and what is positive. */
  const orangeToBlue = ramp(["#b35806", "#f1a340", "#fee0b6", "#ffffff", "#c6dff0", "#5fa8d3", "#0a5a96"]);
  const diverging = (x) => orangeToBlue((x + 1) / 2);

  // ---------------------------------------------------------------- the tip beside the pointer

  let bubble = null;

  const tip = {
    /** Show text, or an element, beside a place in the window. */
    show(content, x, y) {
      if (!bubble) document.body.append((bubble = element("div", { id: "tip", role: "tooltip" })));
      bubble.hidden = false;
      bubble.replaceChildren(content instanceof Node ? content : visible(content));
      const { width, height } = bubble.getBoundingClientRect();
      const left = x + 14 + width > innerWidth ? x - 14 - width : x + 14;
      const top = y + 14 + height > innerHeight ? y - 14 - height : y + 14;
      bubble.style.left = `${Math.max(left, 4) + scrollX}px`;
      bubble.style.top = `${Math.max(top, 4) + scrollY}px`;
    },

    hide() {
      if (bubble) bubble.hidden = true;
    },

    /** Show `content`, or what it gives when called, while the pointer or the focus is on `node`. */
    on(node, content) {
      const told = () => (typeof content === "function" ? content() : content);
      node.addEventListener("pointermove", (event) => tip.show(told(), event.clientX, event.clientY));
      node.addEventListener("pointerleave", tip.hide);
      node.addEventListener("focus", () => {
        const box = node.getBoundingClientRect();
        tip.show(told(), box.left, box.bottom);
      });
      node.addEventListener("blur", tip.hide);
    },
  };
  addEventListener("keydown", (event) => event.key === "Escape" && tip.hide());

  // ---------------------------------------------------------------- controls

  /** A row for controls: parent.append(controls(slider(...), button(...))). */
  function controls(...children) {
    return element("div", { class: "controls" }, ...children);
  }

  /** A button; `name` is what screen readers say where the label is a sign alone. */
  function button(label, onclick, name = null) {
    return element("button", { type: "button", "aria-label": name, title: name, onclick }, label);
  }

  /**
   * A slider with its value beside it. `onInput` is called with the number; `show` turns it into
   * text. Its `set(value)` moves it without a call.
   */
  function slider(label, { min, max, step = 1, value = min, show = format }, onInput) {
    const input = element("input", { type: "range", min, max, step });
    const output = element("output");
    const set = (x) => {
      input.value = x;
      output.textContent = show(Number(input.value));
      input.setAttribute("aria-valuetext", output.textContent);
    };
    input.addEventListener("input", () => {
      set(input.value);
      onInput(Number(input.value));
    });
    set(value);
    return Object.assign(element("label", {}, label, input, output), { input, set });
  }

  /** A list to choose from: options are names, or pairs of a value and its name. */
  function choice(label, options, value, onChange) {
    const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
    const select = element(
      "select",
      { onchange: () => onChange(pairs[select.selectedIndex][0]) },
      pairs.map(([, name]) => element("option", {}, name)),
    );
    const set = (x) => (select.selectedIndex = pairs.findIndex(([key]) => key === x));
    set(value);
    return Object.assign(element("label", {}, label, select), { input: select, set });
  }

  /** A box to tick. */
  function tick(label, value, onChange) {
    const input = element("input", { type: "checkbox", onchange: () => onChange(input.checked) });
    input.checked = value;
    return Object.assign(element("label", {}, input, label), { input });
  }

  // ---------------------------------------------------------------- canvases

  /**
   * A canvas as wide as `parent`, sharp on any screen, drawn again when its size changes.
   * `draw(context, width, height)` draws it, in CSS pixels, on an empty canvas. `label` is what it
   * shows, for those who cannot see it. Returns the canvas, whose `redraw()` draws at the next frame.
   */
  function canvas(parent, height, label, draw) {
    const node = element("canvas", { role: "img", "aria-label": label });
    node.style.width = "100%";
    node.style.height = `${height}px`;
    parent.append(node);
    const context = node.getContext("2d");
    let frame = 0;
    const paint = () => {
      frame = 0;
      const { clientWidth, clientHeight } = node;
      const ratio = devicePixelRatio || 1;
      const [across, down] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
      if (node.width !== across) node.width = across;
      if (node.height !== down) node.height = down;
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, clientWidth, clientHeight);
      draw(context, clientWidth, clientHeight);
    };
    node.redraw = () => {
      if (!frame) frame = requestAnimationFrame(paint);
    };
    new ResizeObserver(node.redraw).observe(node);
    return node;
  }

  // ---------------------------------------------------------------- what the address holds

  let late = 0;
  let known = location.hash;

  /** Browsers refuse more than a few changes of the address in a second. */
  function write() {
    late = 0;
    if (location.hash !== known) return; // a person has changed it just now
    history.replaceState(null, "", `#${hash.values}`);
    known = location.hash;
  }

  /** Values after the # of the address, so that a place on the page can be linked to. */
  const hash = {
    values: new URLSearchParams(location.hash.slice(1)),

    /** The text under `key`, or null. */
    get(key) {
      return hash.values.get(key);
    },

    /** Note a value; it adds nothing to the history. In a notebook only the page remembers it. */
    set(key, value) {
      if (value == null) hash.values.delete(key);
      else hash.values.set(key, value);
      if (!late && /^(file|https?):$/.test(location.protocol)) late = setTimeout(write, 200);
    },

    /** Call f() whenever a person changes the address. */
    listen(f) {
      addEventListener("hashchange", () => f());
    },
  };
  addEventListener("hashchange", () => {
    known = location.hash;
    hash.values = new URLSearchParams(known.slice(1));
  });

  // ---------------------------------------------------------------- the page

  const HIGHEST = 1600;

  /** In a notebook the frame becomes as high as the page, which must not depend on the frame's. */
  function fit() {
    const frame = window.frameElement;
    if (!frame) return;
    const grow = () => {
      const height = Math.ceil(document.body.getBoundingClientRect().height);
      frame.style.height = `${Math.min(height, HIGHEST)}px`;
    };
    new ResizeObserver(grow).observe(document.body);
  }

  /** Draw all views. One that fails says so in its place, and the others are drawn. */
  function begin() {
    const main = document.querySelector("main");
    const headings = [];
    for (const { name, title, text, data } of JSON.parse(document.getElementById("views").textContent)) {
      const place = element("div", { class: `${name}-view` });
      const section = element("section", { class: "view" });
      if (title) {
        const heading = element("h2", { tabindex: -1 }, title);
        section.append(heading);
        headings.push(heading);
      }
      if (text) section.append(element("p", {}, text));
      section.append(place);
      main.append(section);
      try {
        views[name](place, data);
      } catch (error) {
        place.append(element("p", { class: "failed" }, `This could not be drawn: ${error}`));
        reportError(error);
      }
    }
    if (headings.length > 2) main.before(contents(headings));
    fit();
  }

  /** A row of buttons, one for each of the headings, which scrolls there. */
  function contents(headings) {
    const buttons = headings.map((heading) =>
      button(heading.textContent, () => {
        heading.scrollIntoView();
        heading.focus();
      }),
    );
    return element("nav", { "aria-label": "contents" }, ...buttons);
  }

  return {
    views, visible, element, svg, number, format, bytes, colour, viridis, diverging, tip,
    controls, button, slider, choice, tick, canvas, hash, begin,
  };
})();
