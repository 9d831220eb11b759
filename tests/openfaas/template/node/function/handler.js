"use strict";

/** Answers a request: what is returned is the body. */
module.exports = async (event) => event.body;
