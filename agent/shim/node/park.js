"use strict";
// Parks a Node.js function at the `require` of its handler.
//
// Node.js loads this file before the function's own program (`--require`). Where the agent has deployed
// the container (both variables are set), the first `require` that leads into the handler's folder waits
// until the handler is mounted there; everything that was required before is loaded already. The template's
// own files stay as they are. A program whose imports cannot be halted one by one (an ES module, or
// one that calls `import()`) waits before its first line.

const Module = require("module");
const fs = require("fs");
const path = require("path");
const { spawnSync } = require("child_process");
const { isMainThread } = require("worker_threads");

const GATE = path.join(__dirname, "..", "gate");
const FOLDER = process.env.RSFAAS_HANDLER_DIR;

if (isMainThread && FOLDER && process.env.RSFAAS_PARK_TOKEN) {
  const folder = real(FOLDER);
  if (loadsByImport(process.argv[1])) {
    wait(folder);
  } else {
    parkAtRequire(folder);
  }
}

function parkAtRequire(folder) {
  const resolve = Module._resolveFilename;
  Module._resolveFilename = function (request, parent, ...rest) {
    if (leadsInto(folder, request, parent)) {
      Module._resolveFilename = resolve;
      wait(folder);
    }
    return resolve.call(this, request, parent, ...rest);
  };
}

/** Whether a `require` would look into a folder; `folder` has no symbolic links. */
function leadsInto(folder, request, parent) {
  if (typeof request !== "string" || !/^\.{0,2}\//.test(request + "/")) return false;
  const from = parent?.filename ? path.dirname(parent.filename) : process.cwd();
  const target = path.resolve(real(from), request);
  return (target + path.sep).startsWith(folder + path.sep);
}

/** Whether a program is an ES module, or has `import()` in it. */
function loadsByImport(program) {
  if (!program) return false;
  let file;
  try {
    file = Module._resolveFilename(path.resolve(program), null, true);
  } catch {
    return false;
  }
  if (file.endsWith(".mjs") || /\bimport\s*\(/.test(fs.readFileSync(file, "utf8"))) return true;
  if (file.endsWith(".cjs")) return false;
  for (let above = path.dirname(file); ; above = path.dirname(above)) {
    try {
      const text = fs.readFileSync(path.join(above, "package.json"), "utf8");
      return JSON.parse(text).type === "module";
    } catch (error) {
      if (error.code !== "ENOENT" || above === path.dirname(above)) return false;
    }
  }
}

/** Returns once the handler is mounted. */
function wait(folder) {
  // The gate waits for changes of the table, which this process cannot do by itself. It is handed this
  // process's own table, by which the agent knows who waits.
  const table = fs.openSync("/proc/self/mountinfo", "r");
  const { status, error } = spawnSync(GATE, ["--wait"], { stdio: [table, "ignore", "inherit"] });
  fs.closeSync(table);
  if (status !== 0) {
    throw new Error("RsFaaS: cannot wait for the handler of this function", { cause: error });
  }
  forgetOurselves();
  // A process that stands in the folder still stands below the mount: same path, once more.
  const here = process.cwd();
  if ((here + path.sep).startsWith(folder + path.sep)) process.chdir(here);
}

/** Takes out of the environment what the function and its children need not know. */
function forgetOurselves() {
  delete process.env.RSFAAS_PARK_TOKEN;
  delete process.env.RSFAAS_HANDLER_DIR;
  const options = process.env.NODE_OPTIONS ?? "";
  const others = options.replace(`--require=${__filename}`, "").trim();
  if (others) {
    process.env.NODE_OPTIONS = others;
  } else {
    delete process.env.NODE_OPTIONS;
  }
}

function real(folder) {
  try {
    return fs.realpathSync(folder);
  } catch {
    return folder;
  }
}
