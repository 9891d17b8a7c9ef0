// A language model learns a text that the reader has pasted.

import { ask, framed, made, stop } from "./python.js";

const SVG = "http://www.w3.org/2000/svg";
const [W, H, LEFT, BOTTOM, TOP] = [640, 240, 46, 34, 12];

const words = {
  en: {
    loading: "Python is being loaded …",
    learns: "It learns …",
    told: ({ step, bits, vocabulary, tokensPerSecond }) =>
      `step ${step}: ${bits.toFixed(2)} bits per character ` +
      `(of ${vocabulary} characters: a guess costs ${Math.log2(vocabulary).toFixed(2)}), ` +
      `${tokensPerSecond.toLocaleString("en")} characters a second`,
    steps: (count) => `${count} steps`,
    unit: "bits per character",
    at: (step) => `step ${step}: `,
    tape: "The tape of one step, on the first characters of the text:",
  },
  ko: {
    loading: "파이썬을 불러오는 중입니다 …",
    learns: "배우는 중입니다 …",
    told: ({ step, bits, vocabulary, tokensPerSecond }) =>
      `${step}단계: 글자마다 ${bits.toFixed(2)}비트 ` +
      `(글자 ${vocabulary}가지를 찍으면 ${Math.log2(vocabulary).toFixed(2)}비트), ` +
      `1초에 ${tokensPerSecond.toLocaleString("ko")}글자`,
    steps: (count) => `${count}단계`,
    unit: "글자마다 비트",
    at: (step) => `${step}단계: `,
    tape: "글의 첫 글자들에서 한 단계를 기록한 테이프:",
    page: {
      "label:has([name=units])": "유닛 ",
      "label:has([name=rate])": "학습률 ",
      "[name=start]": "배우기",
      "[name=stop]": "멈추고 테이프 보기",
      ".train-word": "‘배우기’를 누르면 파이썬을 불러옵니다. 처음에는 10 MB쯤 됩니다.",
    },
  },
}[document.documentElement.lang === "ko" ? "ko" : "en"];

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
  add("text", { x: W - 12, y: H - 8, "text-anchor": "end" }, words.steps(steps));
  add("text", { x: W - 12, y: TOP + 14, "text-anchor": "end" }, words.unit);
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
  for (const [selector, text] of Object.entries(words.page ?? {}))
    place.querySelector(selector).firstChild.textContent = text;

  start.addEventListener("click", async () => {
    start.disabled = true;
    const points = [];
    samples.replaceChildren();
    tape.replaceChildren();
    word.textContent = words.loading;
    try {
      await ask("load");
      end.disabled = false;
      word.textContent = words.learns;
      const given = { text: text.value, units: Number(units.value), rate: Number(rate.value) };
      const { tape: page } = await ask("train", given, (heard) => {
        if (heard.kind !== "progress") return;
        points.push(heard);
        draw(svg, points);
        word.textContent = words.told(heard);
        if (points.length % 4 === 1) {
          samples.prepend(made("p", "train-sample", words.at(heard.step) + heard.sample));
          while (samples.childElementCount > 6) samples.lastElementChild.remove();
        }
      });
      if (page) tape.append(made("p", "", words.tape), framed(page));
    } catch (error) {
      word.textContent = error.message.split("\n").at(-1);
    }
    start.disabled = false;
    end.disabled = true;
  });
  end.addEventListener("click", stop);
}
