"use strict";
const fs = require("fs");
const path = require("path");

/** The goods with their prices, from the data file beside this module. */
exports.load = () => JSON.parse(fs.readFileSync(path.join(__dirname, "goods.json"), "utf8"));
