import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { answer, createClient, QuartetError, raw } from "../dist/index.js";

const url = process.env.QUARTET ?? "http://127.0.0.1:3000";
const examples = process.env.EXAMPLES ?? "../../docs/examples";
const client = createClient(url);

function answering(...answers: Response[]) {
  const got: Request[] = [];
  const fetch = (async (request: Request) => {
    got.push(request);
    return answers[Math.min(got.length, answers.length) - 1]!.clone();
  }) as typeof globalThis.fetch;
  return { got, fetch };
}

const refused = (status: number, headers = {}) =>
  new Response(JSON.stringify({ code: "queue_full", detail: "No.", status }), {
    status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
const models = () => new Response('{"models": []}', { headers: { "content-type": "application/json" } });

test("a picture of a digit is read", async () => {
  const picture = await readFile(`${examples}/seven.png`);
  const { predictions } = await answer(client.POST("/v1/digits/classify", raw(picture, "image/png")));
  assert.equal(predictions[0]?.digit, 7);
});

test("an applicant is scored, with reasons", async () => {
  const body = JSON.parse(await readFile(`${examples}/applicant.json`, "utf8"));
  const asked = client.POST("/v1/credit/score", { body, params: { query: { explain: true } } });
  const { predictions } = await answer(asked);
  assert.equal(predictions[0]?.decision, "approve");
  assert.ok(predictions[0]?.reasons?.length);
});

test("a slice comes back as DICOM", async () => {
  const slice = raw(await readFile(`${examples}/slice.dcm`), "application/dicom");
  const headers = { ...slice.headers, accept: "application/dicom" };
  const asked = client.POST("/v1/ct/denoise", { ...slice, headers, parseAs: "arrayBuffer" });
  const bytes = new Uint8Array((await answer(asked)) as unknown as ArrayBuffer);
  assert.equal(new TextDecoder().decode(bytes.slice(128, 132)), "DICM");
});

test("samples come as pictures", async () => {
  const body = { label: 7, count: 2, seed: 1 } as const;
  const headers = { accept: "application/json" };
  const { samples, labels } = await answer(client.POST("/v1/samples/generate", { body, headers }));
  assert.equal(samples.length, 2);
  assert.deepEqual(labels, ["7", "7"]);
});

test("a clip is told, as a file and as pictures in a row", async () => {
  const clip = raw(await readFile(`${examples}/penguin.webp`), "image/webp");
  assert.equal((await answer(client.POST("/v1/clips/classify", clip))).predictions[0]?.label, "animal");
  const picture = (await readFile(`${examples}/seven.png`)).toString("base64");
  const body = { clips: [[picture, picture, picture]] };
  assert.equal((await answer(client.POST("/v1/clips/classify", { body }))).predictions.length, 1);
});

test("a series is forecast, with bounds", async () => {
  const body = { series: [[112, 118, 132, 129]], horizon: 3, levels: [0.8] };
  const { forecasts } = await answer(client.POST("/v1/series/forecast", { body }));
  assert.equal(forecasts[0]?.values.length, 3);
  assert.deepEqual(forecasts[0]?.intervals.map((one) => one.level), [0.8]);
});

test("a state goes with the next window", async () => {
  const params = { path: { name: "intersection-rnn" } };
  let state = [Array<number>(32).fill(0)];
  let last = 0;
  for (const number of [0.5, 0.1]) {
    const body = { inputs: { numbers: [Array<number>(10).fill(number)], state } };
    const { outputs } = await answer(client.POST("/v1/models/{name}/predict", { params, body }));
    state = outputs.next_state as number[][];
    last = (outputs.sums as number[][])[0]!.at(-1)!;
  }
  assert.ok(Math.abs(last - 6) < 0.5);
});

test("a refusal is an error with code and field", async () => {
  const asked = answer(client.POST("/v1/samples/generate", { body: { label: "x" } as never }));
  await assert.rejects(asked, (error) => {
    assert.ok(error instanceof QuartetError);
    assert.deepEqual([error.status, error.code, error.field], [422, "invalid_value", "label"]);
    return true;
  });
});

test("overload is tried again, with less time each time", async () => {
  const { got, fetch } = answering(refused(429), refused(503), models());
  await answer(createClient("http://here/quartet", { fetch, apiKey: "k" }).GET("/v1/models"));
  const left = got.map((one) => Number(one.headers.get("x-timeout-ms")));
  assert.equal(got.length, 3);
  assert.ok(left[0]! > left[1]! && left[1]! > left[2]!);
  assert.equal(got[0]!.url, "http://here/quartet/v1/models");
  assert.equal(got[0]!.headers.get("authorization"), "Bearer k");
});

test("a pause beyond the deadline ends the call", async () => {
  const { got, fetch } = answering(refused(503, { "retry-after": "60" }));
  await assert.rejects(answer(createClient(url, { fetch, timeout: 2000 }).GET("/v1/models")), /503 queue_full/);
  assert.equal(got.length, 1);
});

test("what would fail again is not sent again", async () => {
  const { got, fetch } = answering(refused(422));
  await assert.rejects(answer(createClient(url, { fetch }).GET("/v1/models")), QuartetError);
  assert.equal(got.length, 1);
});
