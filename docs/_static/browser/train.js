// A language model learns a text that the reader has pasted.

import { ask, framed, made, stop } from "./python.js";

const SVG = "http://www.w3.org/2000/svg";
const [W, H, LEFT, BOTTOM, TOP] = [640, 240, 46, 34, 12];

// The curve of the loss; the axis begins at 0 bits, and ends above the first loss.
function draw(svg, points) {
  const steps = Math.max(1, points.at(-1).step);
  const most = Math.max(1, Math.ceil(Math.max(...points.map((point) => point.bits))));
  const x = (step) => LEFT + (step / steps) * (W - LEFT - 12);
  const y = (bits) => H - BOTTOM - (bits / most) * (H - BOTTOM - TOP);
  const add = (name, attributes, text = "") => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    svg.append(element);
  };
  svg.replaceChildren();
  for (let bits = 0; bits <= most; bits += most > 5 ? 2 : 1) {
    add("line", { x1: LEFT, x2: W - 12, y1: y(bits), y2: y(bits), class: "grid" });
    add("text", { x: LEFT - 8, y: y(bits) + 4, "text-anchor": "end" }, String(bits));
  }
  add("text", { x: LEFT, y: H - 8 }, "0");
  add("text", { x: W - 12, y: H - 8, "text-anchor": "end" }, `${steps} steps`);
  add("text", { x: W - 12, y: TOP + 14, "text-anchor": "end" }, "bits per character");
  const line = points.map((point) => `${x(point.step).toFixed(1)},${y(point.bits).toFixed(1)}`).join(" ");
  add("polyline", { points: line, class: "curve" });
}

const place = document.getElementById("train-here");
if (place) {
  const text = place.querySelector("textarea");
  const [units, rate] = [place.querySelector("[name=units]"), place.querySelector("[name=rate]")];
  const [start, end] = [place.querySelector("[name=start]"), place.querySelector("[name=stop]")];
  const word = place.querySelector(".train-word");
  const svg = place.querySelector("svg");
  const samples = place.querySelector(".train-samples");
  const tape = place.querySelector(".train-tape");

  start.addEventListener("click", async () => {
    start.disabled = true;
    const points = [];
    samples.replaceChildren();
    tape.replaceChildren();
    word.textContent = "Python is being loaded …";
    try {
      await ask("load");
      end.disabled = false;
      word.textContent = "It learns …";
      const given = { text: text.value, units: Number(units.value), rate: Number(rate.value) };
      const { tape: page } = await ask("train", given, (heard) => {
        if (heard.kind !== "progress") return;
        points.push(heard);
        draw(svg, points);
        word.textContent =
          `step ${heard.step}: ${heard.bits.toFixed(2)} bits per character ` +
          `(of ${heard.vocabulary} characters: a guess costs ${Math.log2(heard.vocabulary).toFixed(2)}), ` +
          `${heard.tokensPerSecond.toLocaleString("en")} characters a second`;
        if (points.length % 4 === 1) {
          samples.prepend(made("p", "train-sample", `step ${heard.step}: ${heard.sample}`));
          while (samples.childElementCount > 6) samples.lastElementChild.remove();
        }
      });
      if (page) tape.append(made("p", "", "The tape of one step, on the first characters of the text:"), framed(page));
    } catch (error) {
      word.textContent = error.message.split("\n").at(-1);
    }
    start.disabled = false;
    end.disabled = true;
  });
  end.addEventListener("click", stop);
}
