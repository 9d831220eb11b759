"use strict";
// Serves the function's handler over HTTP, for the watchdog.
const express = require("express");

const handler = require("./function/handler");

/** A request, as the handler sees it. */
class FunctionEvent {
  constructor(request) {
    this.body = request.body;
    this.headers = request.headers;
    this.method = request.method;
    this.query = request.query;
    this.path = request.path;
  }
}

/** What the handler says of its answer, beside the answer itself. */
class FunctionContext {
  #status = 200;
  #headers = {};
  #done;

  constructor(done) {
    this.#done = done;
  }

  status(code) {
    if (code === undefined) return this.#status;
    this.#status = code;
    return this;
  }

  headers(values) {
    if (values === undefined) return this.#headers;
    this.#headers = values;
    return this;
  }

  succeed(result) {
    this.#done(undefined, result);
  }

  fail(error) {
    if (this.#status === 200) this.#status = 500;
    this.#done(error);
  }
}

const app = express();
app.disable("x-powered-by");
app.use((request, _response, next) => {
  request.headers["content-type"] ??= "text/plain";
  next();
});
if (process.env.RAW_BODY === "true") {
  app.use(express.raw({ type: "*/*", limit: process.env.MAX_RAW_SIZE ?? "100kb" }));
} else {
  app.use(express.text({ type: "text/*" }));
  app.use(express.json({ limit: process.env.MAX_JSON_SIZE ?? "100kb" }));
  app.use(express.urlencoded({ extended: true }));
}
app.use((request, response) => {
  let answered = false;
  const done = (error, result) => {
    if (answered) return;
    answered = true;
    if (error) {
      console.error(error);
      response.status(context.status() === 200 ? 500 : context.status()).send(String(error));
      return;
    }
    const isData = Array.isArray(result) || result?.constructor === Object;
    response.status(context.status()).set(context.headers());
    response.send(isData ? JSON.stringify(result) : result);
  };
  const context = new FunctionContext(done);
  Promise.resolve()
    .then(() => handler(new FunctionEvent(request), context, done))
    .then((result) => {
      // A handler with a callback may return before it answers.
      if (result !== undefined) done(undefined, result);
    })
    .catch((error) => done(error ?? new Error("the handler failed")));
});

app.listen(process.env.http_port ?? 3000, "127.0.0.1");
