"use strict";
// What is for sale, and what all of it costs: a function of several modules, a package and a data file.
const ms = require("ms");

const catalogue = require("./shop/catalogue");

/** Answers any request. */
module.exports = async () => {
  const goods = catalogue.load();
  const total = Object.values(goods).reduce((sum, price) => sum + price, 0);
  return JSON.stringify({ goods: Object.keys(goods).sort(), total, fresh: ms("1d") > 0 });
};
