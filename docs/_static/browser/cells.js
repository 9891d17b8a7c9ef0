// The code cells of a page can be changed, and run, in the browser.

import { ask, framed, made } from "./python.js";

const words = {
  en: {
    begin: "Run this page in the browser",
    nothing: "Nothing is installed: Python comes into this page.",
    loading: "Python is being loaded …",
    ready: (version) => `minigrad ${version} runs here. Change a cell, and press Shift + Enter.`,
    failed: "It can't be loaded: ",
    run: "Run",
    code: "Python code",
  },
  ko: {
    begin: "이 페이지를 브라우저에서 실행하기",
    nothing: "설치할 것이 없습니다. 파이썬이 이 페이지 안에서 실행됩니다.",
    loading: "파이썬을 불러오는 중입니다 …",
    ready: (version) => `minigrad ${version}을 여기서 실행합니다. 셀을 고치고 Shift + Enter를 누르세요.`,
    failed: "불러오지 못했습니다: ",
    run: "실행",
    code: "파이썬 코드",
  },
}[document.documentElement.lang === "ko" ? "ko" : "en"];

const cells = [...document.querySelectorAll("div.cell")].filter((cell) => cell.querySelector(".cell_input pre"));

function editable(cell) {
  const pre = cell.querySelector(".cell_input pre");
  const area = made("textarea", "browser-code");
  area.value = pre.textContent.trimEnd();
  area.rows = area.value.split("\n").length;
  area.spellcheck = false;
  area.setAttribute("aria-label", words.code);
  area.addEventListener("input", () => {
    area.rows = area.value.split("\n").length;
    cell.ran = false;
  });
  pre.closest(".cell_input").querySelector("div.highlight").replaceWith(area);
  const button = made("button", "browser-button", words.run);
  button.type = "button";
  button.title = "Shift + Enter";
  const result = made("div", "browser-result");
  cell.querySelector(".cell_output")?.replaceWith(result);
  if (!result.parentNode) cell.append(result);
  area.closest(".cell_input").after(button);
  button.addEventListener("click", () => runUpTo(cell));
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.shiftKey) {
      event.preventDefault();
      runUpTo(cell);
    }
  });
  Object.assign(cell, { area, button, result, ran: false });
}

// Run a cell, and before it those above from the first that has not been run yet as it stands.
async function runUpTo(cell) {
  const first = cells.findIndex((each) => each === cell || !each.ran);
  for (const each of cells.slice(first, cells.indexOf(cell) + 1)) if (!(await run(each))) return;
}

// What stands below a cell may need what it makes, and is to be run again after it.
async function run(cell) {
  const { result, button } = cell;
  for (const each of cells.slice(cells.indexOf(cell))) each.ran = false;
  const out = made("pre", "browser-out");
  result.replaceChildren(out);
  button.disabled = true;
  let right = true;
  try {
    const { text, html, png } = await ask("run", { code: cell.area.value }, (heard) => {
      out.textContent += heard.text;
    });
    if (text) out.textContent += text;
    if (html) result.append(framed(html));
    if (png) {
      const picture = made("img", "browser-figure");
      picture.src = `data:image/png;base64,${png}`;
      picture.alt = "the figure that the cell has drawn";
      result.append(picture);
    }
  } catch (error) {
    result.append(made("pre", "browser-error", error.message));
    right = false;
  }
  if (!out.textContent) out.remove();
  button.disabled = false;
  cell.ran = right;
  return right;
}

const runs = !document.querySelector('meta[name="browser"][content="no"]'); // whether Pyodide has all it needs
const title = document.querySelector("article h1");
const links = document.querySelector(".page-links"); // to the notebook: from the sidebar to where they are seen
if (cells.length && title && links) title.after(links);

if (cells.length && runs) {
  const bar = made("p", "browser-bar");
  const button = made("button", "browser-button", words.begin);
  button.type = "button";
  const word = made("span", "browser-word", ` ${words.nothing}`);
  bar.append(button, word);
  title?.after(bar);
  button.addEventListener("click", async () => {
    button.disabled = true;
    word.textContent = ` ${words.loading}`;
    try {
      const { version } = await ask("load");
      cells.forEach(editable);
      button.remove();
      word.textContent = words.ready(version);
    } catch (error) {
      button.disabled = false;
      word.textContent = ` ${words.failed}${error.message}`;
    }
  });
}
